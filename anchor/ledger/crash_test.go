package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/software"
)

var errCut = errors.New("the power goes")

// moves are a machine's first steps, of every kind, and what it holds after each.
var moves = []struct {
	name string
	do   func(*testing.T, *ledger.Ledger) error
	then map[uint32][2]uint64 // by group: counter and key
}{
	{"the first group", func(t *testing.T, l *ledger.Ledger) error { return l.Group(1).Found(t.Context(), at(1), keyOf(1)) }, map[uint32][2]uint64{1: {1, 1}}},
	{"a second group", func(t *testing.T, l *ledger.Ledger) error { return l.Group(0).Found(t.Context(), at(5), keyOf(7)) }, map[uint32][2]uint64{1: {1, 1}, 0: {5, 7}}},
	{"advance", func(t *testing.T, l *ledger.Ledger) error { return l.Group(1).Advance(t.Context(), at(2)) }, map[uint32][2]uint64{1: {2, 1}, 0: {5, 7}}},
	{"rotate", func(t *testing.T, l *ledger.Ledger) error { return l.Group(1).Rotate(t.Context(), at(3), keyOf(2)) }, map[uint32][2]uint64{1: {3, 2}, 0: {5, 7}}},
	{"rotate the other", func(t *testing.T, l *ledger.Ledger) error { return l.Group(0).Rotate(t.Context(), at(6), keyOf(8)) }, map[uint32][2]uint64{1: {3, 2}, 0: {6, 8}}},
	{"advance again", func(t *testing.T, l *ledger.Ledger) error { return l.Group(0).Advance(t.Context(), at(7)) }, map[uint32][2]uint64{1: {3, 2}, 0: {7, 8}}},
}

// holds checks all groups of a machine.
func holds(t *testing.T, p place, what string, n int) {
	t.Helper()
	p.run(t, func(_ *device, l *ledger.Ledger) {
		for _, group := range []uint32{0, 1, 2} {
			var want [2]uint64
			if n >= 0 {
				want = moves[n].then[group]
			}
			t.Log(what)
			says(t, l, group, want[0], byte(want[1]))
		}
	})
}

// The power goes before the device counted a step: it was not done. After it counted and
// before anybody heard of it: it was done, whole. Either way the machine goes on, and the
// ledger that saw the error does nothing more.
func TestCrash(t *testing.T) {
	p := newPlace(t)
	for n, move := range moves {
		for range 2 { // the second time over the slot that the first one left
			d, l, done := p.open(t)
			d.before = func() error { return errCut }
			if err := move.do(t, l); !errors.Is(err, errCut) {
				t.Fatalf("%s: %v", move.name, err)
			}
			if err := l.Group(2).Found(t.Context(), at(1), keyOf(1)); !errors.Is(err, errCut) {
				t.Errorf("after %s the broken ledger is used: %v", move.name, err)
			}
			done()
			holds(t, p, "before the device counted: "+move.name, n-1)
		}
		d, l, done := p.open(t)
		d.after = func() error { return errCut }
		if err := move.do(t, l); !errors.Is(err, errCut) {
			t.Fatalf("%s: %v", move.name, err)
		}
		done()
		holds(t, p, "after the device counted: "+move.name, n)
	}
}

// A slot that was torn anywhere, by a power cut before the device counted, is no state.
func TestTornSlot(t *testing.T) {
	p := newPlace(t)
	for n, move := range moves {
		before, _ := os.ReadFile(p.file())
		d, l, done := p.open(t)
		d.before = func() error { return errCut }
		if err := move.do(t, l); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		done()
		after := must(os.ReadFile(p.file()))
		for at := 0; n > 0 && at < len(after); at += 1 + at%5 {
			if before[at] == after[at] {
				continue
			}
			check(t, os.WriteFile(p.file(), append(bytes.Clone(after[:at]), before[at:]...), 0o600))
			holds(t, p, fmt.Sprintf("%s, torn at byte %d", move.name, at), n-1)
		}
		p.run(t, func(_ *device, l *ledger.Ledger) { check(t, move.do(t, l)) })
	}
}

// A machine that died while it was founded is empty, and is founded anew.
func TestCrashWhileFounding(t *testing.T) {
	p := newPlace(t)
	d, l, done := p.open(t)
	d.before = func() error { return errCut }
	if err := moves[0].do(t, l); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	done()
	if _, err := os.Stat(p.file()); err != nil {
		t.Error("the slot comes before the device, and is not there")
	}
	check(t, os.WriteFile(p.file(), []byte("of a crash"), 0o600))
	p.run(t, func(_ *device, l *ledger.Ledger) { check(t, moves[0].do(t, l)) })
	holds(t, p, "founded", 0)
}

// With every image of the disk, and all that the machine and its device hold today, no
// epoch key from before a turn is found: not the one that was turned, and in no
// form. Before the turn, the same search finds it.
func TestRotateErases(t *testing.T) {
	p := newPlace(t)
	old, other := keyOf(0xa1), keyOf(0xb1)
	var images [][]byte
	keep := func() { images = append(images, must(os.ReadFile(p.file()))) }
	p.run(t, func(d *device, l *ledger.Ledger) {
		g, h := l.Group(1), l.Group(2)
		check(t, g.Found(t.Context(), at(1), old))
		keep()
		check(t, h.Found(t.Context(), at(1), other))
		keep()
		for n := uint64(2); n < 5; n++ {
			check(t, g.Advance(t.Context(), at(n)))
			keep()
		}
		if !finds(t, d, images, old) {
			t.Error("this test does not find a key that is there")
		}
		d.before = func() error { keep(); return nil } // also the slot that is not counted yet
		check(t, g.Rotate(t.Context(), at(5), keyOf(0xa2)))
		keep()
		if finds(t, d, images, old) {
			t.Error("a key from before the turn is found after it")
		}
		if !finds(t, d, images, other) {
			t.Error("the key of the group that did not turn is gone")
		}
		check(t, h.Rotate(t.Context(), at(2), keyOf(0xb2)))
		keep()
		if finds(t, d, images, other) {
			t.Error("a key from before the second turn is found after it")
		}
	})
	files := image(t, p.device)
	for name, data := range files {
		images = append(images, data)
		if name == "anchor" && len(data) == 0 {
			t.Error("no device to search")
		}
	}
	d := must(software.Open(p.device))
	defer d.Close()
	if finds(t, d, images, old) || finds(t, d, images, other) {
		t.Error("an old key is in the device's own files")
	}
}

// finds looks for a key in images of a disk: as it is, and in every slot that the
// device's key of today opens.
func finds(t *testing.T, d anchor.Anchor, images [][]byte, want *anchor.Key) (found bool) {
	t.Helper()
	_, key, err := d.Read(t.Context())
	check(t, err)
	for _, file := range images {
		want.Use(func(secret *[anchor.KeySize]byte) { found = found || bytes.Contains(file, secret[:16]) })
		for at := 0; at < len(file); at += ledger.SlotPitch {
			groups, _ := ledger.Unseal(file[at:], key)
			for _, g := range groups {
				found = found || g.Key.Equal(want)
			}
		}
	}
	return found
}
