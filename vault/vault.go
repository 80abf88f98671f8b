// Package vault is the state machine of the vault: who has which record, how many
// attempts are left, and when a record is destroyed for good. It is a function of
// the commands it is given: no files, no network, no clock, no randomness, no
// goroutines. Commands bring the time and the random bytes; the shell (package
// vaultd) makes them durable before it applies them, and evaluates afterwards.
//
// spec/vault-protocol.md §11 is the normative text, spec/replication.md ("The
// vault's state") the bytes of commands and checkpoints. [Example] is a record's
// life.
//
// # How to read it
//
// The rules of §11.3 are in three files, on plain values, without a thought of
// how these are kept:
//
//	account.go  what there is of an account, and what time alone does to it
//	attempt.go  Attempt and Prove: rules 1 to 5 and 7
//	change.go   Propose, Confirm, Delete, Cancel, Status: rule 6
//
// State.turn takes an account out of the store, lets one request decide it, and
// [State.Apply] puts it back; [State.Check] does the same and puts nothing back. So
// there is one decision, and what Check calls decided is what changed no byte.
// The rest is keeping: layout.go and wire.go (bytes), store.go (memory),
// checkpoint.go and load.go (files), command.go and fleet.go.
//
// # Secrets
//
// The state is one large secret. k and the seeds lie in memory in the clear; what
// is erased is overwritten where it lies, and copies that were worked on are
// cleared. That is best effort in Go. Not safe for concurrent use, but for
// [Checkpoint.WriteTo] and Release.
package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"keepsake.example/oprf"
	"keepsake.example/vault/cells"
	"keepsake.example/vaultapi"
)

var errOrder = errors.New("vault: a command before Genesis, or a second Genesis")

// State is the vault's state.
type State struct {
	fleet    *fleet // nil before Genesis
	accounts *cells.Store
	agenda   agenda
	counts   Counts
	broken   error
	// The bytes of the one account that is worked on, as it was and as it is.
	before, after []byte
}

// Effect is what a command brings about outside.
type Effect struct {
	// Answer is what the client is told. For other commands than requests it has
	// the time, and OK, or Conflict for a channel key that was not taken.
	Answer vaultapi.Answer
	// Evaluate, unless nil, is what the shell evaluates after the commit, and never
	// before (rule 3). It puts Z and the proof into the Answer's body, a
	// [vaultapi.Evaluation] that has all the rest.
	Evaluate *Evaluation
}

// Evaluation is an evaluation that was paid for. Whoever gets it wipes the key.
type Evaluation struct {
	Key     *oprf.PrivateKey
	Blinded *oprf.Blinded
}

// Counts is how much there is.
type Counts struct {
	Records    uint64 // that can be evaluated, or whose last answer can be repeated
	Tombstones uint64 // of destroyed records, and spent counts of deleted ones
	Pending    uint64 // changes
	Bytes      uint64 // memory for accounts
}

// New returns the state before the first command, which must be a Genesis.
func New() *State {
	return &State{
		accounts: new(cells.Store),
		before:   make([]byte, 0, cells.MaxLength), after: make([]byte, 0, cells.MaxLength),
	}
}

// Apply applies a committed command, and keeps nothing of it. What a client may
// not have is refused in the Answer. An error is a broken invariant or a command
// that no proposer makes: the replica halts, and every later Apply gives it again.
func (s *State) Apply(c *Command) (*Effect, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	e, err := s.apply(c)
	if err != nil {
		s.broken = fmt.Errorf("applying a command of kind %d: %w", c.Kind, err)
		return nil, s.broken
	}
	return e, nil
}

func (s *State) apply(c *Command) (*Effect, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if (s.fleet == nil) != (c.Kind == Genesis) {
		return nil, errOrder
	}
	if c.Kind == Genesis {
		s.found(c)
	}
	s.fleet.Time = s.now(c)
	if err := s.ripen(); err != nil {
		return nil, err
	}
	switch c.Kind {
	case AddChannelKey:
		return s.plain(s.fleet.add(&c.ChannelKey)), nil
	case Request:
		return s.request(c)
	}
	return s.plain(vaultapi.OK), nil
}

// Check decides a command without a commit, if it can be: true means that the
// effect is the one of Apply and that Apply would change nothing but the time. It
// changes nothing. A command that must not get into the log is unsupported.
func (s *State) Check(c *Command) (effect *Effect, decided bool) {
	if c.check() != nil {
		return &Effect{Answer: vaultapi.Answer{Code: vaultapi.Unsupported}}, true
	}
	if s.broken != nil || s.fleet == nil || c.Kind == Genesis {
		return nil, false
	}
	now := s.now(c)
	if s.agenda.ripe(now) || s.fleet.expired(now) {
		return nil, false
	}
	switch c.Kind {
	case AddChannelKey:
		old := s.fleet.key(&c.ChannelKey.Seed)
		effect, decided = s.plain(vaultapi.OK), old != nil && *old == c.ChannelKey
	case Request:
		effect, decided = s.peek(c, now)
	default:
		effect, decided = s.plain(vaultapi.OK), true
	}
	if !decided {
		return nil, false
	}
	effect.Answer.Time = now
	return effect, true
}

// Fleet returns a copy of the fleet's keys and policy; nil before Genesis. The
// caller wipes it.
func (s *State) Fleet() *FleetView {
	if s.fleet == nil {
		return nil
	}
	v := s.fleet.FleetView
	v.Keys, v.Policy.Waits = slices.Clone(v.Keys), slices.Clone(v.Policy.Waits)
	return &v
}

// Counts returns how much there is.
func (s *State) Counts() Counts {
	c := s.counts
	c.Bytes = s.accounts.Bytes()
	return c
}

// now is the vault's time at a command: it never goes back (rule 5). Time 0 is
// kept for never.
func (s *State) now(c *Command) uint64 { return max(s.fleet.Time, c.Time, 1) }

func (s *State) plain(code vaultapi.Code) *Effect {
	return &Effect{Answer: vaultapi.Answer{Code: code, Time: s.fleet.Time}}
}

func (s *State) found(c *Command) {
	s.fleet = newFleet()
	s.fleet.ID, s.fleet.IdentitySeed, s.fleet.naming, s.fleet.Policy = c.Fleet, c.IdentitySeed, c.NamingKey, c.Policy
	s.fleet.Policy.Waits = slices.Clone(c.Policy.Waits)
}

// ripen does what time alone does, to all accounts, before every command.
func (s *State) ripen() error {
	s.accounts.Sweep()
	s.fleet.expire()
	for s.agenda.ripe(s.fleet.Time) {
		v, err := s.visit(s.agenda.take())
		if err != nil {
			return err
		}
		v.deadline = 0 // the entry that stood for it is gone
		v.ripen(s.fleet.Time)
		if err := s.leave(v); err != nil {
			return err
		}
	}
	return nil
}

// request decides a request and keeps what it changed.
func (s *State) request(c *Command) (*Effect, error) {
	v, err := s.visit(s.fleet.rid(c.Account))
	if err != nil {
		return nil, err
	}
	e, err := (&turn{account: &v.account, fleet: s.fleet, now: s.fleet.Time, by: c}).do()
	if err != nil {
		return nil, err
	}
	return e, s.leave(v)
}

// peek decides a request on a copy of the account.
func (s *State) peek(c *Command, now uint64) (*Effect, bool) {
	v, err := s.visit(s.fleet.rid(c.Account))
	if err != nil {
		return nil, false
	}
	defer s.wipe(v)
	e, err := (&turn{account: &v.account, fleet: s.fleet, now: now, by: c}).do()
	if err != nil {
		return nil, false
	}
	if !s.changed(v) {
		return e, true
	}
	if e.Evaluate != nil {
		e.Evaluate.Key.Wipe()
	}
	return nil, false
}

// visit is an account taken out of the store, with what its keeping needs to know
// of how it was.
type visit struct {
	account
	deadline uint64
	counts   Counts
}

// visit takes an account out: an empty one if there is none. One at a time.
func (s *State) visit(r rid) (*visit, error) {
	v := new(visit)
	s.before = s.accounts.Get(s.before[:0], r)
	if len(s.before) > 0 {
		if err := v.decode(s.before); err != nil {
			return nil, fmt.Errorf("vault: reading an account: %w", err)
		}
	}
	v.rid, v.deadline, v.counts = r, v.account.deadline(), v.account.counts()
	return v, nil
}

// changed reports whether the account is no longer as it was taken out.
func (s *State) changed(v *visit) bool {
	s.after = v.encode(s.after[:0])
	return !bytes.Equal(s.before, s.after)
}

// leave puts the account back.
func (s *State) leave(v *visit) error {
	defer s.wipe(v)
	s.agenda.note(v.rid, v.deadline, v.account.deadline())
	if !s.changed(v) {
		return nil
	}
	s.counts.sub(v.counts)
	s.counts.add(v.account.counts())
	if len(s.after) == 0 {
		s.accounts.Delete(v.rid)
		return nil
	}
	return s.accounts.Put(s.after)
}

// wipe overwrites what was worked with.
func (s *State) wipe(v *visit) {
	v.account.wipe()
	clear(s.before)
	clear(s.after)
}

func (c *Counts) add(o Counts) {
	c.Records, c.Tombstones, c.Pending = c.Records+o.Records, c.Tombstones+o.Tombstones, c.Pending+o.Pending
}

func (c *Counts) sub(o Counts) {
	c.Records, c.Tombstones, c.Pending = c.Records-o.Records, c.Tombstones-o.Tombstones, c.Pending-o.Pending
}

// counts is what one account adds to the whole.
func (a *account) counts() (c Counts) {
	switch {
	case a.hasRecord():
		c.Records = 1
	case a.phase == destroyed || a.owed > 0:
		c.Tombstones = 1
	}
	if a.pending.kind != vaultapi.NoPending {
		c.Pending = 1
	}
	return c
}
