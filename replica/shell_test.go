package replica_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/anchor/anchortest"
	"keepsake.example/replica"
)

// A fleet is some Replicas with goroutines and tickers of their own.
type fleet struct {
	mu    sync.Mutex
	alive map[uint64]*replica.Replica
}

func (f *fleet) get(number uint64) *replica.Replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alive[number]
}

func (f *fleet) config(w *world, number uint64) replica.Config {
	c := w.config()
	c.Tick = 5 * time.Millisecond
	c.Send = func(to uint64, message []byte) {
		if r := f.get(to); r != nil {
			r.Receive(message)
		}
	}
	return c
}

func (f *fleet) open(t testing.TB, w *world, number uint64) {
	t.Helper()
	r, err := replica.Open(t.Context(), f.config(w, number))
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive[number] = r
}

// insist repeats what may be repeated, as vaultd does.
func insist(t testing.TB, f func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // the machine may be busy
	defer cancel()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Error(err)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Three Replicas propose, read, hand over, lose one and get it back, all at once.
func TestReplicas(t *testing.T) {
	f := &fleet{alive: map[uint64]*replica.Replica{}}
	worlds := map[uint64]*world{}
	for n := uint64(1); n <= 3; n++ {
		worlds[n] = newWorld()
	}
	check(t, replica.Create(t.Context(), f.config(worlds[1], 1), 1, [][]byte{[]byte(genesis)}))
	f.open(t, worlds[1], 1)
	for n := uint64(2); n <= 3; n++ {
		f.add(t, worlds[n], n)
	}
	f.load(t, worlds)
	for n := uint64(1); n <= 3; n++ {
		check(t, f.get(n).Close())
	}
}

func (f *fleet) change(t testing.TB, text string) {
	insist(t, func(ctx context.Context) error { _, err := f.get(1).Change(ctx, []byte(text)); return err })
}

// add makes another voter.
func (f *fleet) add(t testing.TB, w *world, n uint64) {
	var secret [32]byte
	check(t, f.get(1).Secret(t.Context(), func(b []byte) { copy(secret[:], b) }))
	f.change(t, fmt.Sprint("add ", n))
	check(t, replica.Join(t.Context(), f.config(w, n), n, &secret))
	f.open(t, w, n)
	insist(t, func(context.Context) error {
		return f.get(n).Peek(func(replica.Machine) {})
	})
	f.change(t, fmt.Sprint("promote ", n))
}

// load lets everybody propose while the leadership goes round and a member is away.
func (f *fleet) load(t *testing.T, worlds map[uint64]*world) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	for n := uint64(1); n <= 3; n++ {
		for w := range 4 {
			wg.Go(func() {
				for i := range 15 {
					e := fmt.Sprintf("member %d worker %d entry %d", n, w, i)
					insist(t, func(ctx context.Context) error {
						short, cancel := context.WithTimeout(ctx, 5*time.Second)
						defer cancel()
						_, err := f.get(n).Propose(short, []byte(e))
						return err
					})
					mu.Lock()
					acknowledged[e] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Go(func() {
		for _, to := range []uint64{2, 0, 3} {
			insist(t, func(ctx context.Context) error {
				short, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				return f.get(1).Transfer(short, to)
			})
			insist(t, f.get(to|1).Checkpoint)
		}
		r := f.get(2)
		check(t, r.Close())
		f.open(t, worlds[2], 2)
	})
	wg.Wait()
	f.compare(t, acknowledged)
}

func (f *fleet) compare(t *testing.T, acknowledged map[string]bool) {
	for n := uint64(1); n <= 3; n++ {
		insist(t, func(ctx context.Context) error {
			return f.get(n).Read(ctx, func(m replica.Machine) {
				there := map[string]bool{}
				for _, e := range m.(*toy).entries {
					there[e] = true // one that was repeated is there more than once
				}
				for e := range acknowledged {
					if !there[e] {
						t.Errorf("member %d lost %q", n, e)
					}
				}
			})
		})
		insist(t, func(context.Context) error { // a new leader has to hear a quorum's clocks first
			if s := f.get(n).Status(); len(s.Members) != 3 || s.Halted != nil || s.QuorumTime == 0 {
				return fmt.Errorf("status %+v", s)
			}
			return nil
		})
	}
}

// Handing over to a member that is not there ends by itself, and proposals go on.
func TestTransferToNobody(t *testing.T) {
	f := &fleet{alive: map[uint64]*replica.Replica{}}
	w := newWorld()
	check(t, replica.Create(t.Context(), f.config(w, 1), 1, [][]byte{[]byte(genesis)}))
	f.open(t, w, 1)
	f.add(t, newWorld(), 2)
	f.change(t, "add 3")
	for _, text := range []string{"", "promote 3"} {
		if text != "" {
			f.change(t, text)
		}
		for _, to := range []uint64{3, 9} {
			if err := f.get(1).Transfer(t.Context(), to); !errors.Is(err, replica.ErrTransfer) {
				t.Errorf("after %q to member %d: %v", text, to, err)
			}
		}
		insist(t, func(ctx context.Context) error { _, err := f.get(2).Propose(ctx, []byte("after "+text)); return err })
	}
	for n := uint64(1); n <= 2; n++ {
		check(t, f.get(n).Close())
	}
}

// A Replica that halts says why once.
func TestHaltIsToldOnce(t *testing.T) {
	f := &fleet{alive: map[uint64]*replica.Replica{}}
	w := newWorld()
	check(t, replica.Create(t.Context(), f.config(w, 1), 1, [][]byte{[]byte(genesis)}))
	f.open(t, w, 1)
	w.mu.Lock()
	w.limit, w.fault = w.step+1, errPower
	w.mu.Unlock()
	r := f.get(1)
	_, _ = r.Propose(t.Context(), []byte("in doubt"))
	<-r.Done()
	for _, err := range []error{r.Err(), r.Close(), r.Status().Halted} {
		if !errors.Is(err, errPower) || strings.Count(err.Error(), errPower.Error()) != 1 {
			t.Errorf("it halted: %v", err)
		}
	}
}

// A Replica that is alone in a group of two says so, and halts when it is removed.
func TestReplicaAlone(t *testing.T) {
	f := &fleet{alive: map[uint64]*replica.Replica{}}
	w := newWorld()
	check(t, replica.Create(t.Context(), f.config(w, 1), 1, [][]byte{[]byte(genesis)}))
	f.open(t, w, 1)
	r := f.get(1)
	for _, text := range []string{"add 2", "promote 2"} {
		if effect, err := r.Change(t.Context(), []byte(text)); err != nil || effect != "done" {
			t.Fatal(text, effect, err)
		}
	}
	insist(t, func(ctx context.Context) error {
		if _, err := r.Propose(ctx, []byte("alone")); !errors.Is(err, replica.ErrNotLeader) {
			return fmt.Errorf("alone: %w", err)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Transfer(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("handing over to nobody: %v", err)
	}
	check(t, r.Peek(func(m replica.Machine) {
		if len(m.Members()) != 2 {
			t.Errorf("members %v", m.Members())
		}
	}))
	check(t, r.Close())
	if err := r.Peek(func(replica.Machine) {}); err != nil {
		t.Errorf("what is closed can still be looked at: %v", err)
	}
}

// Whoever has a member's identity key, and not the group's secret, does not fill the others' memory
// while a disk hangs, and does not keep messages of other members out.
func TestForgedMessagesTakeBoundedMemory(t *testing.T) {
	f, w := &fleet{alive: map[uint64]*replica.Replica{}}, newWorld()
	c := f.config(w, 1)
	var hang anchortest.Hang
	c.Anchor = hang.Of(c.Anchor)
	check(t, replica.Create(t.Context(), c, 1, [][]byte{[]byte(genesis)}))
	r, err := replica.Open(t.Context(), c)
	check(t, err)
	var proposed sync.WaitGroup
	stuck := func() {
		hang.Lock()
		proposed.Go(func() { propose(t, r, "an entry") })
		for !hang.Reached() {
			time.Sleep(time.Millisecond)
		}
	}
	stuck()
	kept := func(from byte, count int) int {
		forged := make([]byte, 2<<20)
		forged[0], forged[1], forged[9], forged[17], forged[33] = 1, 2, from, 1, 1 // a header that says: sealed, to member 1
		before := r.Status().Dropped
		for range count {
			r.Receive(forged)
		}
		return count - int(r.Status().Dropped-before)
	}
	if n := kept(3, 1500); n != 4 {
		t.Errorf("%d messages of 2 MiB are kept of 1500", n)
	}
	if n := kept(2, 4); n != 4 {
		t.Errorf("%d messages of another member are kept of 4", n)
	}
	hang.Unlock()
	proposed.Wait()
	for r.Status().Dropped < 1504 { // all are forged: what was kept is worked off
		time.Sleep(time.Millisecond)
	}
	stuck()
	if n := kept(3, 5); n != 4 {
		t.Errorf("%d messages are kept of 5, of who had filled its room before", n)
	}
	hang.Unlock()
	proposed.Wait()
	check(t, r.Close())
}
