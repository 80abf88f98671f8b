package vault_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Defects that were real in systems like this one (design/regressions.md), one
// test each.

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
