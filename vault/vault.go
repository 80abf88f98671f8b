// Package vault is the state machine of the vault: who has which record, how many
// attempts are left, and when a record is destroyed for good. It is a function of
// the commands it is given: no files, no network, no clock, no randomness, no
// goroutines. The shell (package vaultd) makes commands durable before it applies
// them, and evaluates afterwards. spec/vault-protocol.md §11 is the normative text,
// spec/replication.md, "The vault's state", the bytes. [Example] is a record's life.
//
// # How to read it
//
// The rules are in three files, on plain values that do not know how they are kept:
//
//	account.go  what there is of an account, and what time alone does to it
//	attempt.go  Attempt and Prove: rules 1 to 5 and 7
//	change.go   Propose, Confirm, Delete, Cancel, Status: rule 6
//
// The state takes an account out of its store and lets one request decide it.
// [State.Apply] puts it back. [State.Check] puts nothing back: it calls decided what
// changed no byte, so that it cannot disagree with Apply. layout.go is the
// bytes, package cells the memory, command.go and fleet.go the rest.
//
// # Secrets
//
// k and the seeds lie in memory in the clear. What is erased is overwritten where it
// lies, and copies that were worked on are cleared, as far as Go lets one.
package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"keepsake.example/oprf"
	"keepsake.example/vault/cells"
	"keepsake.example/vaultapi"
)

var (
	errOrder  = errors.New("vault: a command before Genesis, or a second Genesis")
	errWeaker = errors.New("vault: a policy that is weaker than the present one")
)

// State is the vault's state. Not safe for concurrent use.
type State struct {
	fleet    *fleet // nil before Genesis
	accounts *cells.Store
	agenda   cells.Agenda
	counts   Counts
	broken   error
	// The bytes of the one account that is worked on, as it was and as it is.
	before, after []byte
}

// Format writes a fixed word for every verb and flag: the state is one large secret.
func (s *State) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// Effect is what a command brings about outside.
type Effect struct {
	// Answer is what the client is told; for another command than a Request OK, or
	// Conflict for a channel key that was not taken.
	Answer vaultapi.Answer
	// Evaluate, unless nil, is for the shell to evaluate after the commit (rule 3),
	// and to put into the Answer's body, a [vaultapi.Evaluation] with all the rest. In a
	// [vaultapi.HardenedEvaluation] the shell's device evaluates B2 besides, always.
	Evaluate *Evaluation
}

// Evaluation is an evaluation that was paid for. Whoever gets it wipes the key.
type Evaluation struct {
	Key     *oprf.PrivateKey
	Blinded *oprf.Blinded
}

// Counts is how much there is.
type Counts struct {
	Records    int    // that can be evaluated, or whose last answer can be repeated
	Tombstones int    // of destroyed records, and spent counts of deleted ones
	Pending    int    // changes
	Bytes      uint64 // memory for accounts
}

// New returns the state before the first command, which must be a Genesis.
func New() *State {
	return &State{accounts: new(cells.Store)}
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
		s.fleet = newFleet()
		s.fleet.ID, s.fleet.IdentitySeed, s.fleet.naming = c.Fleet, c.IdentitySeed, c.NamingKey
		s.fleet.Policy, s.fleet.Policy.Waits = c.Policy, slices.Clone(c.Policy.Waits)
	}
	s.fleet.Time = s.now(c)
	if err := s.ripen(); err != nil {
		return nil, err
	}
	if c.Kind == Request {
		t, e, err := s.turn(c, s.fleet.Time, false)
		if err != nil {
			return nil, err
		}
		return e, errors.Join(t.grant(e), s.put(t.account))
	}
	e := &Effect{Answer: vaultapi.Answer{Time: s.fleet.Time}}
	switch c.Kind {
	case AddChannelKey:
		e.Answer.Code = s.fleet.add(&c.ChannelKey)
	case Restrict:
		return e, s.fleet.restrict(&c.Policy)
	}
	return e, nil
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
	if s.agenda.Due(now) || s.fleet.expired(now) {
		return nil, false // time would change something
	}
	switch c.Kind {
	case Tick:
		return &Effect{Answer: vaultapi.Answer{Time: now}}, true
	case AddChannelKey, Restrict:
		return nil, false
	}
	t, e, err := s.turn(c, now, true)
	if err != nil {
		return nil, false
	}
	defer s.wipe(t.account)
	if s.changed(t.account) || t.grant(e) != nil {
		return nil, false
	}
	return e, true
}

// Fleet returns a copy of the fleet's keys and policy; nil before Genesis. The
// caller wipes it.
func (s *State) Fleet() *FleetView {
	if s.fleet == nil {
		return nil
	}
	v := s.fleet.FleetView
	v.Keys, v.Policy.Waits = slices.Clone(v.Keys), slices.Clone(v.Policy.Waits[:v.Policy.MaxAttempts-1])
	return &v
}

// Name is what the state calls an account (spec/vault-protocol.md §8): whoever does
// not have the fleet's naming key cannot look an account up. Zeros before Genesis.
func (s *State) Name(a vaultapi.Account) [16]byte {
	if s.fleet == nil {
		return rid{}
	}
	return s.fleet.rid(a)
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

// ripen does what time alone does, to all accounts, before every command.
func (s *State) ripen() error {
	s.accounts.Sweep()
	s.fleet.expire()
	for s.agenda.Due(s.fleet.Time) {
		a, err := s.take(s.agenda.Take())
		if err != nil {
			return err
		}
		if a.ripen(s.fleet.Time); a.overdue(s.fleet.Time) {
			return errState // and not for ever again
		}
		s.note(a, 0)
		if err := s.put(a); err != nil {
			return err
		}
	}
	return nil
}

// turn takes an account out of the store and lets a request decide it.
func (s *State) turn(c *Command, now uint64, dry bool) (*turn, *Effect, error) {
	a, err := s.take(s.fleet.rid(c.Account))
	if err != nil {
		return nil, nil, err
	}
	t := &turn{account: a, fleet: s.fleet, now: now, by: c, dry: dry}
	e, err := t.do()
	return t, e, err
}

// take takes an account out, an empty one if there is none. One at a time.
func (s *State) take(r rid) (*account, error) {
	a := new(account)
	if s.before == nil { // room for the longest: growing would leave copies of secrets behind
		s.before, s.after = make([]byte, 0, cells.MaxLength), make([]byte, 0, cells.MaxLength)
	}
	s.before = s.accounts.Get(s.before[:0], r)
	if err := a.decode(s.before); err != nil {
		return nil, fmt.Errorf("reading an account: %w", err)
	}
	a.rid = r
	return a, nil
}

// changed reports whether the account is no longer as it was taken out.
func (s *State) changed(a *account) bool {
	s.after = a.encode(s.after[:0])
	return !bytes.Equal(s.before, s.after)
}

// put puts the account back.
func (s *State) put(a *account) error {
	defer s.wipe(a)
	if !s.changed(a) {
		return nil
	}
	old := new(account)
	defer old.wipe()
	if err := errors.Join(old.decode(s.before), a.check()); err != nil {
		return err
	}
	s.counts.count(old, -1)
	s.counts.count(a, 1)
	s.note(a, old.deadline())
	if len(s.after) == 0 {
		s.accounts.Delete(a.rid)
		return nil
	}
	return s.accounts.Put(s.after)
}

// note gives the agenda an entry for the deadline, unless an earlier one leads here again.
func (s *State) note(a *account, was uint64) {
	if at := a.deadline(); at != 0 && (was == 0 || at < was) {
		s.agenda.Add(at, a.rid)
	}
}

// wipe overwrites what was worked with.
func (s *State) wipe(a *account) {
	a.wipe()
	clear(s.before)
	clear(s.after)
}

// count adds or takes away an account: n is 1 or -1.
func (c *Counts) count(a *account, n int) {
	switch {
	case a.hasRecord():
		c.Records += n
	case a.phase == destroyed || a.owed > 0:
		c.Tombstones += n
	}
	if a.pending.kind != vaultapi.NoPending {
		c.Pending += n
	}
}
