package sealed_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"keepsake.example/sealed"
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

var testFleet = sealed.FleetID{1, 2, 3}

func keyOf(seed byte) *sealed.PrivateKey {
	return must(sealed.ParsePrivateKey(testFleet, bytes.Repeat([]byte{seed}, sealed.PrivateKeySize)))
}

func seedOf(k *sealed.PrivateKey) (b [sealed.PrivateKeySize]byte) {
	k.Use(func(seed *[sealed.PrivateKeySize]byte) { b = *seed })
	return b
}

// exchange is one request with all that both sides make of it.
type exchange struct {
	request  []byte
	pending  *sealed.Pending
	answerer *sealed.Answerer
}

func begin(t testing.TB, k *sealed.PrivateKey, message []byte) exchange {
	t.Helper()
	request, pending, err := k.Public().Seal(message)
	if err != nil {
		t.Fatal(err)
	}
	got, answerer, err := k.Open(request)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, message) {
		t.Fatalf("%d bytes went in, %d others came out", len(message), len(got))
	}
	return exchange{request, pending, answerer}
}

// mustPanic runs f, which must panic with a text of this package.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "sealed: internal error: ") {
			t.Errorf("%s: recovered %q", what, text)
		}
	}()
	f()
}
