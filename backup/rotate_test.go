package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
)

// A haltingStore fails every change after the first so many: what a killed process leaves, without the process.
type haltingStore struct {
	cloud.Store
	mu   sync.Mutex
	left int
}

var errHalted = errors.New("halted by the test")

func (s *haltingStore) change() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left < 0 {
		return errHalted
	}
	return nil
}

func (s *haltingStore) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Put(ctx, name, body, size)
}

func (s *haltingStore) Delete(ctx context.Context, name string) error {
	if err := s.change(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}

func wantWrongKey(t *testing.T, what string, store cloud.Store, k *key.Key) *backup.WrongKeyError {
	t.Helper()
	r, err := open(store, k)
	if err == nil {
		r.Close()
	}
	var e *backup.WrongKeyError
	if !errors.Is(err, backup.ErrWrongKey) || !errors.As(err, &e) || errors.Is(err, backup.ErrDamaged) {
		t.Fatalf("%s: %v, want a wrong key", what, err)
	}
	return e
}

func newKey(t testing.TB) *key.Key {
	t.Helper()
	k, err := key.Generate()
	must(t, err)
	return k
}

// A key that never opened the repository, one of another repository, one that was replaced: each is told from damage, and the last by when.
func TestWrongKey(t *testing.T) {
	p, q := newPhone(t), newPhone(t)
	p.write("f", []byte("f"))
	p.backup(backup.BackupOptions{})
	for what, k := range map[string]*key.Key{"another": newKey(t), "another repository's": q.key} {
		if e := wantWrongKey(t, what, p.store, k); !e.ReplacedAt.IsZero() {
			t.Errorf("%s: replaced at %v", what, e.ReplacedAt)
		}
	}
	var old []*key.Key
	for range 3 {
		old = append(old, p.key)
		p.rotate()
	}
	for _, k := range old {
		if e := wantWrongKey(t, "replaced", p.store, k); time.Since(e.ReplacedAt).Abs() > time.Hour {
			t.Errorf("replaced at %v", e.ReplacedAt)
		}
	}
	// The stubs are hints: trash among them changes nothing.
	p.put("retired/0", []byte("trash"))
	p.put("retired/1", bytes.Repeat([]byte{1}, 104))
	p.put("retired/2", bytes.Repeat([]byte{1}, 1<<20))
	wantWrongKey(t, "with trash", p.store, q.key)
	p.open()
	if _, err := open(&memoryCloud{}, p.key); !errors.Is(err, backup.ErrNoRepository) {
		t.Errorf("empty cloud: %v", err)
	}
}

// No ring opens under two keys, whatever is done to its commitment; and no change makes a right key look wrong.
func TestRingCommitsToOneKey(t *testing.T) {
	p := newPhone(t)
	name := in(p.contents(), "ring")[0]
	ring := p.contents()[name]
	for at := range ring {
		for _, k := range []*key.Key{p.key, newKey(t)} {
			r, err := open(&memoryCloud{objects: map[string][]byte{name: flipped(ring, at)}}, k)
			if err == nil {
				r.Close()
			}
			wantDamage(t, fmt.Sprint("byte ", at), err, name, layerOf(name, at)...)
		}
	}
}

// The check finds a slip in the digits from 104 bytes, end to end, and does not take a retired key for the right one.
func TestKeyCheckFindsSlips(t *testing.T) {
	p := newPhone(t)
	retired := p.key
	p.rotate()
	check, err := backup.KeyCheck(t.Context(), p.store)
	must(t, err)
	k := p.key
	k.Use(func(b *[32]byte) {
		if !check(b) {
			t.Error("the right key does not pass")
		}
	})
	retired.Use(func(b *[32]byte) {
		if check(b) {
			t.Error("a retired key passes")
		}
	})
	digits := strings.ReplaceAll(p.key.Digits(), " ", "")
	wrong := []byte(digits)
	wrong[16] = map[bool]byte{true: 'b', false: 'a'}[wrong[16] == 'a']
	typed, err := key.ParseDigits(wrong)
	must(t, err)
	slip, ok := key.FindSlip(t.Context(), typed, check)
	if !ok || !slip.Key.Equal(p.key) || slip.Fixes[0].Position != 17 {
		t.Errorf("%v, %v", slip, ok)
	}
	if typed, err = key.ParseDigits([]byte(digits[:63])); err != nil {
		t.Fatal(err)
	}
	if slip, ok := key.FindSlip(t.Context(), typed, check); !ok || !slip.Key.Equal(p.key) {
		t.Errorf("one digit missing: %v, %v", slip, ok)
	}
}

// A new key leaves every object but the ring as it is, byte for byte; the old digits open nothing; what follows is written under the new data key,
// and what came before stays readable.
func TestRotate(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("before"))
	day1 := tree(t, p.chats)
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	before, old := p.contents(), p.key
	p.rotate()
	after := p.contents()
	oldRing := rings(before)[0]
	for name, object := range before {
		if got := after[name]; !strings.HasPrefix(name, "ring/") && !bytes.Equal(got, object) {
			t.Errorf("%s changed", name)
		}
		delete(after, name)
	}
	stub := "retired/" + strings.TrimPrefix(oldRing, "ring/")
	if len(after) != 4 || len(in(after, "ring")) != 2 || len(rings(after)) != 1 || !bytes.Equal(after[stub], before[oldRing][:104]) {
		t.Errorf("new objects: %v", after)
	}
	wantWrongKey(t, "old key", p.store, old)
	p.write("a", []byte("after"))
	day2 := tree(t, p.chats)
	p.backup(backup.BackupOptions{})
	same(t, day1, tree(t, p.restore(first)))
	same(t, day2, tree(t, p.restore("latest")))
	for name, object := range p.contents() {
		if before[name] != nil || strings.HasPrefix(name, "retired/") || strings.HasPrefix(name, "ring/") {
			continue
		}
		if e, err := backup.Inspect(name, bytesAt(object), int64(len(object))); err != nil || e.KeyNumber != 2 {
			t.Errorf("%s: key number %v, %v", name, e, err)
		}
	}
	// Who kept the old ring and the old digits reads what was written before, and nothing after.
	kept := &memoryCloud{objects: p.contents()}
	kept.objects[oldRing] = before[oldRing]
	_, err := open(kept, old)
	if d := damageOf(err); d == nil || d.Layer != "key" {
		t.Errorf("old ring and a newer head: %v, want an unknown data key", err)
	}
}

// Interrupted after any step, a rotation can be finished with the new key where it opens, and begun again with the old where not.
func TestInterruptedRotation(t *testing.T) {
	for steps := range 12 {
		p := newPhone(t)
		p.write("a", []byte("a"))
		want := tree(t, p.chats)
		p.backup(backup.BackupOptions{})
		old, next := p.key, newKey(t)
		r, err := backup.Open(t.Context(), &haltingStore{Store: p.store, left: steps}, old, p.options())
		must(t, err)
		err = r.Rotate(t.Context(), next)
		r.Close()
		if (err != nil) != errors.Is(err, errHalted) {
			t.Fatal(err)
		}
		p.key = next
		if q, e := backup.Open(t.Context(), p.store, next, p.options()); e == nil {
			must(t, q.FinishRotation(t.Context()))
			q.Close()
		} else {
			p.key = old
			must(t, p.open().Rotate(t.Context(), next))
			p.key = next
		}
		if e := wantWrongKey(t, fmt.Sprint("after step ", steps), p.store, old); e.ReplacedAt.IsZero() {
			t.Errorf("after step %d: it is not said that the old key was replaced", steps)
		}
		if all := in(p.contents(), "ring"); len(all) > 2 || len(rings(p.contents())) != 1 {
			t.Errorf("after step %d: %v", steps, all)
		}
		p.backup(backup.BackupOptions{})
		same(t, want, tree(t, p.restore("latest")))
		if err == nil {
			if steps < 5 {
				t.Errorf("a whole rotation in %d changes", steps)
			}
			return
		}
	}
	t.Error("twelve changes and no end")
}

// After a rotation that was interrupted before the old ring was retired, both keys open. Who has the old one may read, but neither
// write nor finish the rotation the wrong way round: the newer ring has a data key that no other has.
func TestOldKeyLeavesTheNewerRing(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	next := newKey(t)
	r, err := backup.Open(t.Context(), &haltingStore{Store: p.store, left: 2}, p.key, p.options()) // the lock, the new ring
	must(t, err)
	if err := r.Rotate(t.Context(), next); !errors.Is(err, errHalted) {
		t.Fatal(err)
	}
	r.Close()
	if n := len(rings(p.contents())); n != 2 {
		t.Fatalf("%d rings, want both", n)
	}
	want := tree(t, p.restore("latest"))
	old := p.open()
	_, err = old.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	for what, err := range map[string]error{"backup": err, "finish": old.FinishRotation(t.Context()), "rotate": old.Rotate(t.Context(), newKey(t))} {
		var e *backup.WrongKeyError
		if !errors.As(err, &e) || e.ReplacedAt.IsZero() {
			t.Errorf("%s with the old key: %v, want that it was replaced", what, err)
		}
	}
	p.key = next
	p.backup(backup.BackupOptions{})
	same(t, want, tree(t, p.restore("latest")))
}

// A device that has the repository open while another rotates the key does not go on writing under the old one.
func TestRotatedMeanwhile(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	r := p.open()
	p.rotate()
	before := p.contents()
	_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	var e *backup.WrongKeyError
	if !errors.As(err, &e) || e.ReplacedAt.IsZero() {
		t.Errorf("%v, want that the key was replaced", err)
	}
	if got := p.contents(); len(got) != len(before) {
		t.Errorf("%d objects, want %d", len(got), len(before))
	}
}
