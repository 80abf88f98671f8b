package replica_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/replica"
)

// The simulated anchor is one.
func TestSimAnchor(t *testing.T) {
	anchors := map[string]anchor.Anchor{}
	anchortest.Run(t, func(t *testing.T, name string) anchor.Anchor {
		if anchors[name] == nil {
			anchors[name] = newWorld().anchored
		}
		a := anchors[name].(*simAnchor)
		a.closed = false
		return a
	})
}

// A history is what a client of one replica knows over several lives of it.
type history struct {
	acknowledged map[string]bool
	unknown      map[string]bool // may be there
	count        int
}

func newHistory() *history {
	return &history{acknowledged: map[string]bool{}, unknown: map[string]bool{}}
}

// propose proposes one new entry and remembers what came of it.
func (h *history) propose(t testing.TB, r *replica.Replica, size int) {
	h.count++
	e := fmt.Sprintf("entry %d %s", h.count, strings.Repeat("x", size))
	_, err := r.Propose(t.Context(), []byte(e))
	switch {
	case err == nil:
		h.acknowledged[e] = true
	case errors.Is(err, replica.ErrUnknown):
		h.unknown[e] = true
	case errors.Is(err, replica.ErrClosed), errors.Is(err, replica.ErrNoSpace), errors.Is(err, replica.ErrFull):
		// certainly not applied: if it is there all the same, wantAll finds it
	default:
		t.Errorf("proposing: %v", err)
	}
}

func (w *world) config() replica.Config {
	return replica.Config{Disk: w, Anchor: w.anchored, NewMachine: newToy, CheckpointBytes: 1 << 20, LogFileBytes: 4 << 10}
}

func (w *world) create(t testing.TB) error {
	return replica.Create(t.Context(), w.config(), 1, [][]byte{[]byte(genesis)})
}

// live is one life of a replica in which everything durable happens.
func (w *world) live(t testing.TB, h *history) error {
	r, err := replica.Open(t.Context(), w.config())
	if err != nil {
		return err
	}
	for range 2 {
		h.propose(t, r, 10)
		h.propose(t, r, 2000)
		_ = r.Checkpoint(t.Context()) // what comes of it shows in the next life
		h.propose(t, r, 10)
	}
	if w.fault == errIO && r.Err() == nil {
		w.goesOn(t, r, h)
	}
	return r.Close()
}

// goesOn checks that a replica which one failed step did not halt works on.
func (w *world) goesOn(t testing.TB, r *replica.Replica, h *history) {
	w.mu.Lock()
	met := w.limit > 0 && w.step >= w.limit
	w.mu.Unlock()
	if met && r.Err() == nil {
		before := len(h.acknowledged)
		h.propose(t, r, 3000)
		err := r.Checkpoint(t.Context())
		if errors.Is(err, replica.ErrClosed) { // it was on its way to halt
			<-r.Done()
			if r.Err() == nil {
				t.Errorf("after %q: closed by itself, and does not say why", w.trace)
			}
			return
		}
		if err != nil || len(h.acknowledged) == before {
			t.Errorf("after %q: neither halted nor working: %v", w.trace, err)
		}
	}
}

// verify starts what a crash left and looks at all of it; then it works.
func (w *world) verify(t testing.TB, h *history) {
	t.Helper()
	for range 2 {
		r, err := replica.Open(t.Context(), w.config())
		if err != nil {
			t.Fatalf("after %q: %v", w.trace, err)
		}
		wantAll(t, r, h.acknowledged, h.unknown)
		h.propose(t, r, 10)
		check(t, r.Checkpoint(t.Context()))
		check(t, r.Close())
	}
}

// steps runs a part of a life again and again, with the fault at another step each
// time, until the part is through without meeting it.
func steps(t *testing.T, fault error, prepare func() *world, part func(*world, int)) {
	for limit := 1; ; limit++ {
		w := prepare()
		w.step, w.trace, w.limit, w.fault = 0, nil, limit, fault
		part(w, limit)
		if w.step < limit {
			if limit < 20 {
				t.Errorf("only %d steps", limit)
			}
			return
		}
	}
}

// Power is cut between every pair of durable steps of a life, and everything that
// was not synced lost, kept or torn.
func TestPowerCut(t *testing.T) {
	var h *history
	prepare := func() *world {
		w := newWorld()
		h = newHistory()
		check(t, w.create(t))
		check(t, w.live(t, h))
		return w
	}
	steps(t, errPower, prepare, func(w *world, limit int) {
		_ = w.live(t, h)
		if w.step < limit {
			return
		}
		for seed := range uint64(3) {
			again := w.after(rand.New(rand.NewPCG(seed, uint64(limit))))
			again.verify(t, h.clone())
		}
	})
}

func (h *history) clone() *history {
	c := newHistory()
	c.count = h.count
	for e := range h.acknowledged {
		c.acknowledged[e] = true
	}
	for e := range h.unknown {
		c.unknown[e] = true
	}
	return c
}

// The same during Create, which can then be called again.
func TestPowerCutInCreate(t *testing.T) {
	for limit := 1; ; limit++ {
		w := newWorld()
		w.limit, w.fault = limit, errPower
		err := w.create(t)
		again := w.after(rand.New(rand.NewPCG(1, uint64(limit))))
		if !again.anchored.founded {
			check(t, again.create(t))
		}
		again.verify(t, newHistory())
		if err == nil {
			return
		}
	}
}

// Each step fails once, as a full or failing disk or anchor does. The replica
// halts or goes on; it never panics, and what it says is true.
func TestOneStepFails(t *testing.T) {
	var h *history
	prepare := func() *world {
		w := newWorld()
		h = newHistory()
		check(t, w.create(t))
		return w
	}
	steps(t, errIO, prepare, func(w *world, limit int) {
		if err := w.live(t, h); err != nil && !errors.Is(err, errIO) {
			t.Errorf("%q: %v", w.trace, err)
		}
		if w.step < limit {
			return
		}
		w.limit = 0
		w.verify(t, h)
		w.after(rand.New(rand.NewPCG(0, 0))).verify(t, h)
	})
}

// A full disk is met where nothing is lost yet: proposals are refused, and go
// on when there is room again.
func TestDiskFull(t *testing.T) {
	w := newWorld()
	check(t, w.create(t))
	full := &fullDisk{world: w}
	c := w.config()
	c.Disk = full
	r := must(replica.Open(t.Context(), c))
	propose(t, r, "before")
	full.full = true
	var refused error
	kept := []string{"before"}
	for i := 0; refused == nil; i++ {
		e := fmt.Sprintf("%d%s", i, strings.Repeat("x", 30_000))
		if _, refused = r.Propose(t.Context(), []byte(e)); refused == nil {
			kept = append(kept, e)
		}
	}
	if !errors.Is(refused, replica.ErrNoSpace) || !errors.Is(refused, errFull) || r.Err() != nil {
		t.Errorf("full: %v; the replica: %v", refused, r.Err())
	}
	if err := r.Checkpoint(t.Context()); !errors.Is(err, errFull) || r.Status().CheckpointError == nil {
		t.Errorf("a checkpoint on a full disk: %v", err)
	}
	full.full = false
	propose(t, r, "after")
	check(t, r.Checkpoint(t.Context()))
	if r.Status().CheckpointError != nil {
		t.Error("the checkpoint's error stays")
	}
	check(t, r.Close())
	r = must(replica.Open(t.Context(), w.config()))
	wantEntries(t, r, append(kept, "after")...)
	check(t, r.Close())
}

var errFull = errors.New("no space left on device")

type fullDisk struct {
	*world
	full bool
	late bool // it shows with the name, which is there then
}

type lateDraft struct{ replica.Draft }

func (d lateDraft) Publish(name string) error { return errors.Join(d.Draft.Publish(name), errFull) }

func (d *fullDisk) Create() (replica.Draft, error) {
	if !d.full {
		return d.world.Create()
	}
	if !d.late {
		return nil, errFull
	}
	draft, err := d.world.Create()
	return lateDraft{draft}, err
}

// The log cannot grow without bound while no checkpoint succeeds.
func TestLogBound(t *testing.T) {
	w := newWorld()
	check(t, w.create(t))
	broken := &noCheckpoints{world: w}
	c := w.config()
	c.Disk, c.CheckpointBytes = broken, 50_000
	r := must(replica.Open(t.Context(), c))
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = r.Propose(t.Context(), []byte(fmt.Sprintf("%d%s", n, strings.Repeat("x", 10_000))))
	}
	if !errors.Is(err, replica.ErrFull) || n < 20 {
		t.Errorf("after %d entries of 10 kB: %v", n, err)
	}
	broken.mended = true
	check(t, r.Checkpoint(t.Context()))
	propose(t, r, "after")
	check(t, r.Close())
}

// noCheckpoints publishes log files only.
type noCheckpoints struct {
	*world
	mended bool
}

func (d *noCheckpoints) Create() (replica.Draft, error) {
	draft, err := d.world.Create()
	return &pickyDraft{draft, d}, err
}

type pickyDraft struct {
	replica.Draft
	d *noCheckpoints
}

func (p *pickyDraft) Publish(name string) error {
	if strings.HasPrefix(name, "checkpoint-") && !p.d.mended {
		return errFull
	}
	return p.Draft.Publish(name)
}

// The model: a set of acknowledged entries. Random lives with random ends.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, h := newWorld(), newHistory()
		check(t, w.create(t))
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			w.limit, w.fault = 0, errPower
			if rapid.Bool().Draw(rt, "cut") {
				w.limit = w.step + rapid.IntRange(1, 120).Draw(rt, "step")
			}
			if err := w.randomLife(t, rt, h); err != nil && !errors.Is(err, errPower) {
				rt.Fatalf("after %q: %v", w.trace, err)
			}
			w = w.after(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)))
		}
		w.verify(t, h)
	})
}

func (w *world) randomLife(t *testing.T, rt *rapid.T, h *history) error {
	r, err := replica.Open(t.Context(), w.config())
	if err != nil {
		return err
	}
	wantAll2(t, r, h)
	for range rapid.IntRange(0, 30).Draw(rt, "operations") {
		switch rapid.IntRange(0, 6).Draw(rt, "operation") {
		case 0:
			_ = r.Checkpoint(t.Context())
		default:
			h.propose(t, r, rapid.IntRange(0, 40_000).Draw(rt, "size"))
		}
	}
	return r.Close()
}

// wantAll2 is wantAll of a replica that may be without power already.
func wantAll2(t *testing.T, r *replica.Replica, h *history) {
	err := r.Read(t.Context(), func(m replica.Machine) {
		there := unique(t, m.(*toy).entries)
		for e := range h.acknowledged {
			if !there[e] {
				t.Errorf("%.20q was acknowledged and is lost", e)
			}
		}
	})
	if err != nil && !errors.Is(err, replica.ErrClosed) {
		t.Error(err)
	}
}

// A batch whose sync failed is read at the next start from the system's memory, and
// kept. From then on it must outlive a power cut.
func TestFailedSyncIsRepeated(t *testing.T) {
	w := newWorld()
	check(t, w.create(t))
	r := must(replica.Open(t.Context(), w.config()))
	propose(t, r, "before")
	w.mu.Lock()
	w.limit, w.fault = w.step+2, errIO // the write, and then the sync
	w.mu.Unlock()
	if _, err := r.Propose(t.Context(), []byte("in doubt")); !errors.Is(err, replica.ErrUnknown) || !errors.Is(err, errIO) {
		t.Fatalf("a sync that fails: %v", err)
	}
	_ = r.Close()
	w.run(t, func(r *replica.Replica) { wantEntries(t, r, "before", "in doubt") })
	for seed := range uint64(20) {
		w.after(rand.New(rand.NewPCG(seed, 0))).run(t, func(r *replica.Replica) { wantEntries(t, r, "before", "in doubt") })
	}
}
