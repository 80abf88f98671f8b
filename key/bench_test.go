package key_test

import (
	"crypto/hkdf"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"sync"
	"testing"

	"keepsake.example/key"
)

// The check of a key ring: C2SP chunked-encryption, instance Cobblestone-256.
// HKDF-Expand-SHA-512 of the candidate gives key(32) ‖ nonce(12) ‖ commitment(32).
// The info is 31 + 16 + 1 + 24 + 48 bytes: prefix, AEAD, zero, salt, header.
const (
	infoSize   = 120
	outputSize = 76
)

var info = make([]byte, infoSize)

// expander is HKDF-Expand by hand, so that nothing is allocated for a try.
type expander struct {
	inner, outer hash.Hash
	pad          [sha512.BlockSize]byte
	t            [2 * sha512.Size]byte
	last         [1]byte
}

var expanders = sync.Pool{New: func() any { return &expander{inner: sha512.New(), outer: sha512.New()} }}

// block computes T(n), RFC 5869 §2.3, into e.t.
func (e *expander) block(secret *[key.Size]byte, n int) []byte {
	for i := range e.pad {
		e.pad[i] = 0x36
	}
	subtle.XORBytes(e.pad[:], e.pad[:key.Size], secret[:])
	e.inner.Reset()
	e.inner.Write(e.pad[:])
	for i := range e.pad {
		e.pad[i] ^= 0x36 ^ 0x5c
	}
	e.outer.Reset()
	e.outer.Write(e.pad[:])
	if n > 1 {
		e.inner.Write(e.t[(n-2)*sha512.Size : (n-1)*sha512.Size])
	}
	e.inner.Write(info)
	e.last[0] = byte(n)
	e.inner.Write(e.last[:])
	t := e.t[(n-1)*sha512.Size : (n-1)*sha512.Size]
	e.outer.Write(e.inner.Sum(t))
	return e.outer.Sum(t)
}

// checks are three ways of computing the same check.
func checks(t testing.TB, k *key.Key) map[string]key.Check {
	want := make([]byte, outputSize)
	k.Use(func(secret *[key.Size]byte) {
		out, err := hkdf.Expand(sha512.New, secret[:], string(info), outputSize)
		if err != nil {
			t.Fatal(err)
		}
		copy(want, out)
	})
	return map[string]key.Check{
		"stdlib": func(c *[key.Size]byte) bool {
			out, err := hkdf.Expand(sha512.New, c[:], string(info), outputSize)
			return err == nil && subtle.ConstantTimeCompare(out, want) == 1
		},
		"reused": func(c *[key.Size]byte) bool {
			e := expanders.Get().(*expander)
			defer expanders.Put(e)
			e.block(c, 1)
			e.block(c, 2)
			return subtle.ConstantTimeCompare(e.t[:outputSize], want) == 1
		},
		// The commitment begins 20 bytes before the end of T(1): a candidate
		// that fails there, all but one in 2^160, needs no T(2).
		"early": func(c *[key.Size]byte) bool {
			e := expanders.Get().(*expander)
			defer expanders.Put(e)
			if subtle.ConstantTimeCompare(e.block(c, 1)[44:], want[44:sha512.Size]) != 1 {
				return false
			}
			e.block(c, 2)
			return subtle.ConstantTimeCompare(e.t[:outputSize], want) == 1
		},
	}
}

// The checks that are measured are right, on a real slip of every length.
func TestRealCheck(t *testing.T) {
	k := secretKey(t)
	right := digitsOf(k)
	for name, check := range checks(t, k) {
		for _, typed := range []string{"0" + right[1:], right[1:], "0" + right, "0" + right[1:63] + "0"} {
			if s, ok := find(t, t.Context(), []byte(typed), check); !ok || !s.Key.Equal(k) {
				t.Errorf("%s: %q: %v", name, typed, s)
			}
		}
	}
}

// The whole search in vain: 454,623 tries on GOMAXPROCS cores (-cpu).
func BenchmarkFindSlip(b *testing.B) {
	k := generate(b)
	d, err := key.ParseDigits([]byte(regular))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"stdlib", "reused", "early"} {
		check := checks(b, k)[name]
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				key.FindSlip(b.Context(), d, check)
			}
			b.ReportMetric(454_623*float64(b.N)/b.Elapsed().Seconds(), "tries/s")
		})
	}
}

// The search alone, with a check that only counts as a call.
func BenchmarkFindSlipFree(b *testing.B) {
	d, err := key.ParseDigits([]byte(regular))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		key.FindSlip(b.Context(), d, func(*[key.Size]byte) bool { return false })
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(generate(b).Digits())
	for b.Loop() {
		if _, err := key.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
