package roster_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"keepsake.example/roster"
)

const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func hash(parts ...any) [32]byte { return sha256.Sum256(fmt.Append(nil, parts...)) }

// keyOf is an operator's key, by name.
func keyOf(name string) ed25519.PrivateKey {
	seed := hash("operator" + name)
	return ed25519.NewKeyFromSeed(seed[:])
}

func operator(name string) roster.Operator {
	return roster.Operator{Name: name, Key: [32]byte(keyOf(name).Public().(ed25519.PublicKey))}
}

func operators(names ...string) (all []roster.Operator) {
	for _, n := range names {
		all = append(all, operator(n))
	}
	return all
}

// machine is a machine with a number, as an Add brings it.
func machine(n uint64) roster.Member {
	seal := hash("sealing", n)
	return roster.Member{
		Number: n, Name: fmt.Sprintf("vault-%d", n), DataCenter: fmt.Sprintf("dc-%d.example", n%5), Address: fmt.Sprintf("10.0.0.%d:7420", n),
		Identity: hash("identity", n), Sealing: bytes.Repeat(seal[:], roster.SealingSize/32), Learner: true,
	}
}

func policy() roster.Policy {
	return roster.Policy{
		MaxAttempts: 10,
		Waits:       []uint64{0, 0, 0, 30 * second, 5 * minute, 30 * minute, 2 * hour, 8 * hour, day},
		CoolDown:    7 * day, Grace: hour,
	}
}

// founded is a roster of so many voters, in four groups, of which three of five
// operators sign changes.
func founded(voters int) *roster.Roster {
	r := &roster.Roster{
		Fleet: hash("fleet"), Groups: 4, MinVersion: 1, Quorum: 3, Policy: policy(),
		Operators: operators("alice", "bob", "carol", "dave", "eve"),
	}
	for n := range uint64(voters) {
		m := machine(n + 1)
		m.Learner = false
		r.Members, r.Highest = append(r.Members, m), n+1
	}
	return r
}

// signed is a change with the signatures of some.
func signed(c *roster.Change, names ...string) *roster.Signed {
	s := &roster.Signed{Text: must(c.Text())}
	for _, n := range names {
		if err := s.Add(must(roster.Sign(s.Text, keyOf(n)))); err != nil {
			panic(err)
		}
	}
	return s
}

// next is a change of the next serial, with what f puts in.
func next(r *roster.Roster, kind roster.Kind, f func(*roster.Change)) *roster.Change {
	c := r.Next(kind)
	if f != nil {
		f(c)
	}
	return c
}

func about(group uint32, number uint64) func(*roster.Change) {
	return func(c *roster.Change) { c.Group, c.Member.Number = group, number }
}

func newcomer(number uint64) func(*roster.Change) {
	return func(c *roster.Change) { c.Member = machine(number) }
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// make makes a change that must be accepted.
func accept(t tester, r *roster.Roster, kind roster.Kind, f func(*roster.Change)) {
	t.Helper()
	if _, err := r.Apply(signed(next(r, kind, f), "alice", "carol", "eve")); err != nil {
		t.Fatalf("%v", err)
	}
}

// refused checks that a change is refused with a code and changes nothing.
func refused(t *testing.T, r *roster.Roster, s *roster.Signed, want roster.Code) {
	t.Helper()
	before := r.Encode()
	c, err := r.Apply(s)
	var refusal *roster.Refusal
	if c != nil || !errors.As(err, &refusal) || refusal.Code != want || refusal.Reason == "" {
		t.Errorf("%v, %v, want %q", c, err, want)
	}
	if !bytes.Equal(before, r.Encode()) {
		t.Errorf("refused as %q, and the roster is another", want)
	}
}

// everyChange is one change of each kind, in all forms, that a roster of five voters
// accepts one after the other.
func everyChange() []func(*roster.Roster) *roster.Change {
	stricter := policy()
	stricter.MaxAttempts, stricter.Waits, stricter.CoolDown, stricter.Grace = 4, []uint64{0, 1500, 90 * minute}, 30*day, 0
	of := func(kind roster.Kind, f func(*roster.Change)) func(*roster.Roster) *roster.Change {
		return func(r *roster.Roster) *roster.Change { return next(r, kind, f) }
	}
	return []func(*roster.Roster) *roster.Change{
		of(roster.Add, newcomer(6)),
		of(roster.Add, func(c *roster.Change) { c.Member, c.Because = machine(7), "Frankfurt's disk is old" }),
		of(roster.Remove, about(3, 7)),
		of(roster.Promote, about(0, 6)),
		of(roster.Demote, about(0, 2)),
		of(roster.Remove, about(2, 7)),
		of(roster.Promote, about(2, 2)),
		of(roster.Demote, about(2, 6)),
		of(roster.Remove, about(2, 6)),
		of(roster.Add, func(c *roster.Change) { c.Member = machine(8); c.Member.Address = "[2001:db8::8]:65535" }),
		of(roster.Add, about(2, 8)),
		of(roster.SetAddress, func(c *roster.Change) { c.Member = roster.Member{Number: 3, Address: "vault-3.example.org:1"} }),
		of(roster.SetPolicy, func(c *roster.Change) { c.Policy = stricter }),
		of(roster.SetMinVersion, func(c *roster.Change) { c.MinVersion = 1<<32 - 1 }),
		of(roster.SetTolerate, func(c *roster.Change) { c.Tolerate = 1 }),
		of(roster.SetOperators, func(c *roster.Change) { c.Operators, c.Quorum = operators("alice", "carol", "eve", "zoe"), 3 }),
		of(roster.Void, func(c *roster.Change) { c.Because = "~ what was signed is not wanted any more" }),
	}
}

// history is a roster after everyChange, with the changes.
func history() (*roster.Roster, []*roster.Signed) {
	r, all := founded(5), []*roster.Signed{}
	for _, make := range everyChange() {
		s := signed(make(r), "alice", "carol", "eve")
		must(r.Apply(s))
		all = append(all, s)
	}
	return r, all
}
