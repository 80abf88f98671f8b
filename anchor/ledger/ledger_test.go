package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/anchor/ledger"
)

// whole is a group with its ledger and its device, for the suite.
type whole struct {
	anchor.Anchor
	close func()
}

func (w *whole) Close() error {
	err := w.Anchor.Close()
	if w.close != nil {
		w.close()
	}
	w.close = nil
	return err
}

// A group of a ledger is an anchor like any other.
func TestConformance(t *testing.T) {
	places := map[string]place{}
	anchortest.Run(t, func(t *testing.T, name string) anchor.Anchor {
		if _, ok := places[name]; !ok {
			places[name] = newPlace(t)
		}
		_, l, done := places[name].open(t)
		return &whole{l.Group(3), done}
	})
}

// Groups of one ledger know nothing of each other.
func TestGroupsApart(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(_ *device, l *ledger.Ledger) {
		one, two := l.Group(0), l.Group(256)
		check(t, one.Found(t.Context(), at(1), keyOf(1)))
		says(t, l, 7, 0, 0)
		check(t, two.Found(t.Context(), at(9), keyOf(2)))
		check(t, two.Rotate(t.Context(), at(10), keyOf(3)))
		check(t, one.Advance(t.Context(), at(2)))
		for _, err := range []error{two.Advance(t.Context(), at(10)), one.Rotate(t.Context(), at(4), keyOf(9))} {
			if !errors.Is(err, anchor.ErrStale) {
				t.Errorf("got %v", err)
			}
		}
	})
	p.run(t, func(d *device, l *ledger.Ledger) {
		says(t, l, 0, 2, 1)
		says(t, l, 256, 10, 3)
		if n := d.steps.Load(); n != 0 {
			t.Errorf("%d steps of the device to read", n)
		}
	})
}

// While the device does one step, those of all other groups gather, and are the next one.
func TestStepsAreTakenTogether(t *testing.T) {
	const groups = 200
	p := newPlace(t)
	p.run(t, func(d *device, l *ledger.Ledger) {
		var anchors []anchor.Anchor
		for n := range uint32(groups) {
			anchors = append(anchors, l.Group(n))
			check(t, anchors[n].Found(t.Context(), at(1), keyOf(1)))
		}
		d.steps.Store(0)
		d.before = func() error { // the first step lasts until all others wait
			for d.steps.Load() == 1 && l.Waiting() < groups-1 {
				runtime.Gosched()
			}
			return nil
		}
		var wg sync.WaitGroup
		for n, a := range anchors {
			wg.Go(func() {
				err := a.Advance(t.Context(), at(2))
				if n%2 == 0 {
					err = errors.Join(err, a.Rotate(t.Context(), at(3), keyOf(2)))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := d.steps.Load(); n < 2 || n > groups {
			t.Errorf("%d steps of the device for %d of groups", n, groups*3/2)
		}
		if n, turns := d.steps.Load(), d.turns.Load(); n > 2+turns {
			t.Errorf("%d steps of the device, %d of them turns, for %d advances at a time", n, turns, groups)
		}
		for n := range uint32(groups) {
			check(t, anchors[n].Close())
			says(t, l, n, 3-uint64(n%2), 2-byte(n%2))
		}
	})
}

// A step that cannot be is not one of the device's, and takes no other one along.
func TestRefusedInABatch(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(d *device, l *ledger.Ledger) {
		one, two := l.Group(1), l.Group(2)
		check(t, one.Found(t.Context(), at(1), keyOf(1)))
		check(t, two.Found(t.Context(), at(1), keyOf(1)))
		d.before = func() error {
			for d.steps.Load() == 3 && l.Waiting() < 3 {
				runtime.Gosched()
			}
			return nil
		}
		var wg sync.WaitGroup
		var stale, founded error
		wg.Go(func() { _ = one.Advance(t.Context(), at(2)) })
		for d.steps.Load() < 3 {
			runtime.Gosched()
		}
		wg.Go(func() { stale = one.Advance(t.Context(), at(2)) })
		wg.Go(func() { founded = one.Found(t.Context(), at(1), keyOf(9)) })
		wg.Go(func() {
			if err := two.Advance(t.Context(), at(2)); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if !errors.Is(stale, anchor.ErrStale) || !errors.Is(founded, anchor.ErrFounded) {
			t.Errorf("got %v and %v", stale, founded)
		}
		steps := d.steps.Load()
		if err := one.Advance(t.Context(), at(9)); !errors.Is(err, anchor.ErrStale) || d.steps.Load() != steps || steps != 4 {
			t.Errorf("%v; %d steps of the device, then %d", err, steps, d.steps.Load())
		}
	})
	p.run(t, func(_ *device, l *ledger.Ledger) { says(t, l, 1, 2, 1); says(t, l, 2, 2, 1) })
}

// The caller who takes a step for others does not stop it when it gives up itself.
func TestCancelledAmongOthers(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(d *device, l *ledger.Ledger) {
		g := l.Group(1)
		ctx, cancel := context.WithCancel(t.Context())
		d.before = func() error { cancel(); return nil }
		check(t, g.Found(ctx, at(1), keyOf(1)))
		if err := g.Advance(ctx, at(2)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		check(t, g.Advance(t.Context(), at(2)))
	})
}

func TestInUse(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(d *device, l *ledger.Ledger) {
		if _, err := ledger.Open(t.Context(), d, p.disk); !errors.Is(err, anchor.ErrInUse) {
			t.Errorf("opened twice: %v", err)
		}
		one, two := l.Group(1), l.Group(1)
		check(t, one.Found(t.Context(), at(1), keyOf(1)))
		for _, err := range []error{two.Advance(t.Context(), at(2)), two.Found(t.Context(), at(1), keyOf(1)), second(two.Read(t.Context()))} {
			if !errors.Is(err, anchor.ErrInUse) {
				t.Errorf("a group that is open already: %v", err)
			}
		}
		check(t, two.Close()) // it was never open
		if err := l.Group(1).Advance(t.Context(), at(2)); !errors.Is(err, anchor.ErrInUse) {
			t.Errorf("got %v", err)
		}
		check(t, one.Close())
		says(t, l, 1, 1, 1)
	})
}

func second(_ anchor.State, _ *anchor.Key, err error) error { return err }

func TestFull(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(_ *device, l *ledger.Ledger) {
		for n := range uint32(ledger.MaxGroups) {
			check(t, l.Group(n).Found(t.Context(), at(1), keyOf(byte(n))))
		}
		if err := l.Group(1000).Found(t.Context(), at(1), keyOf(1)); err == nil {
			t.Error("one group too many")
		}
	})
	p.run(t, func(_ *device, l *ledger.Ledger) {
		for n := range uint32(ledger.MaxGroups) {
			says(t, l, n, 1, byte(n))
		}
	})
}

func TestDescribe(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(d *device, l *ledger.Ledger) {
		if l.Group(1).Describe() != d.Describe() {
			t.Error("a group says something else than the device")
		}
	})
}

// What a disk says is the device's word or nothing: an old image, another machine's, a
// device that was put back, a file that is gone.
func TestRolledBack(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	var disks, devices []map[string][]byte
	keep := func() {
		disks, devices = append(disks, image(t, p.disk)), append(devices, image(t, p.device))
	}
	for _, q := range []place{p, other} {
		q.run(t, func(_ *device, l *ledger.Ledger) {
			g := l.Group(1)
			check(t, g.Found(t.Context(), at(1), keyOf(1)))
			keep()
			for n := uint64(2); n <= 6; n++ {
				check(t, g.Advance(t.Context(), at(n)))
				keep()
			}
			check(t, g.Rotate(t.Context(), at(7), keyOf(2)))
			keep()
		})
	}
	now, disks := disks[6], disks[:6]
	for n, old := range disks {
		putBack(t, p.disk, old)
		refuses(t, p, ledger.ErrRolledBack, "the disk of", n)
	}
	putBack(t, p.disk, image(t, other.disk))
	refuses(t, p, ledger.ErrRolledBack, "another machine's disk", 0)
	putBack(t, p.disk, now)
	whole := devices[6]
	for n, old := range devices[:5] { // one step apart is what a crash leaves
		putBack(t, p.device, old)
		refuses(t, p, ledger.ErrRolledBack, "the device of", n)
	}
	putBack(t, p.device, whole)
	p.run(t, func(_ *device, l *ledger.Ledger) { says(t, l, 1, 7, 2) })
	check(t, os.Remove(p.file()))
	refuses(t, p, ledger.ErrMissing, "no disk", 0)
}

func refuses(t *testing.T, p place, want error, what string, n int) {
	t.Helper()
	_, l, err := p.try(t)
	if !errors.Is(err, want) {
		t.Errorf("%s %d: %v", what, n, err)
	}
	if err == nil {
		l.Close()
	}
}

// The text says which of the two is older, as far as can be seen.
func TestRolledBackSays(t *testing.T) {
	p := newPlace(t)
	var old, before map[string][]byte
	p.run(t, func(_ *device, l *ledger.Ledger) {
		g := l.Group(1)
		check(t, g.Found(t.Context(), at(1), keyOf(1)))
		old, before = image(t, p.disk), image(t, p.device)
		for n := uint64(2); n < 9; n++ {
			check(t, g.Advance(t.Context(), at(n)))
		}
	})
	now := image(t, p.disk)
	putBack(t, p.disk, old)
	if _, _, err := p.try(t); err == nil || !strings.Contains(err.Error(), "the disk is older") {
		t.Errorf("got %v", err)
	}
	putBack(t, p.disk, now)
	putBack(t, p.device, before)
	if _, _, err := p.try(t); err == nil || !strings.Contains(err.Error(), "the device is older") {
		t.Errorf("got %v", err)
	}
}

// Changed anywhere, the slot that counts is refused; the other one does not matter.
func TestMangled(t *testing.T) {
	p := newPlace(t)
	p.run(t, func(_ *device, l *ledger.Ledger) {
		g := l.Group(1)
		check(t, g.Found(t.Context(), at(1), keyOf(1)))
		check(t, g.Advance(t.Context(), at(2)))
		check(t, g.Advance(t.Context(), at(3)))
	})
	good := must(os.ReadFile(p.file()))
	length := ledger.SlotPitch - len(bytes.TrimRight(good[ledger.Place(3):][:ledger.SlotPitch], "\x00"))
	length = ledger.SlotPitch - length
	for n := range length {
		bad := bytes.Clone(good)
		bad[int(ledger.Place(3))+n] ^= 1
		check(t, os.WriteFile(p.file(), bad, 0o600))
		refuses(t, p, ledger.ErrRolledBack, "changed at byte", n)
		bad = bytes.Clone(good)
		bad[int(ledger.Place(2))+n] ^= 1
		check(t, os.WriteFile(p.file(), bad, 0o600))
		p.run(t, func(_ *device, l *ledger.Ledger) { says(t, l, 1, 3, 1) })
	}
	for _, n := range []int{0, 1, length, ledger.SlotPitch, ledger.SlotPitch + length, len(good) - 1} {
		check(t, os.WriteFile(p.file(), good[:n], 0o600))
		refuses(t, p, ledger.ErrRolledBack, "cut at byte", n)
	}
}
