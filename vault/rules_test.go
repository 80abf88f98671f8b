package vault_test

import (
	"bytes"
	"slices"
	"testing"

	"keepsake.example/vaultapi"
)

// The eight rules of spec/vault-protocol.md §11.3, one test each.

// patient is a policy whose waits are over after a day.
func patient(w *world) { w.pass(day) }

// burn makes n new attempts, each when it is allowed, and checks how many are left.
func (p *person) burn(s *secret, name string, n int) {
	p.w.t.Helper()
	left := int(p.status().Left)
	for i := range n {
		patient(p.w)
		g := newGuess(name, i)
		g.output(p.w.t, p.left(p.attempt(g), vaultapi.OK, uint8(left-i-1)), s.key)
	}
}

// Rule 1: never more than m evaluations of distinct elements between two proofs.
func TestRule1(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	for round := range 3 {
		g := newGuess("right", round)
		patient(w)
		alice.burn(s, string(rune('a'+round)), 8)
		patient(w)
		alice.left(alice.attempt(g), vaultapi.OK, 1)
		alice.left(alice.prove(g, s, nil), vaultapi.OK, 10)
	}
	alice.burn(s, "thief", 10)
	for i := range 20 {
		patient(w)
		alice.expect(alice.attempt(newGuess("more", i)), vaultapi.Destroyed)
	}
}

// Rule 2: a repeated Attempt costs nothing; the same id with another B is refused.
func TestRule2(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	g, other := newGuess(1), newGuess(2)
	for range 30 {
		g.output(t, alice.left(alice.attempt(g), vaultapi.OK, 9), s.key)
	}
	other.id = g.id
	alice.left(alice.attempt(other), vaultapi.Conflict, 9)
	if _, decided := w.state.Check(alice.command(g.body())); !decided {
		t.Error("a repetition needs a commit")
	}
}

// Rule 3: an evaluation comes out of Apply only, the first time. Check, which runs
// before the commit, gives none that is not paid for.
func TestRule3(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 2)
	for i := range 2 {
		c := alice.command(newGuess(i).body())
		before := w.bytes(c)
		if e, decided := w.state.Check(c); decided || e != nil {
			t.Errorf("attempt %d: Check decided it", i)
		}
		if !slices.Equal(before, w.bytes(c)) {
			t.Errorf("attempt %d: Check changed the state", i)
		}
		w.finish(w.apply(c))
		if e, decided := w.state.Check(c); !decided || e.Answer.Code != vaultapi.OK {
			t.Errorf("attempt %d, paid for: not decided", i)
		}
	}
}

// Rule 4: the m-th attempt erases k in the step that evaluates it. Its answer can
// be repeated and proved until the grace is over.
func TestRule4(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 3)
	alice.burn(s, "wrong", 2)
	patient(w)
	last := newGuess("last")
	e := w.apply(alice.command(last.body()))
	if e.Evaluate != nil {
		t.Error("the last attempt leaves Apply with the key")
	}
	if w.holds(s) {
		t.Error("k is in the state after the last attempt")
	}
	last.output(t, w.finish(e), s.key)
	w.pass(hour - 1)
	last.output(t, alice.left(alice.attempt(last), vaultapi.OK, 0), s.key)
	other := newGuess("other")
	other.id = last.id
	alice.left(alice.attempt(other), vaultapi.Conflict, 0)
	alice.expect(alice.attempt(newGuess("wrong", 1)), vaultapi.Destroyed)
	when := alice.expect(alice.status(), vaultapi.Destroyed).Body.(*vaultapi.Destruction).When
	w.pass(1)
	a := alice.expect(alice.attempt(last), vaultapi.Destroyed)
	if got := a.Body.(*vaultapi.Destruction).When; got != when || when != w.now-hour {
		t.Errorf("destroyed at %d, then %d, want %d", since(when), since(got), since(w.now-hour))
	}
	if w.contains(s.proposal.Envelope) || w.contains(s.proposal.Unlock[:]) {
		t.Error("a tombstone still has the record")
	}
}

// Rule 5: waits grow, time never goes back, and a refusal for waiting costs nothing.
func TestRule5(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 10)
	waits := append(policy().Waits, 0)
	for n, wait := range waits {
		a := alice.left(alice.attempt(newGuess(n)), vaultapi.OK, uint8(9-n))
		made := w.now
		if want := made + wait; wait != 0 && a.Next != want || wait == 0 && a.Next != 0 {
			t.Errorf("attempt %d: next at +%d, want %d ms later", n+1, since(a.Next), wait)
		}
		if wait == 0 {
			continue
		}
		for _, early := range []uint64{made, made + wait - 1, made - 30*day, 0} {
			w.now = early
			if a := alice.left(alice.attempt(newGuess("early", n)), vaultapi.Wait, uint8(9-n)); a.Next != made+wait {
				t.Errorf("wait until +%d, want +%d", since(a.Next), since(made+wait))
			}
		}
		w.now = made + wait
	}
}

// Rule 6: registering again never refills, unless a key of the live record signed it.
func TestRule6(t *testing.T) {
	w := newWorld(t, policy())
	alice, thief := w.person("alice"), w.person("alice")
	s := alice.register("password", 10)
	alice.burn(s, "wrong", 4)

	mine := password("thief's", 10)
	thief.expect(thief.propose(mine), vaultapi.OK)
	if a := thief.left(thief.confirm(mine, nil, vaultapi.ByNobody), vaultapi.Wait, 6); a.Next != w.now+7*day {
		t.Errorf("cool-down until +%d", since(a.Next))
	}
	w.pass(7*day - 1)
	thief.expect(thief.confirm(mine, nil, vaultapi.ByNobody), vaultapi.Wait)
	w.pass(1)
	thief.left(thief.confirm(mine, nil, vaultapi.ByNobody), vaultapi.OK, 6)

	for _, kind := range []vaultapi.Kind{vaultapi.ByUnlock, vaultapi.ByDevice} {
		next := password(string(rune('x'+kind)), 10)
		alice.expect(alice.propose(next), vaultapi.OK)
		alice.left(alice.confirm(next, mine, kind), vaultapi.OK, 10)
		alice.burn(next, next.name, 3)
		mine = next
	}
}

// Rule 7: Prove's answer lists the attempts since the last success.
func TestRule7(t *testing.T) {
	w := newWorld(t, policy())
	alice, thief := w.person("alice"), w.person("alice")
	thief.who = [8]byte([]byte("thief's!"))
	s := alice.register("password", 10)
	var want []vaultapi.Past
	for i := range 3 {
		w.pass(hour)
		g := newGuess("thief", i)
		thief.attempt(g)
		want = append(want, vaultapi.Past{Time: w.now, Who: thief.who, Attempt: g.id})
	}
	check := func(what string, got []vaultapi.Past) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("status", alice.status().Body.(*vaultapi.StatusReport).Past)
	g := newGuess("right")
	w.pass(hour)
	alice.attempt(g)
	check("prove", alice.prove(g, s, nil).Body.(*vaultapi.History).Past)
	w.pass(minute)
	check("prove again", alice.prove(g, s, nil).Body.(*vaultapi.History).Past)
	want = nil
	check("status after", alice.status().Body.(*vaultapi.StatusReport).Past)
}

// Rule 8: refusals are the codes of §10.2 and nothing else: every answer that any
// request gets in any phase can be encoded, and says none of busy, which is the
// shell's word.
func TestRule8(t *testing.T) {
	phases := map[string]func(*person) *secret{
		"nothing": func(p *person) *secret { return password("password", 2) },
		"live":    func(p *person) *secret { return p.register("password", 2) },
		"last attempt made": func(p *person) *secret {
			s := p.register("password", 2)
			p.burn(s, "wrong", 2)
			return s
		},
		"destroyed": func(p *person) *secret {
			s := p.register("password", 2)
			p.burn(s, "wrong", 2)
			p.w.pass(2 * hour)
			p.w.tick()
			return s
		},
		"deleted": func(p *person) *secret {
			s := p.register("password", 2)
			p.burn(s, "wrong", 1)
			p.remove(s, vaultapi.ByNobody)
			p.w.pass(8 * day)
			return s
		},
		"pending": func(p *person) *secret {
			s := p.register("password", 2)
			p.propose(password("next", 2))
			return s
		},
	}
	for name, prepare := range phases {
		w := newWorld(t, policy())
		p := w.person("alice")
		s := prepare(p)
		for _, body := range p.everything(s) {
			if a := p.ask(body); a.Code > vaultapi.Unsupported {
				t.Errorf("%s: %T: %v", name, body, a.Code)
			}
		}
	}
}

// everything is one or more requests of each type, right and wrong.
func (p *person) everything(s *secret) []vaultapi.Body {
	g, bad := newGuess("wrong", 0), newGuess("new").body()
	bad.Blinded = [32]byte{1}
	tooMany := *s.proposal
	tooMany.Record, tooMany.Limit = id("too many"), 10
	return []vaultapi.Body{
		&vaultapi.StatusBody{}, s.proposal, password("next", 1).proposal, &tooMany,
		&vaultapi.ConfirmBody{Record: id("unknown")}, &vaultapi.ConfirmBody{Record: s.record}, &vaultapi.ConfirmBody{Record: id("record", "next")},
		&vaultapi.ConfirmBody{Record: id("record", "next"), Authority: vaultapi.Authority{Kind: vaultapi.ByDevice}},
		g.body(), bad, newGuess("new").body(), p.proof(g, s, nil), p.proof(newGuess("unknown"), s, nil),
		&vaultapi.ProveBody{Attempt: g.id},
		&vaultapi.CancelBody{Record: id("unknown"), Authority: vaultapi.Authority{Kind: vaultapi.ByUnlock}},
		&vaultapi.DeleteBody{Record: id("unknown")}, &vaultapi.DeleteBody{Record: s.record},
		&vaultapi.DeleteBody{Record: s.record, Authority: vaultapi.Authority{Kind: vaultapi.ByUnlock}},
	}
}

// contains reports whether the state's checkpoint has these bytes.
func (w *world) contains(b []byte) bool {
	return bytes.Contains(w.checkpoint(), b)
}

// holds reports whether k of a secret is in the state.
func (w *world) holds(s *secret) (found bool) {
	s.key.Use(func(k *[32]byte) { found = w.contains(k[:]) })
	return found
}
