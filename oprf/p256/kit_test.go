package p256_test

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"keepsake.example/oprf/p256"
	"keepsake.example/vectors"
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// reader gives the same bytes for the same seed, without end.
type reader struct{ seed, n byte }

func (r *reader) Read(b []byte) (int, error) {
	for i := range b {
		r.n++
		b[i] = r.seed*31 ^ r.n*7
	}
	return len(b), nil
}

// scalarBytes is what a reader must give for the random scalar s.
func scalarBytes(s []byte) *bytes.Reader { return bytes.NewReader(append(make([]byte, 16), s...)) }

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func point(s string) [p256.PointSize]byte { return [p256.PointSize]byte(unhex(s)) }

func scalar(n *big.Int) *[p256.ScalarSize]byte {
	var s [p256.ScalarSize]byte
	n.FillBytes(s[:])
	return &s
}

func keyOf(n int64) *[p256.ScalarSize]byte { return scalar(big.NewInt(n)) }

func field(t testing.TB, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

// mustPanic runs f, which must panic with a text of this package.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "p256: internal error: ") {
			t.Errorf("%s: recovered %q", what, text)
		}
	}()
	f()
}
