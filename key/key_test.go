package key_test

import (
	"crypto/rand"
	"errors"
	"regexp"
	"testing"
	"testing/iotest"

	"keepsake.example/key"
)

func generate(t testing.TB) *key.Key {
	t.Helper()
	k, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func bytesOf(k *key.Key) (b [key.Size]byte) {
	k.Use(func(secret *[key.Size]byte) { b = *secret })
	return b
}

func TestGenerate(t *testing.T) {
	seen := map[[key.Size]byte]bool{{}: true}
	var or, and [key.Size]byte
	for i := range and {
		and[i] = 0xFF
	}
	for range 100 {
		b := bytesOf(generate(t))
		if seen[b] {
			t.Fatal("the same key twice, or zeros")
		}
		seen[b] = true
		for i := range b {
			or[i] |= b[i]
			and[i] &= b[i]
		}
	}
	// 512 bits, each stuck by chance in 2 of 2^100 runs.
	for i := range or {
		if or[i] != 0xFF || and[i] != 0 {
			t.Errorf("byte %d has a bit that never changes", i)
		}
	}
}

func TestGenerateFails(t *testing.T) {
	real, broken := rand.Reader, errors.New("broken")
	defer func() { rand.Reader = real }()
	rand.Reader = iotest.ErrReader(broken)
	if k, err := key.Generate(); k != nil || !errors.Is(err, broken) {
		t.Errorf("Generate = %v, %v, want %v", k, err, broken)
	}
}

func TestRoundTrip(t *testing.T) {
	shown := regexp.MustCompile(`^([0-9a-f]{4} ){15}[0-9a-f]{4}$`)
	for range 1000 {
		k := generate(t)
		digits := k.Digits()
		if !shown.MatchString(digits) {
			t.Fatalf("shown as %q", digits)
		}
		back, err := key.Parse([]byte(digits))
		if err != nil || !back.Equal(k) || bytesOf(back) != bytesOf(k) {
			t.Fatalf("parsing what is shown: %v", err)
		}
		if !key.FromBytes(bytesOf(k)).Equal(k) {
			t.Fatal("FromBytes of the bytes is another key")
		}
	}
}

func TestEqual(t *testing.T) {
	k := generate(t)
	if !k.Equal(k) || !k.Equal(key.FromBytes(bytesOf(k))) {
		t.Error("a key differs from itself")
	}
	for bit := range 8 * key.Size {
		b := bytesOf(k)
		b[bit/8] ^= 1 << (bit % 8)
		if k.Equal(key.FromBytes(b)) || key.FromBytes(b).Equal(k) {
			t.Errorf("equal though bit %d differs", bit)
		}
	}
}

func TestNoKeyEqualsNothing(t *testing.T) {
	wiped, zeros := generate(t), key.FromBytes([key.Size]byte{})
	wiped.Wipe()
	for name, none := range map[string]*key.Key{"nil": nil, "zero": {}, "wiped": wiped} {
		if none.Equal(none) || none.Equal(zeros) || zeros.Equal(none) || none.Equal(&key.Key{}) {
			t.Errorf("a %s key equals something", name)
		}
	}
}

func TestWipe(t *testing.T) {
	k := generate(t)
	shared := *k
	var inside *[key.Size]byte
	k.Use(func(secret *[key.Size]byte) { inside = secret })
	k.Wipe()
	if *inside != [key.Size]byte{} {
		t.Errorf("left after Wipe: %x", *inside)
	}
	for name, none := range map[string]*key.Key{"wiped": k, "copy of a wiped": &shared, "zero": {}, "nil": nil} {
		none.Wipe()
		mustPanic(t, name+" key: Use", func() { none.Use(func(*[key.Size]byte) { t.Error("Use of no key") }) })
		mustPanic(t, name+" key: Digits", func() { _ = none.Digits() })
	}
}

func TestWipeDigits(t *testing.T) {
	d, err := key.ParseDigits([]byte(generate(t).Digits()))
	if err != nil {
		t.Fatal(err)
	}
	shared := d
	inside := d.Held()
	d.Wipe()
	for _, v := range inside {
		if v != 0 {
			t.Fatalf("left after Wipe: %x", inside)
		}
	}
	if d.Len() != 0 || shared.Len() != 0 || len(inside) != 64 {
		t.Errorf("%d, %d of %d digits after Wipe", d.Len(), shared.Len(), len(inside))
	}
	key.Digits{}.Wipe()
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	f()
}
