package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
)

// A fault is what goes wrong: the n-th call of one method.
type fault struct {
	method string // Put, Get, List, Delete, Stat; Answer: Put, but only the answer is lost
	n      int
	err    error // nil: the context is cancelled
}

// A faulty store has one fault.
type faulty struct {
	cloud.Store
	fault
	cancel context.CancelFunc

	mu    sync.Mutex
	calls map[string]int
	hit   string // the object it happened to
}

// fails counts a call and reports the error it is to fail with.
func (f *faulty) fails(ctx context.Context, method, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[method]++
	if f.method == method && f.n == f.calls[method] {
		f.hit = name
		if f.err != nil {
			return fmt.Errorf("the store says: %w", f.err)
		}
		f.cancel()
	}
	return ctx.Err()
}

func (f *faulty) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := f.fails(ctx, "Put", name); err != nil {
		return err
	}
	if err := f.Store.Put(ctx, name, body, size); err != nil {
		return err
	}
	return f.fails(ctx, "Answer", name)
}

func (f *faulty) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := f.fails(ctx, "Get", name); err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, name, offset, length)
}

func (f *faulty) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if err := f.fails(ctx, "List", prefix); err != nil {
		return err
	}
	return f.Store.List(ctx, prefix, fn)
}

func (f *faulty) Delete(ctx context.Context, name string) error {
	if err := f.fails(ctx, "Delete", name); err != nil {
		return err
	}
	return f.Store.Delete(ctx, name)
}

func (f *faulty) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if err := f.fails(ctx, "Stat", name); err != nil {
		return cloud.Info{}, err
	}
	return f.Store.Stat(ctx, name)
}

// A step is one operation of the scenario, and the state it begins in.
type step struct {
	t       *testing.T
	name    string
	key     *key.Key
	newKey  *key.Key
	objects map[string][]byte
	run     func(ctx context.Context, r *backup.Repo) error
	before  []backup.Snapshot
}

const testDevice = "00000000000000000000000000000042"

func (s *step) open(ctx context.Context, store cloud.Store) (*backup.Repo, error) {
	return backup.Open(ctx, store, s.key, backup.Options{Device: testDevice})
}

// scenario makes the steps, each with the state that the ones before it left.
func scenario(t *testing.T) (steps []*step) {
	p := newPhone(t)
	rnd := rand.New(rand.NewPCG(8, 8))
	p.sql("Databases/msgstore.db", "CREATE TABLE message(id INTEGER PRIMARY KEY, key TEXT, text TEXT)", "INSERT INTO message VALUES(1,'a','b')")
	p.write("Media/one.jpg", random(rnd, 30_000))
	p.write("Media/gone.jpg", random(rnd, 30_000))
	store := &memoryCloud{objects: make(map[string][]byte)}
	_, err := backup.Create(t.Context(), store, p.key, time.Now())
	must(t, err)
	newKey, err := key.Generate()
	must(t, err)
	latest := func(r *backup.Repo) string { return r.Snapshots()[len(r.Snapshots())-1].ID }
	backupStep := func(ctx context.Context, r *backup.Repo) error {
		_, err := r.Backup(ctx, backup.BackupOptions{Source: p.chats})
		return err
	}
	add := func(name string, run func(ctx context.Context, r *backup.Repo) error) *step {
		s := &step{t: t, name: name, key: p.key, newKey: newKey, objects: maps.Clone(store.objects), run: run}
		r, err := s.open(t.Context(), store)
		must(t, err)
		s.before = r.Snapshots()
		must(t, run(t.Context(), r))
		must(t, r.Close())
		steps = append(steps, s)
		return s
	}
	add("first backup", backupStep)
	p.nextDay(1)
	must(t, os.Remove(filepath.Join(p.chats, "Media/gone.jpg")))
	add("second backup", backupStep)
	add("restore", func(ctx context.Context, r *backup.Repo) error {
		_, err := r.Restore(ctx, backup.RestoreOptions{Snapshot: latest(r), Target: filepath.Join(t.TempDir(), "r")})
		return err
	})
	add("verify", func(ctx context.Context, r *backup.Repo) error {
		v, err := r.Verify(ctx, backup.VerifyOptions{ReadData: 1})
		if err == nil && len(v.Damage) > 0 {
			return fmt.Errorf("an error of the store was taken for damage: %w", v.Damage[0])
		}
		return err
	})
	add("prune", func(ctx context.Context, r *backup.Repo) error {
		_, err := r.Prune(ctx, backup.PruneOptions{Keep: backup.Policy{Last: 1}})
		return err
	})
	add("rotate", func(ctx context.Context, r *backup.Repo) error { return r.Rotate(ctx, newKey) })
	return steps
}

// Every call of the store, of every operation, fails once in every way.
func TestFailingStore(t *testing.T) {
	errs := []error{cloud.ErrUnreachable, cloud.ErrFull, cloud.ErrDenied, cloud.ErrThrottled}
	for _, s := range scenario(t) {
		clean := s.try(fault{}, s.key)
		cases := 0
		for _, method := range []string{"Put", "Answer", "Get", "List", "Delete", "Stat"} {
			for n := 1; n <= clean.calls[method]; n++ {
				s.try(fault{method, n, nil}, s.key)
				for i, err := range errs {
					if *long || i == n%len(errs) {
						s.try(fault{method, n, err}, s.key)
						cases++
					}
				}
			}
		}
		t.Logf("%s: %d failures, calls %v", s.name, cases, clean.calls)
		if cases < 10 && !*long {
			t.Errorf("%s: only %d failures", s.name, cases)
		}
	}
}

// try runs the step with a fault and checks what the package promises of it.
func (s *step) try(f fault, k *key.Key) *faulty {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	memory := &memoryCloud{objects: maps.Clone(s.objects)}
	store := &faulty{Store: memory, fault: f, cancel: cancel, calls: make(map[string]int)}
	what := func() string {
		return fmt.Sprintf("%s, %s %d (%s) fails with %v", s.name, f.method, f.n, store.hit, f.err)
	}
	r, err := s.attempt(ctx, store, what)
	switch want := f.err; {
	case f.n == 0:
		must(s.t, err)
	case err == nil && want != nil && f.method != "Delete":
		s.t.Errorf("%s: no error", what())
	case err != nil && want == nil && !errors.Is(err, context.Canceled):
		s.t.Errorf("%s: %v, want context.Canceled", what(), err)
	case err != nil && want != nil && !errors.Is(err, want):
		s.t.Errorf("%s: %v", what(), err)
	}
	s.noGoroutines(what)
	s.intact(memory, what)
	if f.n > 0 {
		s.again(memory, store, r, f.n, what)
	}
	return store
}

// attempt opens the repository and runs the step, which must come to an end.
func (s *step) attempt(ctx context.Context, store cloud.Store, what func() string) (r *backup.Repo, err error) {
	s.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if r, err = s.open(ctx, store); err == nil {
			err = s.run(ctx, r)
		}
	}()
	select {
	case <-done:
		return r, err
	case <-time.After(time.Minute):
		s.t.Fatalf("%s: hangs\n%s", what(), stacks())
		return nil, nil
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// noGoroutines: nothing of the package runs on.
func (s *step) noGoroutines(what func() string) {
	s.t.Helper()
	var running string
	for range 12000 { // a minute: the machine may be busy
		if running = stacks(); !strings.Contains(running, "keepsake.example/backup.") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatalf("%s: goroutines run on\n%s", what(), running)
}

// intact: what was committed before can be read, every byte, with the old key or with the new one.
func (s *step) intact(memory *memoryCloud, what func() string) {
	s.t.Helper()
	r, err := s.open(s.t.Context(), memory)
	if errors.Is(err, backup.ErrWrongKey) && s.name == "rotate" {
		r, err = backup.Open(s.t.Context(), memory, s.newKey, backup.Options{Device: testDevice})
	}
	if err != nil {
		s.t.Fatalf("%s: and then: %v", what(), err)
	}
	defer r.Close()
	v, err := r.Verify(s.t.Context(), backup.VerifyOptions{ReadData: 1})
	if err != nil || len(v.Damage) > 0 {
		s.t.Fatalf("%s: and then: %v, %v", what(), err, v)
	}
	for _, b := range s.before {
		if _, err := r.Find(b.ID, time.Time{}); err != nil && s.name != "prune" {
			s.t.Fatalf("%s: and then: %v", what(), err)
		}
	}
	if last := s.before; len(last) > 0 {
		if _, err := r.Find(last[len(last)-1].ID, time.Time{}); err != nil {
			s.t.Fatalf("%s: and then: %v", what(), err)
		}
	}
}

// again: the next run works, also on the same Repo, and then all is well.
func (s *step) again(memory *memoryCloud, store *faulty, r *backup.Repo, n int, what func() string) {
	s.t.Helper()
	store.fault = fault{}
	var err error
	if r == nil || n%2 == 0 {
		if r, err = s.open(s.t.Context(), memory); errors.Is(err, backup.ErrWrongKey) && s.name == "rotate" {
			return // it was rotated, and intact looked at it with the new key
		}
		must(s.t, err)
	}
	if err := s.run(s.t.Context(), r); err != nil && s.name != "rotate" {
		s.t.Fatalf("%s: and the next run: %v", what(), err)
	}
	s.intact(memory, what)
}

// When reading the repository anew fails half-way, the next call on the same Repo must not take the half for all.
func TestHalfRead(t *testing.T) {
	steps := scenario(t)
	s := steps[3]
	for n := 1; n <= s.try(fault{}, s.key).calls["Get"]; n++ {
		memory := &memoryCloud{objects: maps.Clone(s.objects)}
		store := &faulty{Store: memory, fault: fault{"Get", n, cloud.ErrUnreachable}, calls: make(map[string]int)}
		r, err := s.open(t.Context(), store)
		if err != nil {
			continue
		}
		if err := s.run(t.Context(), r); !errors.Is(err, cloud.ErrUnreachable) {
			t.Fatal(err)
		}
		_, err = r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1000}})
		must(t, err)
		s.intact(memory, func() string { return fmt.Sprintf("Get %d (%s) failed, then prune", n, store.hit) })
	}
}

// When the answer to the commit itself is lost, the device must not take its own head for another's.
func TestLostCommit(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	p.write("b", []byte("b"))
	lost := &faulty{Store: p.store, fault: fault{"Answer", 6, cloud.ErrUnreachable}, calls: make(map[string]int)}
	r, err := backup.Open(t.Context(), lost, p.key, p.options())
	must(t, err)
	if _, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats}); !errors.Is(err, cloud.ErrUnreachable) {
		t.Fatal(err)
	}
	if !strings.HasPrefix(lost.hit, "head/") {
		t.Fatalf("the answer lost was that to %q", lost.hit)
	}
	p.write("c", []byte("c"))
	p.backup(backup.BackupOptions{}) // with the mark of before
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
}
