package key_test

import (
	"context"
	"crypto/subtle"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/key"
)

const hexDigits = "0123456789abcdef"

func accepts(want [key.Size]byte) key.Check {
	return func(c *[key.Size]byte) bool { return subtle.ConstantTimeCompare(c[:], want[:]) == 1 }
}

func find(t testing.TB, ctx context.Context, typed []byte, check key.Check) (*key.Slip, bool) {
	t.Helper()
	d, err := key.ParseDigits(typed)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := key.FindSlip(ctx, d, check)
	if ok != (s != nil) {
		t.Fatalf("FindSlip = %v, %v", s, ok)
	}
	return s, ok
}

func mustFind(t testing.TB, typed []byte, k *key.Key) *key.Slip {
	t.Helper()
	s, ok := find(t, t.Context(), typed, accepts(bytesOf(k)))
	if !ok {
		t.Fatalf("no slip found in %q", typed)
	}
	if !s.Key.Equal(k) {
		t.Fatalf("%q: another key found", typed)
	}
	return s
}

// digitsOf returns the 64 digits without spaces.
func digitsOf(k *key.Key) string { return strings.ReplaceAll(k.Digits(), " ", "") }

// apply repairs typed by what the slip says alone.
func apply(typed string, s *key.Slip) string {
	b := []byte(typed)
	switch at := s.Fixes[0].Position - 1; s.Kind {
	case key.Missing:
		return typed[:at] + string(s.Fixes[0].Want) + typed[at:]
	case key.Doubled:
		return typed[:at] + typed[at+1:]
	}
	for _, f := range s.Fixes {
		b[f.Position-1] = f.Want
	}
	return string(b)
}

func mustRepair(t *testing.T, k *key.Key, typed string, kind key.SlipKind) *key.Slip {
	t.Helper()
	s := mustFind(t, []byte(typed), k)
	if s.Kind != kind || apply(typed, s) != digitsOf(k) {
		t.Fatalf("%q: %v: %v gives %q", typed, s.Kind, s, apply(typed, s))
	}
	return s
}

func TestEveryWrongDigit(t *testing.T) {
	k := generate(t)
	right := digitsOf(k)
	for i := range right {
		for _, c := range hexDigits {
			if byte(c) == right[i] {
				continue
			}
			s := mustRepair(t, k, right[:i]+string(c)+right[i+1:], key.WrongDigit)
			if !strings.HasPrefix(s.String(), fmt.Sprintf("digit %d should be %c (the ", i+1, right[i])) {
				t.Fatalf("digit %d: %s", i+1, s)
			}
		}
	}
}

func TestEverySwap(t *testing.T) {
	k := generate(t)
	right := digitsOf(k)
	for i := range len(right) - 1 {
		if right[i] != right[i+1] {
			mustRepair(t, k, right[:i]+right[i+1:i+2]+right[i:i+1]+right[i+2:], key.Swapped)
		}
	}
}

func TestEveryDeletion(t *testing.T) {
	k := generate(t)
	right := digitsOf(k)
	for i := range right {
		s := mustRepair(t, k, right[:i]+right[i+1:], key.Missing)
		if p := s.Fixes[0].Position; p > i+1 || strings.Trim(right[p-1:i+1], right[i:i+1]) != "" {
			t.Fatalf("digit %d left out, found at %d", i+1, p)
		}
	}
}

func TestEveryExtraDigit(t *testing.T) {
	k := generate(t)
	right := digitsOf(k)
	for i := range len(right) + 1 {
		for _, c := range hexDigits {
			typed := right[:i] + string(c) + right[i:]
			s := mustRepair(t, k, typed, key.Doubled)
			p := s.Fixes[0].Position
			if s.Fixes[0].Repeats != (p < 65 && typed[p-1] == typed[p]) {
				t.Fatalf("%q: %v", typed, s)
			}
			if next := i < 64 && right[i] == byte(c) || i > 0 && right[i-1] == byte(c); next != s.Fixes[0].Repeats {
				t.Fatalf("%q: %v", typed, s)
			}
		}
	}
}

func TestRandomPairs(t *testing.T) {
	for range 60 {
		k := generate(t)
		b := []byte(digitsOf(k))
		i, j := rand.IntN(64), rand.IntN(63)
		if j >= i {
			j++
		}
		for _, p := range []int{i, j} {
			b[p] = hexDigits[(strings.IndexByte(hexDigits, b[p])+1+rand.IntN(15))%16]
		}
		s := mustFind(t, b, k)
		if swapped := s.Kind == key.Swapped && (i-j == 1 || j-i == 1); !swapped && s.Kind != key.TwoWrong {
			t.Errorf("%s: %v", b, s.Kind)
		}
		if apply(string(b), s) != digitsOf(k) {
			t.Errorf("%s: %v", b, s)
		}
	}
}

// regular has no equal neighbours, so that no try is left out as a repetition.
var regular = strings.Repeat(hexDigits, 4)

// spec/key.md §5.2: the numbers of tries, and no candidate twice.
func TestTries(t *testing.T) {
	for _, c := range []struct {
		name, typed        string
		tries, differently int
	}{
		{"64 digits", regular, 960 + 63 + 453_600, 960 + 453_600},
		{"63 digits", regular[1:], 961, 961},
		{"65 digits", regular + "0", 65, 65},
		{"62 digits", regular[2:], 0, 0},
		{"66 digits", regular + "01", 0, 0},
		{"no digits", "", 0, 0},
	} {
		var mu sync.Mutex
		tries, seen := 0, map[[key.Size]byte]bool{}
		s, ok := find(t, t.Context(), []byte(c.typed), func(k *[key.Size]byte) bool {
			mu.Lock()
			defer mu.Unlock()
			tries++
			seen[*k] = true
			return false
		})
		if ok || tries != c.tries || len(seen) != c.differently {
			t.Errorf("%s: found %v, %d tries of %d keys, want %d of %d", c.name, s, tries, len(seen), c.tries, c.differently)
		}
		if k, err := key.Parse([]byte(c.typed)); err == nil && seen[bytesOf(k)] {
			t.Errorf("%s: what was typed is tried again", c.name)
		}
	}
}

func TestOtherKey(t *testing.T) {
	for range 3 {
		typed := generate(t).Digits()
		if s, ok := find(t, t.Context(), []byte(typed), accepts(bytesOf(generate(t)))); ok {
			t.Errorf("found %v for a key that has nothing to do with it", s)
		}
	}
}

// wrongPair is regular with c and d at the indices i and j.
func wrongPair(t *testing.T, i, j int, c, d byte) [key.Size]byte {
	t.Helper()
	b := []byte(regular)
	b[i], b[j] = c, d
	k, err := key.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytesOf(k)
}

// A check that accepts several candidates gets the first in the order of the
// specification, whatever the scheduling.
func TestDeterministic(t *testing.T) {
	good := map[[key.Size]byte]bool{
		wrongPair(t, 3, 9, 'f', 'a'): true, wrongPair(t, 3, 10, '0', '1'): true, wrongPair(t, 3, 9, '0', '0'): true,
		wrongPair(t, 3, 9, '0', '1'): true, wrongPair(t, 4, 5, '0', '0'): true, wrongPair(t, 62, 63, '0', '0'): true,
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const want = "digit 4 should be 0 (the last digit of group 1) and digit 10 should be 0 (the second digit of group 3)"
	for n := range 60 {
		runtime.GOMAXPROCS(1 + n%8)
		s, ok := find(t, t.Context(), []byte(regular), func(c *[key.Size]byte) bool { return good[*c] })
		if !ok || s.String() != want {
			t.Fatalf("run %d: %v", n, s)
		}
	}
}

// Two goroutines are made to find two candidates at once, in either order.
func TestFoundAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	first, second := wrongPair(t, 0, 63, '1', '0'), wrongPair(t, 0, 1, '2', '0')
	for _, late := range [][key.Size]byte{first, second} {
		meet := make(chan bool)
		s, ok := find(t, t.Context(), []byte(regular), func(c *[key.Size]byte) bool {
			switch *c {
			case first:
				meet <- true
			case second:
				<-meet
			default:
				return false
			}
			if *c == late {
				time.Sleep(20 * time.Millisecond) // the other is in before, on all but the busiest machine
			}
			return true
		})
		if !ok || !s.Key.Equal(key.FromBytes(first)) {
			t.Errorf("found %v", s)
		}
	}
}

// When one goroutine has found the key the others do not search to the end.
func TestFoundStopsOthers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	good := wrongPair(t, 0, 1, '2', '0')
	var calls atomic.Int64
	var hit atomic.Bool
	s, ok := find(t, t.Context(), []byte(regular), func(c *[key.Size]byte) bool {
		calls.Add(1)
		if *c == good {
			hit.Store(true)
			return true
		}
		if hit.Load() {
			time.Sleep(time.Microsecond) // time for the finder to say so
		}
		return false
	})
	if n := calls.Load(); !ok || n > 300_000 {
		t.Errorf("found %v, %d calls", s, n)
	}
}

func TestContextEnds(t *testing.T) {
	bound := int64(runtime.GOMAXPROCS(0)) * 945
	for _, c := range []struct {
		typed string
		after int64
	}{
		{regular, 0}, {regular, 7}, {regular, 970}, {regular, 5000}, {regular, 400_000},
		{regular[1:], 0}, {regular[1:], 100}, {regular + "0", 0}, {regular + "0", 20},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if c.after == 0 {
			cancel()
		}
		var calls atomic.Int64
		s, ok := find(t, ctx, []byte(c.typed), func(*[key.Size]byte) bool {
			n := calls.Add(1)
			if n == c.after {
				cancel()
			}
			if n > c.after { // the one that ends it may be asleep before it does
				<-ctx.Done()
			}
			return false
		})
		if n := calls.Load(); ok || n < c.after || n > c.after+bound || c.after == 0 && n > 0 {
			t.Errorf("ended after %d: %v, %d calls", c.after, s, n)
		}
	}
}

// 454,623 tries must not make garbage: a few allocations for each goroutine.
func TestNoAllocations(t *testing.T) {
	d, err := key.ParseDigits([]byte(regular))
	if err != nil {
		t.Fatal(err)
	}
	check := accepts(bytesOf(generate(t)))
	if n := testing.AllocsPerRun(3, func() { key.FindSlip(t.Context(), d, check) }); n > 100 {
		t.Errorf("%v allocations in a whole search", n)
	}
}

func TestSlipKindNames(t *testing.T) {
	var names []string
	for k := key.WrongDigit; k <= key.TwoWrong+1; k++ {
		names = append(names, k.String())
	}
	if got, want := strings.Join(names, ", "), "wrong digit, swapped, missing, doubled, two wrong, SlipKind(6)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
