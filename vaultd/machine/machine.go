// Package machine is what a replica of the vault drives: the records of one group
// (package vault), and who keeps them (package roster). Both are functions of the
// entries, so that every replica decides alike who may be a member, and no host
// does.
//
// The first entry of a group is its roster, the second the vault's Genesis; all
// others are commands of the vault, and who is given the group's secret ([Welcome]). Changes signed by operators come by
// [Machine.Change]. Every group holds the whole roster and applies the same changes
// in the order of their serials: the root group first, the others after it. A group
// keeps the changes, so that those that are behind can be brought up, and people can
// read what was done.
//
// The picture is the roster, who was welcomed, the changes, and the vault's own
// picture (spec/replication.md §16).
package machine

import (
	"errors"
	"fmt"
	"math/bits"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Root is the number of the group that every machine of the fleet is a member of.
const Root = 0

// maxChanges is how many changes are kept, the newest: 256 of under 8 KiB.
const maxChanges = 256

var (
	errOrder = errors.New("machine: a change before the roster, or a Genesis of another fleet than the roster's")
	errGroup = errors.New("machine: not a group of the fleet")
)

// Machine is a replica.Machine. Not safe for concurrent use.
type Machine struct {
	group   uint32
	version uint32 // of the program
	next    next
	roster  *roster.Roster // nil before the first entry
	state   *vault.State
	changes [][]byte // accepted, encoded, oldest first
	// welcomed are the members that the group's secret was given to, by number.
	welcomed []welcomed
	secret   secret
	changed  func()
	expires  uint64 // when the next channel key expires, ms; 0 for none
	serial   uint64 // of the bundle, when changed was called last
}

// New returns the machine of a group without state. Changed, unless nil, is called
// inside Apply, Change and Restore when the roster, the policy or the channel keys
// are no longer what they were: it must be quick, and must not call the replica.
func New(group uint32, changed func()) *Machine {
	if changed == nil {
		changed = func() {}
	}
	return &Machine{group: group, version: Version, state: vault.New(), changed: changed}
}

// State returns the records, for reading.
func (m *Machine) State() *vault.State { return m.state }

// Roster returns a copy of the roster; nil before the first entry.
func (m *Machine) Roster() *roster.Roster {
	if m.roster == nil {
		return nil
	}
	return m.roster.Clone()
}

// Serial returns the serial of the last change; 0 before the first, and before the first entry.
func (m *Machine) Serial() uint64 {
	if m.roster == nil {
		return 0
	}
	return m.roster.Serial
}

// ChangesAfter returns the accepted changes with serials over a number, encoded,
// oldest first. The oldest are not kept for ever: what begins at a later serial
// than asked for has a gap. The caller must not change the bytes.
func (m *Machine) ChangesAfter(serial uint64) [][]byte {
	if m.roster == nil || serial >= m.roster.Serial {
		return nil
	}
	n := min(m.roster.Serial-serial, uint64(len(m.changes)))
	return append([][]byte{}, m.changes[uint64(len(m.changes))-n:]...)
}

// Group returns in which of groups, a power of two, a record is kept: the top bits
// of its name.
func Group(name [16]byte, groups uint32) uint32 {
	return uint32(name[0]) >> (8 - bits.TrailingZeros32(groups))
}

// Apply applies one entry. The effect of a command is a *vault.Effect; when nobody
// here asked, the vault copies no key for it. That of a [WelcomeEntry] is a *Welcome.
func (m *Machine) Apply(entry []byte, asked bool) (any, error) {
	if m.roster == nil {
		return nil, m.found(entry)
	}
	if w, ok := m.welcome(entry); ok {
		return w, nil
	}
	if k, ok := m.rekey(entry); ok {
		return k, nil
	}
	c, err := vault.DecodeCommand(entry)
	if err != nil {
		if effect, ok := m.applyNext(entry); ok {
			return effect, nil
		}
		return nil, m.unread(entry, err)
	}
	defer Wipe(c)
	if m.Needs(entry, false) == replica.Unknown {
		return nil, m.unread(entry, nil)
	}
	if c.Kind == vault.Genesis && !m.founds(c) {
		return nil, errOrder
	}
	c.Unasked = !asked
	if c.Kind == vault.Restrict || m.elsewhere(c) || m.unhardened(c) {
		// The policy is the operators' (Change). And a proposer may have another idea of the
		// groups: a record in two of them would have two counts of guesses.
		return &vault.Effect{Answer: vaultapi.Answer{Code: vaultapi.Unsupported}}, nil
	}
	e, err := m.state.Apply(c)
	if err != nil {
		return nil, err
	}
	if c.Kind != vault.Request || m.expires != 0 && m.expires <= e.Answer.Time {
		m.tell()
	}
	return e, nil
}

func (m *Machine) elsewhere(c *vault.Command) bool {
	return c.Kind == vault.Request && m.roster.Groups > 1 && Group(m.state.Name(c.Account), m.roster.Groups) != m.group
}

// unhardened reports whether a command is for a key of the second suite, which the fleet
// does not have: nothing would evaluate what the attempt is spent for.
func (m *Machine) unhardened(c *vault.Command) bool {
	_, hardened := c.Body.(*vaultapi.HardenedAttemptBody)
	return hardened && !m.roster.Hardened()
}

// found takes the first entry.
func (m *Machine) found(entry []byte) error {
	r, err := roster.Decode(entry)
	if err != nil {
		return fmt.Errorf("reading the first roster: %w", err)
	}
	if uint32(r.Form()) > m.version {
		return fmt.Errorf("%w (a roster of version %d)", replica.ErrNewer, r.Form())
	}
	if m.group >= r.Groups {
		return errGroup
	}
	m.roster = r
	for _, founder := range r.In(m.group) {
		m.welcomed = append(m.welcomed, welcomed{number: founder.Number})
	}
	return nil
}

// founds reports whether a Genesis is of the roster's fleet, with its policy.
func (m *Machine) founds(c *vault.Command) bool {
	p := roster.Policy(c.Policy)
	return c.Fleet == m.roster.Fleet && p.Equal(&m.roster.Policy)
}

// tell looks whether the bundle is another one by now.
func (m *Machine) tell() {
	view := m.state.Fleet()
	if view == nil {
		return
	}
	defer view.Wipe()
	m.expires = 0
	for _, k := range view.Keys {
		if m.expires == 0 || k.NotAfter < m.expires {
			m.expires = k.NotAfter
		}
	}
	if m.serial != view.Serial {
		m.serial = view.Serial
		m.changed()
	}
}

// Wipe takes back what a command brought: the state has its own copy.
func Wipe(c *vault.Command) {
	clear(c.IdentitySeed[:])
	clear(c.NamingKey[:])
	clear(c.ChannelKey.Seed[:])
	if p, ok := c.Body.(*vaultapi.ProposeBody); ok {
		p.Key.Wipe()
	}
}

// Outcome is the effect of a signed change: what was done, or why nothing was.
type Outcome struct {
	Change  *roster.Change // nil when it was refused
	Refused error          // a *roster.Refusal, or that it is not in its one form
}

// Change applies a change that operators signed. The effect is an *Outcome. One of a form
// that only a newer program can decide, and a minimum version that this one does not
// have, halt the replica.
func (m *Machine) Change(signed []byte) (any, error) {
	if m.roster == nil {
		return nil, errOrder
	}
	if m.Needs(signed, true) == replica.Unknown {
		return nil, fmt.Errorf("%w (a change of the fleet)", replica.ErrNewer)
	}
	s, err := roster.DecodeSigned(signed)
	if err != nil {
		return &Outcome{Refused: err}, nil
	}
	c, err := m.roster.Apply(s)
	if err != nil {
		return &Outcome{Refused: err}, nil
	}
	if c.Kind == roster.SetPolicy {
		if _, err := m.state.Apply(&vault.Command{Kind: vault.Restrict, Policy: vault.Policy(c.Policy)}); err != nil {
			return nil, fmt.Errorf("restricting the policy: %w", err)
		}
	}
	m.changes = append(m.changes, append([]byte{}, signed...))
	if len(m.changes) > maxChanges {
		m.changes = append([][]byte{}, m.changes[len(m.changes)-maxChanges:]...)
	}
	m.forget()
	m.tell()
	m.changed()
	return &Outcome{Change: c}, m.enough()
}

// Members returns the group's members by number.
func (m *Machine) Members() []replica.Member {
	if m.roster == nil {
		return nil
	}
	var list []replica.Member
	for _, r := range m.roster.In(m.group) {
		list = append(list, replica.Member{Number: r.Number, Learner: r.Learner})
	}
	return list
}

// Tolerate returns how many voters may have lost what they acknowledged.
func (m *Machine) Tolerate() int {
	if m.roster == nil {
		return 0
	}
	return int(m.roster.Tolerate)
}
