package vault_test

import (
	"strings"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// A path that never charges an attempt (Google key vault, 2018). Whatever came
// before, an evaluation of a new element lowers what is left by one.
func TestPathThatNeverCharges(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	detours := []func(i int){
		func(i int) {},
		func(i int) { alice.propose(password("detour", 10)) },
		func(i int) { alice.confirm(password("detour", 10), nil, vaultapi.ByNobody) },
		func(i int) { alice.remove(s, vaultapi.ByNobody) },
		func(i int) { alice.attempt(newGuess(i - 1)) },
		func(i int) { alice.cancel(s, s.record, vaultapi.ByUnlock) },
		func(i int) { w.reload() },
		func(i int) { alice.prove(newGuess("unknown"), s, nil) },
		func(i int) { alice.status() },
	}
	for i, detour := range detours {
		detour(i)
		patient(w)
		alice.left(alice.attempt(newGuess(i)), vaultapi.OK, uint8(9-i))
	}
}

// A limit chosen by the client without a cap (Juicebox; Google: 255).
func TestLimitWithoutACap(t *testing.T) {
	p := policy()
	p.MaxAttempts, p.Waits = 5, p.Waits[:4]
	w := newWorld(t, p)
	alice := w.person("alice")
	for _, limit := range []uint8{6, 10} {
		alice.expect(alice.propose(password("password", limit)), vaultapi.Unsupported)
	}
	alice.expect(alice.propose(password("password", 5)), vaultapi.OK)
	for _, limit := range []uint8{0, 11, 255} {
		refusesToEncode(t, alice.command(password("password", limit).proposal), "limit of")
	}
}

func refusesToEncode(t *testing.T, c *vault.Command, why string) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, ok := recover().(string); !ok || !strings.Contains(text, why) {
			t.Errorf("recovered %q, want %q", text, why)
		}
	}()
	c.Encode()
}

// Ten guesses per record instead of per user (WhatsApp, CRYPTO 2023): neither
// replacing nor deleting nor a smaller limit in between refills.
func TestReregistrationRefills(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	alice.burn(s, "wrong", 7)
	for i, limit := range []uint8{10, 1, 2, 10} {
		next := password(string(rune('a'+i)), limit)
		alice.propose(next)
		alice.confirm(next, nil, vaultapi.ByNobody)
		w.pass(7 * day)
		alice.left(alice.confirm(next, nil, vaultapi.ByNobody), vaultapi.OK, []uint8{3, 1, 1, 3}[i])
		s = next
	}
	alice.expect(alice.remove(s, vaultapi.ByNobody), vaultapi.Wait)
	w.pass(7 * day)
	alice.expect(alice.remove(s, vaultapi.ByNobody), vaultapi.OK)
	alice.expect(alice.status(), vaultapi.None)
	if got := w.state.Counts(); got.Tombstones != 1 || got.Records != 0 {
		t.Errorf("counts %+v", got)
	}
	w.pass(365 * day)
	again := alice.register("again", 10)
	alice.left(alice.status(), vaultapi.OK, 3)
	alice.burn(again, "wrong again", 3)
	alice.expect(alice.status(), vaultapi.Destroyed)
}

// A lost answer burns a guess (every system whose code is public); a failure after
// the commit is answered as an error (Juicebox). The same bytes again, later and
// after a restart, are answered and cost nothing.
func TestLostAnswerBurnsAGuess(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	for i := range 10 {
		patient(w)
		g := newGuess(i)
		w.apply(alice.command(g.body())) // and the shell dies
		w.reload()
		g.output(t, alice.left(alice.attempt(g), vaultapi.OK, uint8(9-i)), s.key)
	}
}

// Count not reset where the last step was not answered (Juicebox). Prove counts
// when it was applied; repeated it gives the same answer, also after the record is
// gone, and does nothing new.
func TestLastStepNotAnswered(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 10)
	g, phone, tablet := newGuess("right"), signer("phone"), signer("tablet")
	alice.burn(s, "wrong", 3)
	alice.attempt(g)
	w.apply(alice.command(alice.proof(g, s, phone))) // unanswered
	alice.left(alice.status(), vaultapi.OK, 10)
	again := alice.left(alice.prove(g, s, phone), vaultapi.OK, 10)
	if n := len(again.Body.(*vaultapi.History).Past); n != 3 {
		t.Errorf("%d attempts in the history, want 3", n)
	}
	// Later another device proves; the first Prove delivered again enrols nothing.
	second := newGuess("second")
	alice.attempt(second)
	alice.expect(alice.prove(second, s, tablet), vaultapi.OK)
	alice.expect(alice.prove(g, s, phone), vaultapi.OK)
	alice.expect(alice.prove(g, s, tablet), vaultapi.Conflict)
	s.device = phone
	next := password("next", 10)
	alice.propose(next)
	alice.expect(alice.confirm(next, s, vaultapi.ByDevice), vaultapi.Unauthorised)
	s.device = tablet
	alice.expect(alice.confirm(next, s, vaultapi.ByDevice), vaultapi.OK)
	alice.expect(alice.prove(g, s, phone), vaultapi.OK)
}

// The same with the last attempt: its Prove leaves a tombstone without a count,
// and says so as often as it is asked.
func TestLastAttemptIsProved(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 3)
	alice.burn(s, "wrong", 2)
	patient(w)
	g := newGuess("right")
	g.output(t, alice.left(alice.attempt(g), vaultapi.OK, 0), s.key)
	alice.propose(password("dropped by the proof", 3))
	for range 2 {
		a := alice.expect(alice.prove(g, s, nil), vaultapi.OK)
		if n := len(a.Body.(*vaultapi.History).Past); n != 2 {
			t.Errorf("%d attempts in the history, want 2", n)
		}
		w.reload()
	}
	alice.expect(alice.attempt(g), vaultapi.Destroyed)
	alice.expect(alice.status(), vaultapi.Destroyed)
	if got := w.state.Counts(); got.Records != 0 || got.Tombstones != 1 || got.Pending != 0 {
		t.Errorf("counts %+v", got)
	}
	alice.register("afresh", 3)
	alice.left(alice.status(), vaultapi.OK, 3)
}

// Two clients race for the last attempt: one gets it, the other is told that the
// record is destroyed, and what either repeats is answered the same.
func TestTwoClientsRaceForTheLastAttempt(t *testing.T) {
	w := newWorld(t, policy())
	alice := w.person("alice")
	s := alice.register("password", 2)
	alice.burn(s, "wrong", 1)
	first, second := newGuess("first"), newGuess("second")
	one, two := alice.command(first.body()), alice.command(second.body())
	for _, c := range []*vault.Command{one, two} {
		if _, decided := w.state.Check(c); decided {
			t.Error("decided before either was committed")
		}
	}
	for range 2 {
		first.output(t, w.finish(w.apply(one)), s.key)
		if a := w.finish(w.apply(two)); a.Code != vaultapi.Destroyed {
			t.Errorf("the second is answered %v", a.Code)
		}
	}
}
