package vault_test

import (
	"strings"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Defects that were real in systems like this one (design/regressions.md), one
// test each.

// Identity element accepted (opaque-ke, high); points not canonical, not validated.
// Refused before anything is spent.
func TestIdentityElement(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 10)
	bad := map[string][32]byte{"identity": {}, "negative": {1}, "no field element": [32]byte(fill(0xff))}
	for name, b := range bad {
		if a := alice.ask(&vaultapi.AttemptBody{Attempt: id(name), Blinded: b}); a.Code != vaultapi.Unsupported || a.Limit != 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for name, k := range map[string][32]byte{"0": {}, "1": {1}, "not reduced": [32]byte(fill(0xff))} {
		s := password("weak", 10)
		s.proposal.Key = vaultapi.NewSecret(&k)
		if a := alice.propose(s); a.Code != vaultapi.Unsupported {
			t.Errorf("k = %s: %v", name, a.Code)
		}
	}
	alice.left(alice.status(), vaultapi.OK, 10)
}

func fill(b byte) []byte { return []byte(strings.Repeat(string([]byte{b}), 32)) }

// Row used after erase (Signal): nothing of a record that is gone is evaluated,
// proved or confirmed, and an old request brings nothing back.
func TestRowUsedAfterErase(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s, g := alice.register("password", 10), newGuess("right")
	alice.attempt(g)
	alice.expect(alice.remove(s, vaultapi.ByDevice), vaultapi.OK)
	if w.holds(s) || w.contains(s.proposal.Envelope) {
		t.Error("a deleted record is in the state")
	}
	alice.expect(alice.attempt(g), vaultapi.None)
	alice.expect(alice.prove(g, s, nil), vaultapi.None)
	alice.expect(alice.remove(s, vaultapi.ByDevice), vaultapi.None)
	alice.expect(alice.propose(s), vaultapi.Conflict) // the relay delivers the old Propose again
	alice.expect(alice.confirm(s, nil, vaultapi.ByNobody), vaultapi.Conflict)
	next := alice.register("next", 10)
	alice.left(alice.attempt(g), vaultapi.Conflict, 10)
	alice.expect(alice.prove(g, next, nil), vaultapi.Conflict)
	alice.expect(alice.remove(s, vaultapi.ByDevice), vaultapi.Conflict)
	w.pass(hour + 5*minute)
	w.tick()
	alice.left(alice.attempt(g), vaultapi.OK, 9) // by now its token has expired
	if w.state.Counts().Records != 1 {
		t.Errorf("counts %+v", w.state.Counts())
	}
}

// Deleted with authority and forgotten: nothing is left, not even a cell.
func TestDeleteLeavesNothing(t *testing.T) {
	w := newWorld(t, policy())
	empty := len(w.checkpoint())
	alice := w.person("alice")
	s := alice.register("password", 10)
	alice.burn(s, "wrong", 3)
	alice.expect(alice.remove(s, vaultapi.ByUnlock), vaultapi.OK)
	w.pass(day)
	w.tick()
	if got := len(w.checkpoint()); got != empty {
		t.Errorf("%d bytes are left of it", got-empty)
	}
}

// Clock set back and forward: back does nothing; forward ends waits early and
// grants no attempt.
func TestClockSetBackAndForward(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	alice.burn(s, "wrong", 9)
	w.now = 1
	a := alice.left(alice.attempt(newGuess("back")), vaultapi.Wait, 1)
	if a.Time < start {
		t.Errorf("the vault's time went back to %d", a.Time)
	}
	w.now = start + 3650*day
	alice.left(alice.attempt(newGuess("forward")), vaultapi.OK, 0)
	w.now = start + 7300*day
	alice.expect(alice.attempt(newGuess("further")), vaultapi.Destroyed)
	w.now = 1
	alice.expect(alice.status(), vaultapi.Destroyed)
}

// Requests of one account do nothing to another, whoever sends them.
func TestCrossAccountRequests(t *testing.T) {
	w := newWorld(t, policy())
	alice, bob := w.person("alice"), w.person("bob")
	s, g := alice.register("password", 10), newGuess("right")
	alice.attempt(g)
	// Bob registers alice's very record, keys and all, and delivers her requests as his.
	bob.register("password", 10)
	bob.expect(bob.ask(alice.proof(g, s, nil)), vaultapi.Conflict)
	bob.attempt(g)
	bob.expect(bob.ask(alice.proof(g, s, nil)), vaultapi.Unauthorised)
	del := &vaultapi.DeleteBody{Record: s.record, Authority: s.sign(vaultapi.ByUnlock, vaultapi.DeleteMessage(w.fleet, alice.account, s.record))}
	bob.expect(bob.ask(del), vaultapi.Unauthorised)
	alice.left(alice.status(), vaultapi.OK, 9)
	alice.expect(alice.ask(del), vaultapi.OK)
	bob.left(bob.status(), vaultapi.OK, 9)
}

// Replayed requests (§2.6): everything that was ever sent, delivered once more in
// any order within a token's life, costs no attempt and undoes nothing.
func TestReplayedRequests(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s, g, next := alice.register("password", 10), newGuess("right"), password("next", 10)
	alice.attempt(newGuess("wrong"))
	alice.attempt(g)
	alice.prove(g, s, signer("phone"))
	s.device = signer("phone")
	alice.propose(next)
	alice.expect(alice.confirm(next, s, vaultapi.ByDevice), vaultapi.OK)
	alice.attempt(newGuess("after"))
	sent := w.log[1:]
	for i := range sent {
		for _, j := range []int{i, len(sent) - 1 - i} {
			c := must(vault.DecodeCommand(sent[j]))
			w.pass(second)
			c.Time = w.now
			w.finish(w.apply(c))
		}
	}
	report := alice.left(alice.status(), vaultapi.OK, 9).Body.(*vaultapi.StatusReport)
	if report.Record != next.record || report.Pending != vaultapi.NoPending {
		t.Errorf("record %v, pending %v", report.Record, report.Pending)
	}
}

// A proof with fresh random bytes is another, one with the same bytes the same: all
// replicas make the same last answer.
func TestReplicasAgree(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 3)
	alice.burn(s, "wrong", 3)
	again := vault.New()
	for _, entry := range w.log {
		must(again.Apply(must(vault.DecodeCommand(entry))))
	}
	first := w.checkpoint()
	w.state = again
	if string(first) != string(w.checkpoint()) {
		t.Error("the same commands led to another state")
	}
}

// A broken invariant is an error, once and for all, and never a panic.
func TestBrokenInvariantHalts(t *testing.T) {
	tick := &vault.Command{Kind: vault.Tick, Time: start}
	s := vault.New()
	for range 2 {
		if _, err := s.Apply(tick); err == nil {
			t.Error("a command before Genesis is applied")
		}
	}
	if _, err := s.Apply(genesis(policy())); err == nil {
		t.Error("a broken state goes on")
	}
	for name, c := range map[string]*vault.Command{
		"second genesis": genesis(policy()), "no kind": {Time: start}, "no body": {Kind: vault.Request},
		"late": {Kind: vault.Tick, Time: vaultapi.MaxTime},
	} {
		w := newWorld(t, policy())
		e, decided := w.state.Check(c)
		if name == "second genesis" && decided || name != "second genesis" && (!decided || e.Answer.Code != vaultapi.Unsupported) {
			t.Errorf("%s: Check = %+v, %v", name, e, decided)
		}
		if _, err := w.state.Apply(c); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
}
