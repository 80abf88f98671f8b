package vault_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// strict is stricter than policy in everything.
func strict() vault.Policy {
	return vault.Policy{
		MaxAttempts: 5, Waits: []uint64{minute, minute, minute, hour}, CoolDown: 14 * day, Grace: minute,
	}
}

func (w *world) restrict(p vault.Policy) *vault.Effect {
	w.t.Helper()
	return w.apply(&vault.Command{Kind: vault.Restrict, Time: w.now, Policy: p})
}

// A cap that was raised later, or a wait that was shortened, by whoever holds the
// servers. Where the vault is told to do so, it stops instead: the operators'
// signed change was checked before, so that this is a broken invariant.
func TestCapRaised(t *testing.T) {
	for name, weaken := range map[string]func(*vault.Policy){
		"one attempt more":   func(p *vault.Policy) { p.MaxAttempts, p.Waits = 6, append(p.Waits, day) },
		"a shorter wait":     func(p *vault.Policy) { p.Waits[0]-- },
		"a shorter last":     func(p *vault.Policy) { p.Waits[3]-- },
		"shorter, with less": func(p *vault.Policy) { p.MaxAttempts, p.Waits = 2, []uint64{minute - 1} },
		"cool-down":          func(p *vault.Policy) { p.CoolDown-- },
		"grace":              func(p *vault.Policy) { p.Grace++ },
		"insecure":           func(p *vault.Policy) { p.Insecure = true },
	} {
		w := newWorld(t, strict())
		alice := w.person("alice")
		alice.register("password", 5)
		p := strict()
		weaken(&p)
		if _, err := w.state.Apply(&vault.Command{Kind: vault.Restrict, Time: w.now, Policy: p}); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := w.state.Apply(alice.command(newGuess(1).body())); err == nil {
			t.Errorf("%s: and the vault goes on", name)
		}
	}
	insecure := strict()
	insecure.Insecure = true
	w := newWorld(t, insecure)
	if _, err := w.state.Apply(&vault.Command{Kind: vault.Restrict, Policy: strict()}); err == nil {
		t.Error("a fleet that was founded insecure is called secure")
	}
}

// The bundle carries the policy, and so has a new serial and time. A policy as it
// was is taken too.
func TestRestrictIsToldInTheBundle(t *testing.T) {
	w := newWorld(t, policy())
	for i, p := range []vault.Policy{policy(), strict(), strict()} {
		w.pass(1)
		c := &vault.Command{Kind: vault.Restrict, Time: w.now, Policy: p}
		c.Policy.Waits = slices.Clone(p.Waits)
		if _, decided := w.state.Check(c); decided {
			t.Error("a policy needs no commit")
		}
		e, err := w.state.Apply(c)
		if err != nil || e.Answer.Code != vaultapi.OK || e.Answer.Time != w.now {
			t.Errorf("answered %+v, %v", e, err)
		}
		clear(c.Policy.Waits) // the proposer's memory is its own
		w.reload()
		v := w.state.Fleet()
		if diff := cmp.Diff(p, v.Policy); diff != "" || v.Serial != uint64(i+1) || v.Changed != w.now {
			t.Errorf("serial %d, changed at +%d; policy (-want +got):\n%s", v.Serial, since(v.Changed), diff)
		}
	}
}

// A smaller limit is for what is proposed from now on; a record keeps the limit that
// its owner was told. No wait of it gets shorter, of those past the new limit either.
func TestRestrictKeepsLimits(t *testing.T) {
	for _, to := range []vault.Policy{strict(), {MaxAttempts: 1, CoolDown: 7 * day}, {MaxAttempts: 2, Waits: []uint64{0}, CoolDown: 7 * day}} {
		w := newWorld(t, policy())
		alice, bob := w.person("alice"), w.person("bob")
		s := alice.register("password", 10)
		bob.propose(password("before", 10))
		w.restrict(to)
		alice.expect(alice.propose(password("more", to.MaxAttempts+1)), vaultapi.Unsupported)
		bob.expect(bob.confirm(password("before", 10), nil, vaultapi.ByNobody), vaultapi.OK)
		for n := range 10 {
			g := newGuess(n)
			a := alice.left(alice.attempt(g), vaultapi.OK, uint8(9-n))
			g.output(t, a, s.key)
			if n == 9 {
				break
			}
			want := policy().Waits[n]
			if len(to.Waits) > 0 {
				want = max(want, to.Waits[min(n, len(to.Waits)-1)])
			}
			if got := max(a.Next, w.now) - w.now; got != want {
				t.Errorf("limit %d: %d ms after attempt %d, want %d", to.MaxAttempts, got, n+1, want)
			}
			w.pass(want)
		}
		alice.expect(alice.attempt(newGuess("eleventh")), vaultapi.Destroyed)
		w.pass(hour)
		if a := alice.attempt(newGuess("twelfth")); a.Code != vaultapi.Destroyed {
			t.Errorf("after the grace: %v", a.Code)
		}
		alice.register("new", to.MaxAttempts)
		alice.left(alice.attempt(newGuess("new")), vaultapi.OK, to.MaxAttempts-1)
	}
}

// What began under the old policy ends when it said; what begins is under the new one.
func TestRestrictAndTime(t *testing.T) {
	w := newWorld(t, policy())
	running, later, last := w.person("running"), w.person("later"), w.person("last")
	for _, p := range []*person{running, later} {
		p.register(string(p.who[:]), 10)
	}
	for i := range 4 {
		running.attempt(newGuess(i)) // now it waits for 30 s
	}
	running.propose(password("thief", 10))
	confirm := func(p *person) *vaultapi.Answer { return p.confirm(password("thief", 10), nil, vaultapi.ByNobody) }
	if a := confirm(running); a.Next != w.now+7*day {
		t.Errorf("a cool-down of %d ms", a.Next-w.now)
	}
	last.register("last", 1)
	last.attempt(newGuess("last"))
	w.restrict(strict())
	if a := running.attempt(newGuess(4)); a.Next != w.now+30*second {
		t.Errorf("a wait that was running goes on for %d ms", a.Next-w.now)
	}
	later.propose(password("thief", 5))
	if a := later.confirm(password("thief", 5), nil, vaultapi.ByNobody); a.Next != w.now+14*day {
		t.Errorf("a new cool-down of %d ms", a.Next-w.now)
	}
	w.pass(2 * minute)
	last.expect(last.attempt(newGuess("last")), vaultapi.OK) // the old grace
	if a := running.attempt(newGuess(4)); a.Next != w.now+hour {
		t.Errorf("the fifth wait is %d ms", a.Next-w.now)
	}
	w.pass(7 * day)
	running.expect(confirm(running), vaultapi.OK)
	later.expect(later.confirm(password("thief", 5), nil, vaultapi.ByNobody), vaultapi.Wait)
	last.expect(last.propose(password("again", 1)), vaultapi.OK)
	last.expect(last.confirm(password("again", 1), nil, vaultapi.ByNobody), vaultapi.OK)
	last.attempt(newGuess("again"))
	w.pass(minute)
	last.expect(last.attempt(newGuess("again")), vaultapi.Destroyed) // the new grace
}

// Whether somebody waits for an effect changes no byte of the state: replicas of
// which one was asked agree. Nobody who does not ask gets a key.
func TestUnasked(t *testing.T) {
	asked, others := newWorld(t, policy()), newWorld(t, policy())
	for _, w := range []*world{asked, others} {
		w.person("alice").register("password", 2)
	}
	for i := range 2 {
		c := asked.person("alice").command(newGuess(i).body())
		e := asked.apply(c)
		c.Unasked = true
		silent, err := others.state.Apply(c)
		if err != nil || silent.Evaluate != nil || (e.Evaluate != nil) != (i == 0) {
			t.Errorf("attempt %d: evaluates %v, unasked %v, %v", i, e.Evaluate, silent.Evaluate, err)
		}
		if string(asked.checkpoint()) != string(others.checkpoint()) {
			t.Errorf("attempt %d: the states differ", i)
		}
	}
}
