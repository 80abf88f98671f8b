package replica_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// A place is a folder with a replica's disk and anchor.
type place struct{ disk, anchor string }

func newPlace(t testing.TB) place {
	dir := t.TempDir()
	return place{filepath.Join(dir, "disk"), filepath.Join(dir, "anchor")}
}

// run opens what is in a place, for as long as f runs.
func (p place) run(t testing.TB, f func(*replica.Replica)) {
	t.Helper()
	if err := p.try(t, f); err != nil {
		t.Fatal(err)
	}
}

func (p place) try(t testing.TB, f func(*replica.Replica)) error {
	t.Helper()
	a := must(software.Open(p.anchor))
	defer a.Close()
	r, err := replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy})
	if err != nil {
		return err
	}
	f(r)
	return r.Close()
}

func (p place) create(t testing.TB) {
	t.Helper()
	a := must(software.Open(p.anchor))
	defer a.Close()
	check(t, replica.Create(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}, 1, [][]byte{[]byte(genesis)}))
}

func created(t testing.TB) place {
	p := newPlace(t)
	p.create(t)
	return p
}

func TestStartAgain(t *testing.T) {
	p := created(t)
	var want []string
	for round := range 4 {
		p.run(t, func(r *replica.Replica) {
			wantEntries(t, r, want...)
			for i := range 5 {
				e := fmt.Sprintf("entry %d of round %d", i, round)
				effect, err := r.Propose(t.Context(), []byte(e))
				if err != nil || effect != len(want)+2 {
					t.Fatalf("effect %v, %v; want %d", effect, err, len(want)+2)
				}
				want = append(want, e)
			}
			wantEntries(t, r, want...)
			if round%2 == 1 {
				check(t, r.Checkpoint(t.Context()))
				propose(t, r, "after a checkpoint")
				want = append(want, "after a checkpoint")
			}
		})
	}
	p.run(t, func(r *replica.Replica) { wantEntries(t, r, want...) })
}

// heldOnce is an anchor that holds one batch up, once it is armed.
type heldOnce struct {
	anchor.Anchor
	armed     atomic.Bool
	at, letGo chan struct{}
}

func (h *heldOnce) Advance(ctx context.Context, s anchor.State) error {
	if h.armed.CompareAndSwap(true, false) {
		close(h.at)
		<-h.letGo
	}
	return h.Anchor.Advance(ctx, s)
}

// What waits while a batch becomes durable is the next one, all of it: a disk so fast that nothing waits is made to.
func TestConcurrentProposals(t *testing.T) {
	const workers, each, checkpoints = 16, 20, 3
	p := created(t)
	a := &heldOnce{Anchor: must(software.Open(p.anchor)), at: make(chan struct{}), letGo: make(chan struct{})}
	r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}))
	check(t, r.Read(t.Context(), func(replica.Machine) {}))
	before := r.Status().Batch
	all := map[string]bool{"first": true}
	var wg sync.WaitGroup
	a.armed.Store(true)
	wg.Go(func() { propose(t, r, "first") })
	<-a.at
	for w := range workers {
		for _, e := range numbered(fmt.Sprint("worker ", w), each) {
			all[e] = true
		}
		wg.Go(func() { propose(t, r, numbered(fmt.Sprint("worker ", w), each)...) })
	}
	for r.Status().Queued < workers {
		runtime.Gosched()
	}
	close(a.letGo)
	for range checkpoints {
		check(t, r.Checkpoint(t.Context()))
	}
	wg.Wait()
	wantAll(t, r, all, nil)
	s := r.Status()
	if most := 1 + 1 + workers*(each-1) + checkpoints; s.Batch-before > uint64(most) {
		t.Errorf("%d entries in %d batches: what waited should have shared one", len(all), s.Batch-before)
	}
	if s.Role != "leader" || s.Applied != s.Last || s.Committed != s.Last || s.Queued != 0 || !s.Anchor.Insecure {
		t.Errorf("status %+v", s)
	}
	check(t, r.Close())
	a.Close()
	p.run(t, func(r *replica.Replica) { wantAll(t, r, all, nil) })
}

func TestConcurrentReads(t *testing.T) {
	created(t).run(t, func(r *replica.Replica) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 50 {
					check(t, r.Read(t.Context(), func(replica.Machine) {}))
				}
			})
		}
		wg.Wait()
	})
}

func TestCreateRefuses(t *testing.T) {
	p := created(t)
	a := must(software.Open(p.anchor))
	defer a.Close()
	other := must(software.Open(filepath.Join(t.TempDir(), "other")))
	defer other.Close()
	for name, c := range map[string]replica.Config{
		"an anchor that is taken": {Dir: t.TempDir(), Anchor: a, NewMachine: newToy},
		"both":                    {Dir: p.disk, Anchor: a, NewMachine: newToy},
	} {
		if err := replica.Create(t.Context(), c, 1, nil); !errors.Is(err, replica.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.run2(t, a, func(r *replica.Replica) { propose(t, r, "one") })
	err := replica.Create(t.Context(), replica.Config{Dir: p.disk, Anchor: other, NewMachine: newToy}, 1, nil)
	if !errors.Is(err, replica.ErrExists) {
		t.Errorf("a folder that is taken: %v", err)
	}
	empty := replica.Config{Dir: t.TempDir(), Anchor: other, NewMachine: newToy}
	if _, err := replica.Open(t.Context(), empty); !errors.Is(err, replica.ErrMissing) {
		t.Errorf("opening what was never made: %v", err)
	}
	if err := replica.Create(t.Context(), empty, 1, [][]byte{{}}); !errors.Is(err, replica.ErrSize) {
		t.Errorf("an empty genesis entry: %v", err)
	}
	if err := replica.Create(t.Context(), empty, 1, [][]byte{[]byte("fail")}); !errors.Is(err, errToy) {
		t.Errorf("a genesis entry that the machine refuses: %v", err)
	}
}

func (p place) run2(t testing.TB, a anchor.Anchor, f func(*replica.Replica)) {
	t.Helper()
	r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}))
	f(r)
	check(t, r.Close())
}

func TestConfigRefused(t *testing.T) {
	a := must(software.Open(t.TempDir()))
	defer a.Close()
	for i, c := range []replica.Config{
		{Anchor: a, NewMachine: newToy},
		{Dir: t.TempDir(), NewMachine: newToy},
		{Dir: t.TempDir(), Anchor: a},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, MaxEntry: 1<<20 + 1},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, MaxEntry: -1},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, MaxQueue: -1},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, MaxBatch: 4097},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, LogFileBytes: 4095},
		{Dir: t.TempDir(), Anchor: a, NewMachine: newToy, CheckpointBytes: -1},
	} {
		if err := replica.Create(t.Context(), c, 1, nil); err == nil {
			t.Errorf("configuration %d was taken", i)
		}
		if _, err := replica.Open(t.Context(), c); err == nil || errors.Is(err, replica.ErrMissing) {
			t.Errorf("configuration %d was opened: %v", i, err)
		}
	}
}

func TestEntrySize(t *testing.T) {
	created(t).run(t, func(r *replica.Replica) {
		for _, size := range []int{0, 64<<10 + 1, 1 << 21} {
			if _, err := r.Propose(t.Context(), make([]byte, size)); !errors.Is(err, replica.ErrSize) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		propose(t, r, strings.Repeat("x", 64<<10))
	})
}

// The largest entries, more of them in a batch than a log file usually holds.
func TestLargeEntries(t *testing.T) {
	p := created(t)
	a := must(software.Open(p.anchor))
	defer a.Close()
	c := replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy, MaxEntry: 1 << 20}
	r := must(replica.Open(t.Context(), c))
	all := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 12 {
		e := strings.Repeat(string(rune('a'+i)), 1<<20)
		all[e] = true
		wg.Go(func() { propose(t, r, e) })
	}
	wg.Wait()
	check(t, r.Checkpoint(t.Context()))
	check(t, r.Close())
	c.NewMachine = newToy
	r = must(replica.Open(t.Context(), c))
	wantAll(t, r, all, nil)
	check(t, r.Close())
}

func TestSecondProcess(t *testing.T) {
	p := created(t)
	p.run(t, func(*replica.Replica) {
		a := must(software.Open(t.TempDir()))
		defer a.Close()
		if _, err := replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}); !errors.Is(err, replica.ErrInUse) {
			t.Errorf("opened twice: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	p := created(t)
	a := must(software.Open(p.anchor))
	defer a.Close()
	r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}))
	acknowledged, unknown := map[string]bool{}, map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := fmt.Sprintf("worker %d entry %d", w, i)
				_, err := r.Propose(context.Background(), []byte(e))
				if errors.Is(err, replica.ErrClosed) {
					return
				}
				mu.Lock()
				acknowledged[e] = true
				mu.Unlock()
				if err != nil {
					t.Errorf("while closing: %v", err)
				}
				if i == 10 && w == 0 {
					go r.Close()
				}
			}
		})
	}
	wg.Wait()
	check(t, r.Close())
	check(t, r.Err())
	<-r.Done()
	for name, err := range map[string]error{
		"Read": r.Read(t.Context(), func(replica.Machine) {}), "Checkpoint": r.Checkpoint(t.Context()),
	} {
		if !errors.Is(err, replica.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	p.run2(t, a, func(r *replica.Replica) { wantAll(t, r, acknowledged, unknown) })
}

// What waits when Close is called is finished; what does not fit into the
// queue is refused at once.
func TestCloseDrains(t *testing.T) {
	w := newWorld()
	check(t, w.create(t))
	c, gate := w.config(), make(chan struct{})
	m := &toy{}
	c.NewMachine, c.MaxQueue, c.MaxBatch = func() replica.Machine { return m }, 3, 1
	r := must(replica.Open(t.Context(), c))
	m.gate = gate
	var wg sync.WaitGroup
	wg.Go(func() { propose(t, r, "first") })
	for batches := r.Status().Batch; w.counted() == batches || r.Status().Queued > 0; {
		runtime.Gosched() // until the first is durable, and so at the gate
	}
	for _, e := range numbered("waiting", 3) {
		wg.Go(func() { propose(t, r, e) })
	}
	for r.Status().Queued < 3 {
		runtime.Gosched()
	}
	if _, err := r.Propose(t.Context(), []byte("too many")); !errors.Is(err, replica.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	wg.Go(func() { check(t, r.Close()) })
	for err := error(nil); !errors.Is(err, replica.ErrClosed); runtime.Gosched() {
		_, err = r.Propose(t.Context(), []byte("too late"))
	}
	for range 4 {
		gate <- struct{}{}
	}
	wg.Wait()
	if len(m.entries) != 5 {
		t.Errorf("holds %q", m.entries)
	}
}

func TestContext(t *testing.T) {
	created(t).run(t, func(r *replica.Replica) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.Propose(ctx, []byte("too late"))
		for name, err := range map[string]error{
			"Propose": err, "Read": r.Read(ctx, func(replica.Machine) { t.Error("read") }), "Checkpoint": r.Checkpoint(ctx),
		} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantEntries(t, r)
	})
}

// The replica keeps an entry of its own.
func TestEntryIsCopied(t *testing.T) {
	p := created(t)
	p.run(t, func(r *replica.Replica) {
		e := []byte("right")
		propose(t, r, "first")
		if _, err := r.Propose(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		copy(e, "wrong")
		check(t, r.Checkpoint(t.Context()))
		propose(t, r, "last")
	})
	p.run(t, func(r *replica.Replica) { wantEntries(t, r, "first", "right", "last") })
}

// A machine that fails or panics halts the replica, with an error, and a
// restart comes to the same: the entry is in the log.
func TestMachineBreaks(t *testing.T) {
	for _, entry := range []string{"fail now", "panic now"} {
		p := created(t)
		a := must(software.Open(p.anchor))
		c := replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}
		r := must(replica.Open(t.Context(), c))
		propose(t, r, "before")
		if _, err := r.Propose(t.Context(), []byte(entry)); !errors.Is(err, replica.ErrUnknown) {
			t.Errorf("%s: %v", entry, err)
		}
		<-r.Done()
		if s := r.Status(); r.Err() == nil || s.Halted == nil || s.Role != "halted" {
			t.Errorf("%s: Err %v, status %+v", entry, r.Err(), s)
		}
		if err := r.Read(t.Context(), func(replica.Machine) { t.Error("a broken machine is read") }); !errors.Is(err, replica.ErrClosed) {
			t.Errorf("%s: reading: %v", entry, err)
		}
		if _, err := r.Propose(t.Context(), []byte("after")); !errors.Is(err, replica.ErrClosed) {
			t.Errorf("%s: proposing: %v", entry, err)
		}
		if err := r.Close(); err == nil {
			t.Errorf("%s: Close says nothing", entry)
		}
		c.NewMachine = newToy
		if _, err := replica.Open(t.Context(), c); err == nil {
			t.Errorf("%s: started again", entry)
		}
		check(t, a.Close())
	}
}

// The log starts a checkpoint by itself, and the folder stays small.
func TestAutomaticCheckpoint(t *testing.T) {
	p := created(t)
	a := must(software.Open(p.anchor))
	defer a.Close()
	released := 0
	c := replica.Config{Dir: p.disk, Anchor: a, NewMachine: func() replica.Machine { return &toy{released: &released} }, CheckpointBytes: 10_000}
	r := must(replica.Open(t.Context(), c))
	for i := range 100 {
		insist(t, func(ctx context.Context) error { // there is no room while a checkpoint takes long
			_, err := r.Propose(ctx, []byte(fmt.Sprint(i, strings.Repeat("x", 1000))))
			if !errors.Is(err, replica.ErrFull) {
				check(t, err)
			}
			return err
		})
	}
	check(t, r.Close())
	if s := r.Status(); s.Checkpoint < 10 || s.CheckpointError != nil || s.LogBytes > 90_000 {
		t.Errorf("status %+v", s)
	}
	if released < 2 {
		t.Errorf("%d pictures were released", released)
	}
	c.NewMachine = newToy
	r = must(replica.Open(t.Context(), c))
	if n := len(entriesOf(t, r)); n != 101 {
		t.Errorf("%d entries", n)
	}
	check(t, r.Close())
	if names := files(t, p.disk); len(names) > 4 { // lock, checkpoint, log; one more log of the last start
		t.Errorf("folder holds %q", names)
	}
}

func files(t testing.TB, dir string) (names []string) {
	for _, e := range must(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	return names
}

// Nothing that the machine was given, or wrote, is in any file in clear.
func TestNoPlaintextOnDisk(t *testing.T) {
	p := created(t)
	const secret = "a secret of thirty-two characters"
	p.run(t, func(r *replica.Replica) {
		propose(t, r, numbered(secret, 50)...)
		check(t, r.Checkpoint(t.Context()))
		propose(t, r, numbered(secret, 50)...)
	})
	seen := 0
	check(t, filepath.WalkDir(filepath.Dir(p.disk), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data := must(os.ReadFile(path))
		seen += len(data)
		for _, s := range []string{secret, secret[:8], genesis} {
			if bytes.Contains(data, []byte(s)) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return nil
	}))
	if seen < 10_000 {
		t.Errorf("only %d bytes searched", seen)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	p := created(t)
	names := []string{"notes.txt", "log-1", "checkpoint-x", "log-00000000000000000001.bak"}
	for _, name := range names {
		check(t, os.WriteFile(filepath.Join(p.disk, name), []byte("mine"), 0o600))
	}
	p.run(t, func(r *replica.Replica) { check(t, r.Checkpoint(t.Context())) })
	for _, name := range names {
		if !slices.Contains(files(t, p.disk), name) {
			t.Errorf("%s is gone", name)
		}
	}
}
