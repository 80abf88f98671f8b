package vault_test

import (
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// HardenedAttempts: what the rules say of Attempts, with two questions. TestModel mixes
// both kinds.

// Rules 1 and 4: one attempt for both evaluations, and no more of them than of the
// other kind, whichever way they are mixed.
func TestHardenedAttemptIsOneAttempt(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 4)
	for i, g := range []*guess{newGuess(0), newGuess(1).hardened(1), newGuess(2)} {
		patient(w)
		g.output(t, alice.left(alice.attempt(g), vaultapi.OK, uint8(3-i)), s.key)
	}
	patient(w)
	last := newGuess(3).hardened(1)
	e := w.apply(alice.command(last.request()))
	if e.Evaluate != nil || w.holds(s) {
		t.Error("k is there after the last attempt")
	}
	last.output(t, w.finish(e), s.key)
	for _, g := range []*guess{newGuess(4).hardened(1), newGuess(5), newGuess(1).hardened(1)} {
		w.pass(minute)
		alice.expect(alice.attempt(g), vaultapi.Destroyed)
	}
	last.output(t, alice.left(alice.attempt(last), vaultapi.OK, 0), s.key)
	w.pass(hour)
	alice.expect(alice.attempt(last), vaultapi.Destroyed)
}

// Rule 2: the same both questions again cost nothing; any other under the same id is
// refused, also one of the other kind.
func TestHardenedAttemptRepeated(t *testing.T) {
	for _, limit := range []uint8{10, 1} {
		w := newWorld(t, policy())
		alice := w.person("alice")
		s := alice.register("password", limit)
		g := newGuess(1).hardened(1)
		for range 3 {
			g.output(t, alice.left(alice.attempt(g), vaultapi.OK, limit-1), s.key)
			w.reload()
		}
		other := newGuess(2).hardened(1)
		other.id = g.id
		for name, g := range map[string]*guess{"another B2": g.hardened(2), "another B": other, "no B2": newGuess(1)} {
			if a := alice.left(alice.attempt(g), vaultapi.Conflict, limit-1); a.Body != nil {
				t.Errorf("%s: answered with %T", name, a.Body)
			}
		}
	}
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 10)
	alice.left(alice.attempt(newGuess(1)), vaultapi.OK, 9)
	alice.left(alice.attempt(newGuess(1).hardened(1)), vaultapi.Conflict, 9)
}

// What is remembered of a hardened attempt is no element: asked for as one, with its
// id, it would pass for a repetition, and a second element would cost nothing. One
// hash in sixteen is one, but for the bit that is set.
func TestQuestionIsNoElement(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 10)
	tried, elements := byte(0), 0
	for n := byte(1); n != 0 && tried < 4; n++ {
		g := newGuess("element", n).hardened(n)
		question := g.question()
		if _, err := oprf.ParseBlinded(question[:]); err == nil {
			elements++
		}
		question[31] &= 0x7f
		if _, err := oprf.ParseBlinded(question[:]); err != nil {
			continue
		}
		tried++
		patient(w)
		alice.left(alice.attempt(g), vaultapi.OK, 10-tried)
		alice.left(alice.ask(&vaultapi.AttemptBody{Attempt: g.id, Blinded: g.question()}), vaultapi.Unsupported, 0)
		alice.left(alice.ask(&vaultapi.AttemptBody{Attempt: g.id, Blinded: question}), vaultapi.Conflict, 10-tried)
	}
	if tried < 4 || elements != 0 {
		t.Errorf("%d hashes that would be elements, %d that are", tried, elements)
	}
}

// Neither what is no element nor what is no point spends anything.
func TestHardenedAttemptOfNoPoint(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.register("password", 10)
	good := newGuess(1).hardened(1).request().(*vaultapi.HardenedAttemptBody)
	for name, change := range map[string]func(b *vaultapi.HardenedAttemptBody){
		"B":                func(b *vaultapi.HardenedAttemptBody) { b.Blinded = [32]byte{1} },
		"zeros":            func(b *vaultapi.HardenedAttemptBody) { b.Blinded2 = [33]byte{} },
		"another form":     func(b *vaultapi.HardenedAttemptBody) { b.Blinded2[0] = 4 },
		"not on the curve": func(b *vaultapi.HardenedAttemptBody) { b.Blinded2 = [33]byte{0: 2, 32: 1} },
		"not reduced": func(b *vaultapi.HardenedAttemptBody) {
			for i := range b.Blinded2[1:] {
				b.Blinded2[1+i] = 0xff
			}
		},
	} {
		b := *good
		change(&b)
		if a := alice.ask(&b); a.Code != vaultapi.Unsupported || a.Body != nil {
			t.Errorf("%s: %v", name, a.Code)
		}
	}
	if left := alice.status().Left; left != 10 {
		t.Errorf("%d left", left)
	}
	if _, err := vault.DecodeCommand(hardenCommand(alice)); err == nil {
		t.Error("a Harden is a command")
	}
}

// hardenCommand is the bytes of a command that there is not: a Harden changes no state.
func hardenCommand(p *person) []byte {
	b := p.command(newGuess(1).hardened(1).request()).Encode()
	at := len(b) - len(vaultapi.EncodeBody(newGuess(1).hardened(1).request())) - 1
	return append(append(b[:at:at], byte(vaultapi.Harden)), vaultapi.EncodeBody(&vaultapi.HardenBody{Blinded2: [33]byte{2}})...)
}

// A proof is about both questions: with another B2, or over B alone, it is none.
func TestHardenedProof(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	g := newGuess(1).hardened(1)
	alice.left(alice.attempt(g), vaultapi.OK, 9)
	alice.left(alice.prove(g.hardened(2), s, nil), vaultapi.Unauthorised, 9)
	alice.left(alice.prove(newGuess(1), s, nil), vaultapi.Unauthorised, 9)
	alice.left(alice.prove(g, s, nil), vaultapi.OK, 10)
	alice.left(alice.prove(g, s, nil), vaultapi.OK, 10)
	alice.left(alice.attempt(g), vaultapi.OK, 10) // remembered, at no cost
	alice.left(alice.attempt(g.hardened(2)), vaultapi.Conflict, 10)
}

// regressions.md: attempts of a record that has ended are delivered again to the next
// one. They are a conflict there, and cost it nothing.
func TestRegressionHardenedAttemptOfAnEndedRecord(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("old", 10)
	g := newGuess(1).hardened(1)
	alice.left(alice.attempt(g), vaultapi.OK, 9)
	next := password("next", 10)
	alice.expect(alice.propose(next), vaultapi.OK)
	alice.left(alice.confirm(next, s, vaultapi.ByUnlock), vaultapi.OK, 10)
	alice.left(alice.attempt(g), vaultapi.Conflict, 10)
	alice.left(alice.attempt(g.hardened(3)), vaultapi.Conflict, 10)
	alice.expect(alice.prove(g, s, nil), vaultapi.Conflict)
}

// Rule 5 and the cases without a record: as of the other kind.
func TestHardenedAttemptRefused(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	alice.expect(alice.attempt(newGuess(0).hardened(1)), vaultapi.None)
	s := alice.register("password", 10)
	for n := range 4 {
		alice.left(alice.attempt(newGuess(n).hardened(1)), vaultapi.OK, uint8(9-n))
	}
	if a := alice.left(alice.attempt(newGuess(9).hardened(1)), vaultapi.Wait, 6); a.Next != w.now+30*second {
		t.Errorf("next at +%d", since(a.Next))
	}
	alice.expect(alice.remove(s, vaultapi.ByUnlock), vaultapi.OK)
	alice.expect(alice.attempt(newGuess(10).hardened(1)), vaultapi.None)
}
