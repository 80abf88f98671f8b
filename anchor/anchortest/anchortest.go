// Package anchortest is the suite that every implementation of [anchor.Anchor]
// runs: it checks what spec/replication.md §3 asks of all of them. How an anchor
// does against somebody who has its hardware is for its own tests. A Hang is for
// tests of what has an anchor.
package anchortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"keepsake.example/anchor"
)

// Run runs the suite. open opens the anchor of that name, which is a new one
// at the first call for a name; the suite closes what it opens.
func Run(t *testing.T, open func(t *testing.T, name string) anchor.Anchor) {
	for name, test := range map[string]func(*suite){
		"Empty": (*suite).empty, "Found": (*suite).found, "Advance": (*suite).advance, "Stale": (*suite).stale,
		"Rotate": (*suite).rotate, "Long": (*suite).long, "Apart": (*suite).apart, "Cancelled": (*suite).cancelled,
		"Race": (*suite).race, "OwnKey": (*suite).ownKey, "Closed": (*suite).closed, "Describe": (*suite).describe,
	} {
		t.Run(name, func(t *testing.T) { test(&suite{t, name, open}) })
	}
}

type suite struct {
	*testing.T
	name string
	open func(*testing.T, string) anchor.Anchor
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) is(got, want error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Errorf("got %v, want %v", got, want)
	}
}

// with opens the anchor for as long as f runs.
func (s *suite) with(f func(anchor.Anchor)) {
	s.Helper()
	a := s.open(s.T, s.name)
	defer func() { s.must(a.Close()) }()
	f(a)
}

// holds checks what an anchor says now, and after it was closed and opened.
func (s *suite) holds(counter uint64, key byte) {
	s.Helper()
	s.with(func(a anchor.Anchor) { s.says(a, counter, key) })
}

func (s *suite) says(a anchor.Anchor, counter uint64, key byte) {
	s.Helper()
	got, k, err := a.Read(s.Context())
	s.must(err)
	if got != at(counter) || !k.Equal(keyOf(key)) {
		s.Errorf("at %d (head %x…), want %d; right key: %v", got.Counter, got.Head[:2], counter, k.Equal(keyOf(key)))
	}
	k.Wipe()
}

// at is a state with a head that belongs to its counter.
func at(counter uint64) anchor.State {
	s := anchor.State{Counter: counter}
	copy(s.Head[:], fmt.Sprintf("head after batch %d", counter))
	return s
}

func keyOf(b byte) *anchor.Key {
	var k [anchor.KeySize]byte
	for i := range k {
		k[i] = b + byte(i)
	}
	return anchor.KeyFromBytes(k)
}

func (s *suite) empty() {
	s.with(func(a anchor.Anchor) {
		_, _, err := a.Read(s.Context())
		s.is(err, anchor.ErrEmpty)
		s.is(a.Advance(s.Context(), at(1)), anchor.ErrEmpty)
		s.is(a.Rotate(s.Context(), at(1), keyOf(1)), anchor.ErrEmpty)
	})
	s.with(func(a anchor.Anchor) {
		_, _, err := a.Read(s.Context())
		s.is(err, anchor.ErrEmpty)
	})
}

func (s *suite) found() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		s.says(a, 1, 1)
		s.is(a.Found(s.Context(), at(1), keyOf(1)), anchor.ErrFounded)
	})
	s.with(func(a anchor.Anchor) { s.is(a.Found(s.Context(), at(9), keyOf(2)), anchor.ErrFounded) })
	s.holds(1, 1)
}

func (s *suite) advance() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		for n := uint64(2); n <= 6; n++ {
			s.must(a.Advance(s.Context(), at(n)))
			s.says(a, n, 1)
		}
	})
	s.holds(6, 1)
	s.with(func(a anchor.Anchor) { s.must(a.Advance(s.Context(), at(7))) })
	s.holds(7, 1)
}

func (s *suite) stale() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(5), keyOf(1)))
		for _, n := range []uint64{0, 4, 5, 7, 1 << 63} {
			s.is(a.Advance(s.Context(), at(n)), anchor.ErrStale)
			s.is(a.Rotate(s.Context(), at(n), keyOf(2)), anchor.ErrStale)
		}
		s.says(a, 5, 1)
		s.must(a.Advance(s.Context(), at(6)))
	})
	s.holds(6, 1)
}

func (s *suite) rotate() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		s.must(a.Rotate(s.Context(), at(2), keyOf(2)))
		s.says(a, 2, 2)
		s.must(a.Advance(s.Context(), at(3)))
	})
	s.holds(3, 2)
	s.with(func(a anchor.Anchor) { s.must(a.Rotate(s.Context(), at(4), keyOf(3))) })
	s.holds(4, 3)
}

// Many steps in a row, some of which rotate.
func (s *suite) long() {
	const steps = 64
	key := byte(1)
	s.with(func(a anchor.Anchor) { s.must(a.Found(s.Context(), at(1), keyOf(key))) })
	for n := uint64(2); n < steps; {
		s.with(func(a anchor.Anchor) {
			for ; n%7 != 0; n++ {
				s.must(a.Advance(s.Context(), at(n)))
			}
			key++
			s.must(a.Rotate(s.Context(), at(n), keyOf(key)))
			n++
		})
		s.holds(n-1, key)
	}
}

// Two anchors know nothing of each other.
func (s *suite) apart() {
	s.with(func(a anchor.Anchor) {
		other := s.open(s.T, s.name+" other")
		defer func() { s.must(other.Close()) }()
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		_, _, err := other.Read(s.Context())
		s.is(err, anchor.ErrEmpty)
		s.must(other.Found(s.Context(), at(8), keyOf(2)))
		s.says(a, 1, 1)
	})
}

// A context that is over before a step begins stops it.
func (s *suite) cancelled() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		s.is(a.Advance(ctx, at(2)), context.Canceled)
		s.is(a.Rotate(ctx, at(2), keyOf(2)), context.Canceled)
	})
	s.holds(1, 1)
}

// Of many who take the same step one gets it.
func (s *suite) race() {
	s.with(func(a anchor.Anchor) {
		s.must(a.Found(s.Context(), at(1), keyOf(1)))
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { errs[i] = a.Advance(s.Context(), at(2)) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				s.is(err, anchor.ErrStale)
			}
		}
		if won != 1 {
			s.Errorf("%d took the step from 1 to 2", won)
		}
	})
	s.holds(2, 1)
}

// The anchor keeps a key of its own: the caller wipes what it gave and got.
func (s *suite) ownKey() {
	s.with(func(a anchor.Anchor) {
		for n, step := range []func(*anchor.Key) error{
			func(k *anchor.Key) error { return a.Found(s.Context(), at(1), k) },
			func(k *anchor.Key) error { return a.Rotate(s.Context(), at(2), k) },
		} {
			k := keyOf(byte(n))
			s.must(step(k))
			k.Wipe()
			s.says(a, uint64(n+1), byte(n)) // wipes what it reads
			s.says(a, uint64(n+1), byte(n))
		}
	})
}

func (s *suite) closed() {
	a := s.open(s.T, s.name)
	s.must(a.Found(s.Context(), at(1), keyOf(1)))
	s.must(a.Close())
	s.must(a.Close())
	if _, _, err := a.Read(s.Context()); err == nil {
		s.Error("a closed anchor is read")
	}
	if err := a.Advance(s.Context(), at(2)); err == nil {
		s.Error("a closed anchor advances")
	}
	s.holds(1, 1)
}

func (s *suite) describe() {
	s.with(func(a anchor.Anchor) {
		d := a.Describe()
		if d.Name == "" || d.Protects == "" {
			s.Errorf("describes itself as %+v", d)
		}
		if d.Insecure && !strings.Contains(d.Protects, "nothing") {
			s.Errorf("insecure, but says it protects %q", d.Protects)
		}
	})
}
