package oprf_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"keepsake.example/oprf"
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

// scalarBytes is what a reader must give for the random scalar s: 64 bytes
// that are s before they are reduced.
func scalarBytes(s []byte) *bytes.Reader {
	return bytes.NewReader(append(bytes.Clone(s), make([]byte, 32)...))
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func unhexList(s string) (list [][]byte) {
	for _, h := range strings.Split(s, ",") {
		list = append(list, unhex(h))
	}
	return list
}

func keyOf(seed byte) *oprf.PrivateKey { return must(oprf.GenerateKey(&reader{seed: seed})) }

func outputOf(o *oprf.Output) (b [oprf.OutputSize]byte) {
	o.Use(func(out *[oprf.OutputSize]byte) { b = *out })
	return b
}

func encodingOf(k *oprf.PrivateKey) (b [oprf.ScalarSize]byte) {
	k.Use(func(enc *[oprf.ScalarSize]byte) { b = *enc })
	return b
}

// mustPanic runs f, which must panic with a text of this package.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "oprf: internal error: ") {
			t.Errorf("%s: recovered %q", what, text)
		}
	}()
	f()
}
