package vaultd_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
	"keepsake.example/replica"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// chip is a device of which only the fleet's key is used.
type chip struct {
	anchor.Device
	key    [32]byte
	public *[33]byte // what it says is h·G, if not that
	clock  *clock
	slow   time.Duration // what an evaluation takes on the clock
	broken atomic.Bool
	asked  atomic.Int64
	hold   atomic.Pointer[chan struct{}] // an evaluation waits until this is closed
}

func newChip(clock *clock) *chip { return &chip{key: [32]byte{31: 77}, clock: clock} }

func (c *chip) FleetKey(context.Context) (anchor.FleetKey, error) {
	if c.key == [32]byte{} {
		return nil, anchor.ErrNoFleetKey
	}
	return c, nil
}

func (c *chip) Public() [33]byte {
	if c.public != nil {
		return *c.public
	}
	return must(p256.Public(&c.key))
}

func (c *chip) Evaluate(_ context.Context, blinded [33]byte) ([33]byte, error) {
	c.asked.Add(1)
	c.clock.advance(c.slow)
	if held := c.hold.Load(); held != nil {
		<-*held
	}
	if c.broken.Load() {
		return [33]byte{}, anchor.ErrAbsent
	}
	return p256.Evaluate(&c.key, blinded)
}

// hardenedGuess is one attempt with both questions.
type hardenedGuess struct {
	guess
	body  *vaultapi.HardenedAttemptBody
	point *p256.Blinding
}

func newHardenedGuess(password string) hardenedGuess {
	g := newGuess(password)
	point := must(p256.Blind(rand.Reader, []byte(password)))
	return hardenedGuess{g, &vaultapi.HardenedAttemptBody{Attempt: g.body.Attempt, Blinded: g.body.Blinded, Blinded2: point.Blinded()}, point}
}

// finishBoth checks both evaluations.
func (p *person) finishBoth(g hardenedGuess, a *vaultapi.Answer, c *chip) error {
	e, ok := a.Body.(*vaultapi.HardenedEvaluation)
	if !ok {
		return fmt.Errorf("%v with %T", a.Code, a.Body)
	}
	if e.Evaluated2 != must(p256.Evaluate(&c.key, g.body.Blinded2)) {
		return errors.New("an evaluation that is not h·B2")
	}
	return p.finish(g.guess, &vaultapi.Answer{Body: &e.Evaluation})
}

func (p *person) proveBoth(g hardenedGuess) *vaultapi.ProveBody {
	b := &vaultapi.ProveBody{Attempt: g.body.Attempt}
	copy(b.Signature[:], ed25519.Sign(p.unlock, vaultapi.ProveMessage(p.w.fleet, p.account, p.record, b.Attempt, g.body.Question(), b.Device)))
	return b
}

func harden() *vaultapi.HardenBody {
	return &vaultapi.HardenBody{Blinded2: must(p256.Blind(rand.Reader, []byte("new"))).Blinded()}
}

// hardenedWorld is a vault of one machine with a chip.
func hardenedWorld(t *testing.T, change ...func(*vaultd.Config)) (*world, *chip) {
	clock := newClock()
	c := newChip(clock)
	return foundWorld(t, clock, c, change...), c
}

// A whole life under the second suite, over the wire and over a restart.
func TestHardenedFleet(t *testing.T) {
	w, c := hardenedWorld(t)
	if b := w.bundle(); b.FleetKey != c.Public() {
		t.Errorf("the bundle's fleet key is %x", b.FleetKey)
	}
	alice := w.person("alice")
	body := harden()
	a := wants(t, alice.ask(body), vaultapi.OK)
	if a.Body.(*vaultapi.Hardened).Evaluated2 != must(p256.Evaluate(&c.key, body.Blinded2)) || a.Limit != 0 {
		t.Errorf("a Harden is answered %+v", a)
	}
	alice.register("right")
	wrong, right := newHardenedGuess("wrong"), newHardenedGuess("right")
	if err := alice.finishBoth(wrong, wants(t, alice.ask(wrong.body), vaultapi.OK), c); !errors.Is(err, errWrong) {
		t.Error(err)
	}
	w.restart()
	for range 2 {
		a := wants(t, alice.ask(right.body), vaultapi.OK)
		if err := alice.finishBoth(right, a, c); err != nil || a.Left != 8 {
			t.Errorf("%d left, %v", a.Left, err)
		}
	}
	old := alice.prove(right.guess) // over B, not c
	wants(t, alice.ask(old), vaultapi.Unauthorised)
	if a := wants(t, alice.ask(alice.proveBoth(right)), vaultapi.OK); a.Left != 10 || len(a.Body.(*vaultapi.History).Past) != 1 {
		t.Errorf("proved: %+v", a)
	}
	if b := w.bundle(); b.FleetKey != c.Public() {
		t.Errorf("after the restart the bundle's fleet key is %x", b.FleetKey)
	}
}

// Every kind of device answers alike: what setting a password asked and what recovering it asks,
// under blinds of their own, come to the same.
func TestHardenedOnEveryDevice(t *testing.T) {
	for kind, play := range kinds {
		t.Run(kind, func(t *testing.T) {
			h := play(t, t.TempDir())
			device := must(h.open())
			t.Cleanup(func() { device.(io.Closer).Close() })
			public := must(device.MakeFleetKey(t.Context(), h.custodian))
			w := foundWorld(t, newClock(), device)
			if b := w.bundle(); b.FleetKey != public {
				t.Errorf("the bundle's fleet key is %x", b.FleetKey)
			}
			alice := w.registered("alice", "right")
			set, g := must(p256.Blind(rand.Reader, []byte("right"))), newHardenedGuess("right")
			told := wants(t, alice.ask(&vaultapi.HardenBody{Blinded2: set.Blinded()}), vaultapi.OK).Body.(*vaultapi.Hardened)
			e := wants(t, alice.ask(g.body), vaultapi.OK).Body.(*vaultapi.HardenedEvaluation)
			if err := alice.finish(g.guess, &vaultapi.Answer{Body: &e.Evaluation}); err != nil {
				t.Error(err)
			}
			if must(set.Finalize(told.Evaluated2)) != must(g.point.Finalize(e.Evaluated2)) {
				t.Error("two outputs for one password")
			}
		})
	}
}

// A fleet without the key knows nothing of the second suite, and commits nothing for it.
func TestUnhardenedFleet(t *testing.T) {
	w := newWorld(t)
	alice := w.registered("alice", "right")
	const asked = 10 // several, since a server that has just begun to lead commits a few entries of its own (keep.go)
	before := w.server.Status(t.Context()).Replica.Applied
	for range asked {
		wants(t, alice.ask(harden()), vaultapi.Unsupported)
		wants(t, alice.ask(newHardenedGuess("right").body), vaultapi.Unsupported)
	}
	if after := w.server.Status(t.Context()).Replica.Applied; after-before >= asked {
		t.Errorf("%d entries for %d requests of each kind that is not supported", after-before, asked)
	}
	if a := wants(t, alice.ask(&vaultapi.StatusBody{}), vaultapi.OK); a.Left != 10 {
		t.Errorf("%d attempts left", a.Left)
	}
}

// A machine serves a fleet with a key only with that key, and only if it works.
func TestWrongDevice(t *testing.T) {
	w, c := hardenedWorld(t)
	w.stop()
	w.openAnchor()
	t.Cleanup(func() { w.anchor.Close() })
	other, empty, lying := newChip(w.clock), newChip(w.clock), newChip(w.clock)
	other.key[0], empty.key, lying.key[0] = 1, [32]byte{}, 1
	h := c.Public()
	lying.public = &h
	broken := newChip(w.clock)
	broken.broken.Store(true)
	for name, device := range map[string]anchor.Device{"none": nil, "another key": other, "no key": empty, "another key under its name": lying, "broken": broken} {
		w.config.Anchor, w.config.Device = w.anchor, device
		if s, err := vaultd.New(t.Context(), w.config); err == nil {
			s.Close()
			t.Errorf("%s: served", name)
		} else if isKey := errors.Is(err, vaultd.ErrFleetKey); isKey != (device == nil || device == other || device == empty) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Ten questions of an account at once, of either kind, then one in six minutes, however
// often it proves its password. Other accounts have their own.
func TestQuestionsAreRationed(t *testing.T) {
	w, c := hardenedWorld(t)
	alice, bob := w.registered("alice", "right"), w.person("bob")
	c.asked.Store(0)
	for n := range 10 {
		if n%2 == 0 {
			wants(t, alice.ask(harden()), vaultapi.OK)
			continue
		}
		g := newHardenedGuess("right")
		wants(t, alice.ask(g.body), vaultapi.OK)
		wants(t, alice.ask(alice.proveBoth(g)), vaultapi.OK)
	}
	for range 3 {
		wants(t, alice.ask(harden()), vaultapi.Busy)
		wants(t, alice.ask(newHardenedGuess("right").body), vaultapi.Busy)
	}
	wants(t, bob.ask(harden()), vaultapi.OK)
	w.clock.advance(7 * time.Minute)
	wants(t, alice.ask(harden()), vaultapi.OK)
	wants(t, alice.ask(harden()), vaultapi.Busy)
	if n := c.asked.Load(); n != 12 {
		t.Errorf("the device was asked %d times", n)
	}
	if a := wants(t, alice.ask(&vaultapi.StatusBody{}), vaultapi.OK); a.Left != 10 {
		t.Errorf("%d left after attempts that were answered busy", a.Left)
	}
}

// Repetitions are no new question, but take the device's time; what it has no time for
// is not spent.
func TestRepetitionsAreRationed(t *testing.T) {
	w, c := hardenedWorld(t)
	alice := w.registered("alice", "right")
	g, next := newHardenedGuess("right"), newHardenedGuess("wrong")
	for n := range 60 {
		if a := wants(t, alice.ask(g.body), vaultapi.OK); a.Left != 9 {
			t.Fatalf("repetition %d: %d left", n, a.Left)
		}
	}
	wants(t, alice.ask(g.body), vaultapi.Busy)
	wants(t, alice.ask(next.body), vaultapi.Busy)
	if a := wants(t, alice.ask(&vaultapi.StatusBody{}), vaultapi.OK); a.Left != 9 {
		t.Errorf("%d left after an attempt that was answered busy", a.Left)
	}
	w.clock.advance(2 * time.Minute)
	if err := alice.finishBoth(g, wants(t, alice.ask(g.body), vaultapi.OK), c); err != nil {
		t.Error(err)
	}
}

// A device that fails makes busy of an attempt, and of nothing else. The first is spent, once,
// and the same bytes are answered when the device is back; no other is spent until then.
func TestDeviceFails(t *testing.T) {
	w, c := hardenedWorld(t)
	alice := w.registered("alice", "right")
	c.broken.Store(true)
	g := newHardenedGuess("right")
	for range 3 {
		wants(t, alice.ask(g.body), vaultapi.Busy)
		wants(t, alice.ask(harden()), vaultapi.Busy)
	}
	other := newHardenedGuess("right") // as when somebody takes it for a wrong password, and types another
	wants(t, alice.ask(other.body), vaultapi.Busy)
	if a := wants(t, alice.ask(&vaultapi.StatusBody{}), vaultapi.OK); a.Left != 9 {
		t.Errorf("%d left: attempts are spent on a device that is known to fail", a.Left)
	}
	metrics := w.admin("GET", "/metrics").Body.String()
	for _, want := range []string{"vaultd_device_failing 1", "vaultd_device_failures_total 7", "vaultd_device_seconds_count 0"} {
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("no %q in the metrics", want)
		}
	}
	c.broken.Store(false)
	a := wants(t, alice.ask(g.body), vaultapi.OK)
	other.body.Attempt = g.body.Attempt
	wants(t, alice.ask(other.body), vaultapi.Conflict)
	if err := alice.finishBoth(g, a, c); err != nil || a.Left != 9 {
		t.Errorf("%d left, %v", a.Left, err)
	}
	if !strings.Contains(w.admin("GET", "/metrics").Body.String(), "\nvaultd_device_failing 0\n") {
		t.Error("the device is said to fail")
	}
	if n := strings.Count(w.log.String(), "does not evaluate"); n != 1 || strings.Count(w.log.String(), "evaluates again") != 1 {
		t.Errorf("the operator was told %d times", n)
	}
}

// A flood of attempts on a device that has stopped answering: so many wait, the rest is
// busy before anything is spent, and what needs no device is answered.
func TestDeviceIsFlooded(t *testing.T) {
	t.Parallel() // it waits for the device more than it computes
	w, c := hardenedWorld(t, func(c *vaultd.Config) {
		c.Limits.Quantum, c.Limits.QueueWait, c.Limits.Commit, c.Limits.PerAccount = 0, 50*time.Millisecond, 3*time.Second, 1024
	})
	const flood = 120
	var people []*person
	for n := range flood {
		people = append(people, w.registered(fmt.Sprint("person-", n), "right"))
	}
	c.asked.Store(0)
	hold := make(chan struct{})
	c.hold.Store(&hold)
	var all sync.WaitGroup
	for _, p := range people {
		all.Go(func() {
			if a := w.server.Decide(t.Context(), must(p.request(newHardenedGuess("wrong").body).Encode())); a.Code != vaultapi.Busy {
				t.Errorf("answered %v", a.Code)
			}
		})
	}
	wants(t, people[0].ask(&vaultapi.StatusBody{}), vaultapi.OK)
	all.Wait()
	if n := c.asked.Load(); n > 16 {
		t.Errorf("%d evaluations at once", n)
	}
	spent := 0
	for _, p := range people {
		spent += 10 - int(p.ask(&vaultapi.StatusBody{}).Left)
	}
	if spent > 16+64 {
		t.Errorf("%d attempts were spent that the device had no time for", spent)
	}
	c.hold.Store(nil)
	close(hold)
	g := newHardenedGuess("right")
	eventually(t, "the device works", func() error { return people[0].finishBoth(g, people[0].ask(g.body), c) })
}

// The relay does not see by the time whether the device was asked.
func TestQuantumHasRoomForTheDevice(t *testing.T) {
	clock := newClock()
	c := newChip(clock)
	c.slow = 60 * time.Millisecond
	w := foundWorld(t, clock, c)
	alice, nobody := w.registered("alice", "right"), w.person("nobody")
	took := func(p *person, body vaultapi.Body, code vaultapi.Code) time.Duration {
		before := clock.Elapsed()
		wants(t, p.ask(body), code)
		return clock.Elapsed() - before
	}
	g := newHardenedGuess("right")
	for name, d := range map[string]time.Duration{
		"attempt": took(alice, g.body, vaultapi.OK), "again": took(alice, g.body, vaultapi.OK), "status": took(alice, &vaultapi.StatusBody{}, vaultapi.OK),
		"no record": took(nobody, g.body, vaultapi.None), "harden": took(nobody, harden(), vaultapi.OK), "proof": took(alice, alice.proveBoth(g), vaultapi.OK),
	} {
		if d != 140*time.Millisecond {
			t.Errorf("%s: answered after %v", name, d)
		}
	}
	for slowest, want := range map[time.Duration]time.Duration{0: 20, time.Millisecond: 20, 5 * time.Millisecond: 20, 6 * time.Millisecond: 40, 100 * time.Millisecond: 220, time.Minute: 1000} {
		if q := vaultd.QuantumFor(20*time.Millisecond, slowest); q != want*time.Millisecond {
			t.Errorf("a device that takes %v: a quantum of %v", slowest, q)
		}
	}
	if q := vaultd.QuantumFor(0, time.Second); q != 0 {
		t.Errorf("no quantum becomes %v", q)
	}
}

// The machine that decides evaluates, also for one that has not the account's group.
func TestHardenedGroups(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 2, 2, func(m *machine) { m.config.Device = newChip(m.clock) })
	f.settled()
	for group := range uint32(2) {
		for n := range 4 {
			p := f.registered(fmt.Sprint("person-", group, n), "right")
			for _, m := range f.up() {
				f.askAt(m)
				g := newHardenedGuess("right")
				if err := p.finishBoth(g, wants(t, p.ask(g.body), vaultapi.OK), m.config.Device.(*chip)); err != nil {
					t.Errorf("asked at %d: %v", m.number, err)
				}
			}
		}
	}
}

// As long as not every member reads the entry, it is not supported, and nothing is spent.
func TestHardenedAttemptWaitsForEverybody(t *testing.T) {
	w, c := hardenedWorld(t)
	alice := w.registered("alice", "right")
	w.server.Wrap(func(c vaultd.Committer) vaultd.Committer { return unread{c} })
	wants(t, alice.ask(newHardenedGuess("right").body), vaultapi.Unsupported)
	w.server.Wrap(func(c vaultd.Committer) vaultd.Committer { return c.(unread).Committer })
	g := newHardenedGuess("right")
	if a := wants(t, alice.ask(g.body), vaultapi.OK); a.Left != 9 || alice.finishBoth(g, a, c) != nil {
		t.Errorf("%d left", a.Left)
	}
}

// unread is a leader among members of whom one is old.
type unread struct{ vaultd.Committer }

func (unread) Propose(context.Context, []byte) (any, error) { return nil, replica.ErrVersion }
