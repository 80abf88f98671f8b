package p256_test

import (
	"math/big"
	"testing"

	"keepsake.example/oprf/p256"
	"keepsake.example/vectors"
)

// FuzzPoint: what is taken as a point is one by the curve's equation, and what is
// refused is none.
func FuzzPoint(f *testing.F) {
	for _, v := range must(vectors.All("p256")) {
		for _, name := range []string{"point", "evaluated", "blinded"} {
			if value, ok := v.Get(name); ok {
				f.Add(unhex(value))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != p256.PointSize {
			return
		}
		x := new(big.Int).SetBytes(data[1:])
		want := (data[0] == 2 || data[0] == 3) && x.Cmp(refP) < 0 && big.Jacobi(polynomial(mod(new(big.Int).Set(x))), refP) == 1
		if err := p256.Check([33]byte(data)); (err == nil) != want {
			t.Errorf("%x: %v, want a point: %v", data, err, want)
		}
	})
}

// FuzzHash: both implementations hash to the same point.
func FuzzHash(f *testing.F) {
	f.Add("dst", []byte("message"))
	f.Fuzz(func(t *testing.T, dst string, message []byte) {
		if len(dst) > 255 || len(message) > 4096 {
			return
		}
		got, want := p256.HashToCurve(dst, message), refHash(dst, message)
		if y := new(big.Int).SetBytes(got[33:]); y.Cmp(want.y) != 0 || [32]byte(got[1:33]) != *scalar(want.x) {
			t.Errorf("%x", got)
		}
	})
}

// FuzzRecover: whatever key a device has, the whole point comes back, and any other
// pair of coordinates is refused or is a pair of that public key.
func FuzzRecover(f *testing.F) {
	f.Add([]byte{2}, []byte{3}, []byte{0})
	f.Fuzz(func(t *testing.T, key, question, fault []byte) {
		k, q := reduced(key), reduced(question)
		if k.Sign() == 0 || q.Sign() == 0 {
			return
		}
		b := must(p256.Public(scalar(q)))
		want := must(p256.Evaluate(scalar(k), b))
		if got := byCoordinates(scalar(k), b); got != want {
			t.Errorf("%x, want %x", got, want)
		}
		x := *scalar(reduced(fault))
		if got, err := p256.Recover(b, (*[32]byte)(want[1:]), &x, must(p256.Public(scalar(k)))); err == nil && got != want {
			t.Errorf("fault %x: %x, want %x", x, got, want)
		}
	})
}

func reduced(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	return n.Mod(n, refN)
}
