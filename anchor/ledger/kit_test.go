package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/software"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a machine: a device's folder and a disk.
type place struct{ device, disk string }

func newPlace(t testing.TB) place {
	dir := t.TempDir()
	return place{filepath.Join(dir, "device"), filepath.Join(dir, "disk")}
}

func (p place) file() string { return filepath.Join(p.disk, "ledger") }

// device counts its steps, and fails or waits where a test says so.
type device struct {
	anchor.Anchor
	steps, turns atomic.Int32
	before       func() error // called before a step is taken, which it can prevent
	after        func() error // likewise after it was taken; its error is what the caller hears
}

func (d *device) step(f func() error) error {
	d.steps.Add(1)
	if d.before != nil {
		if err := d.before(); err != nil {
			return err
		}
	}
	if err := f(); err != nil || d.after == nil {
		return err
	}
	return d.after()
}

func (d *device) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return d.step(func() error { return d.Anchor.Found(ctx, s, k) })
}

func (d *device) Advance(ctx context.Context, s anchor.State) error {
	return d.step(func() error { return d.Anchor.Advance(ctx, s) })
}

func (d *device) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	d.turns.Add(1)
	return d.step(func() error { return d.Anchor.Rotate(ctx, s, k) })
}

// open opens the machine's ledger, and what closes it.
func (p place) open(t testing.TB) (*device, *ledger.Ledger, func()) {
	t.Helper()
	d, l, err := p.try(t)
	if err != nil {
		t.Fatal(err)
	}
	return d, l, func() {
		if err := errors.Join(l.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func (p place) try(t testing.TB) (*device, *ledger.Ledger, error) {
	d := &device{Anchor: must(software.Open(p.device))}
	l, err := ledger.Open(t.Context(), d, p.disk)
	if err != nil {
		d.Close()
	}
	return d, l, err
}

// run does something with the machine's ledger.
func (p place) run(t testing.TB, f func(d *device, l *ledger.Ledger)) {
	t.Helper()
	d, l, done := p.open(t)
	defer done()
	f(d, l)
}

func at(n uint64) anchor.State { return anchor.State{Counter: n, Head: [32]byte{byte(n), 7}} }

func keyOf(b byte) *anchor.Key { return anchor.KeyFromBytes([32]byte(bytes.Repeat([]byte{b}, 32))) }

// says checks what a group's anchor holds; count 0: nothing.
func says(t testing.TB, l *ledger.Ledger, group uint32, count uint64, key byte) {
	t.Helper()
	g := l.Group(group)
	defer g.Close()
	s, k, err := g.Read(t.Context())
	if count == 0 {
		if !errors.Is(err, anchor.ErrEmpty) {
			t.Errorf("group %d is at %d (%v), want nothing", group, s.Counter, err)
		}
		return
	}
	if err != nil || s != at(count) || !k.Equal(keyOf(key)) {
		t.Errorf("group %d is at %d (%v), want %d; right key: %v", group, s.Counter, err, count, k.Equal(keyOf(key)))
	}
}

// image is a machine's disk, or its device, at one time.
func image(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, e := range must(os.ReadDir(dir)) {
		files[e.Name()] = must(os.ReadFile(filepath.Join(dir, e.Name())))
	}
	return files
}

func putBack(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
}
