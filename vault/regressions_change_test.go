package vault_test

import (
	"crypto/ed25519"
	"testing"

	"keepsake.example/vaultapi"
)

// Overwrite or delete with an access token alone (Juicebox): it takes the cool-down,
// is seen in Status meanwhile, and a key of the record or a proof stops it.
func TestOverwriteWithATokenAlone(t *testing.T) {
	stops := map[string]func(p *person, live *secret, pending vaultapi.ID){
		"cancel by the unlock key": func(p *person, live *secret, pending vaultapi.ID) {
			p.expect(p.cancel(live, pending, vaultapi.ByUnlock), vaultapi.OK)
			p.expect(p.cancel(live, pending, vaultapi.ByUnlock), vaultapi.OK)
		},
		"cancel by the device key": func(p *person, live *secret, pending vaultapi.ID) {
			p.expect(p.cancel(live, pending, vaultapi.ByDevice), vaultapi.OK)
		},
		"a proof": func(p *person, live *secret, pending vaultapi.ID) {
			g := newGuess("right")
			p.attempt(g)
			p.expect(p.prove(g, live, nil), vaultapi.OK)
		},
	}
	for name, stop := range stops {
		for _, kind := range []vaultapi.PendingKind{vaultapi.PendingReplacement, vaultapi.PendingDeletion} {
			w := newWorld(t, policy())
			alice := w.person("alice")
			s, mine := alice.register("password", 10), password("thief's", 10)
			change := func() *vaultapi.Answer { return alice.remove(s, vaultapi.ByNobody) }
			pending := s.record
			if kind == vaultapi.PendingReplacement {
				alice.propose(mine)
				pending = mine.record
				change = func() *vaultapi.Answer { return alice.confirm(mine, nil, vaultapi.ByNobody) }
			}
			alice.expect(change(), vaultapi.Wait)
			report := alice.status().Body.(*vaultapi.StatusReport)
			if report.Pending != kind || report.PendingRecord != pending || report.Ripens != w.now+7*day {
				t.Errorf("%s: status %+v", name, report)
			}
			alice.expect(alice.cancel(mine, pending, vaultapi.ByUnlock), vaultapi.Unauthorised)
			w.pass(7*day - 1)
			stop(alice, s, pending)
			w.pass(day)
			if a := change(); a.Code == vaultapi.OK {
				t.Errorf("%s: kind %d took effect all the same", name, kind)
			}
			alice.expect(alice.status(), vaultapi.OK)
		}
	}
}

// Confirm without proof: a forged signature, one by another record's key, for
// another account, another proposal or another request is refused and changes nothing.
func TestConfirmWithoutProof(t *testing.T) {
	w := newWorld(t, policy())
	alice, bob := w.person("alice"), w.person("bob")
	s, other, next := alice.register("password", 10), bob.register("bob's", 10), password("next", 10)
	alice.propose(next)
	forge := func(message []byte, key ed25519.PrivateKey, kind vaultapi.Kind) vaultapi.Authority {
		return vaultapi.Authority{Kind: kind, Signature: [64]byte(ed25519.Sign(key, message))}
	}
	proposal := next.proposal.Digest()
	right := vaultapi.ConfirmMessage(w.fleet, alice.account, s.record, proposal)
	for name, a := range map[string]vaultapi.Authority{
		"another key":      forge(right, other.unlock, vaultapi.ByUnlock),
		"the other kind":   forge(right, s.unlock, vaultapi.ByDevice),
		"another account":  forge(vaultapi.ConfirmMessage(w.fleet, bob.account, s.record, proposal), s.unlock, vaultapi.ByUnlock),
		"another record":   forge(vaultapi.ConfirmMessage(w.fleet, alice.account, next.record, proposal), s.unlock, vaultapi.ByUnlock),
		"another proposal": forge(vaultapi.ConfirmMessage(w.fleet, alice.account, s.record, s.proposal.Digest()), s.unlock, vaultapi.ByUnlock),
		"another fleet":    forge(vaultapi.ConfirmMessage([32]byte{1}, alice.account, s.record, proposal), s.unlock, vaultapi.ByUnlock),
		"another request":  forge(vaultapi.DeleteMessage(w.fleet, alice.account, s.record), s.unlock, vaultapi.ByUnlock),
		"zeros":            {Kind: vaultapi.ByUnlock},
	} {
		if got := alice.ask(&vaultapi.ConfirmBody{Record: next.record, Authority: a}); got.Code != vaultapi.Unauthorised {
			t.Errorf("%s: %v", name, got.Code)
		}
	}
	alice.expect(alice.ask(&vaultapi.ConfirmBody{Record: next.record, Authority: forge(right, s.unlock, vaultapi.ByUnlock)}), vaultapi.OK)
	alice.expect(alice.confirm(next, s, vaultapi.ByUnlock), vaultapi.OK) // live already
}

// An attempt that was right may be proved when somebody else's has become the last.
func TestProveDuringTheGrace(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s, g := alice.register("password", 2), newGuess("right")
	alice.attempt(g)
	alice.burn(s, "thief", 1)
	a := alice.expect(alice.prove(g, s, nil), vaultapi.OK)
	if past := a.Body.(*vaultapi.History).Past; len(past) != 1 || past[0].Attempt != newGuess("thief", 0).id {
		t.Errorf("history %v", past)
	}
}

// During the grace a change by a key of the record takes effect at once, one by
// nobody when the record is gone.
func TestChangeDuringTheGrace(t *testing.T) {
	for _, kind := range []vaultapi.Kind{vaultapi.ByNobody, vaultapi.ByDevice} {
		w := newWorld(t, policy())
		alice := w.person("alice")
		s, next := alice.register("password", 2), password("next", 10)
		alice.remove(s, vaultapi.ByNobody) // waits, and is dropped by the end of the record
		alice.burn(s, "wrong", 2)
		made := w.now
		alice.propose(next)
		if kind == vaultapi.ByNobody {
			if a := alice.expect(alice.confirm(next, s, kind), vaultapi.Wait); a.Next != made+hour {
				t.Errorf("wait until +%d", since(a.Next))
			}
			alice.expect(alice.remove(s, kind), vaultapi.Wait)
			w.pass(hour)
		}
		alice.left(alice.confirm(next, s, kind), vaultapi.OK, 10)
	}
}

// Pending never evaluable: an attempt evaluates under the live key, or not at all.
func TestPendingNeverEvaluable(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	first := password("first", 10)
	alice.propose(first)
	alice.expect(alice.attempt(newGuess(0)), vaultapi.None)
	alice.confirm(first, nil, vaultapi.ByNobody)
	next := password("next", 10)
	alice.propose(next)
	g := newGuess(1)
	g.output(t, alice.attempt(g), first.key)
	alice.confirm(next, nil, vaultapi.ByNobody)
	w.pass(7 * day)
	g = newGuess(2)
	g.output(t, alice.attempt(g), first.key)
}

// Proposals and ripe changes that nobody confirms are dropped after a day, k with them.
func TestPendingExpires(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s, next := alice.register("password", 10), password("next", 10)
	alice.propose(next)
	w.pass(day)
	w.tick()
	if w.holds(next) || w.state.Counts().Pending != 0 {
		t.Error("an expired proposal is in the state")
	}
	alice.expect(alice.confirm(next, s, vaultapi.ByUnlock), vaultapi.Conflict)
	alice.propose(next)
	alice.confirm(next, nil, vaultapi.ByNobody)
	w.pass(8*day - 1)
	w.tick()
	if !w.holds(next) {
		t.Error("a ripe change is dropped early")
	}
	w.pass(1)
	alice.expect(alice.confirm(next, nil, vaultapi.ByNobody), vaultapi.Conflict)
	if w.holds(next) {
		t.Error("an expired change is in the state")
	}
}

// A proposal's id stands for one content, pending and live.
func TestProposeTwice(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s, changed := password("password", 10), password("password", 9)
	for range 2 {
		alice.expect(alice.propose(s), vaultapi.OK)
		alice.expect(alice.propose(changed), vaultapi.Conflict)
		alice.expect(alice.confirm(s, nil, vaultapi.ByNobody), vaultapi.OK)
	}
}
