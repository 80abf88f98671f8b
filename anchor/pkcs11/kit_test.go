//go:build cgo

package pkcs11_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
)

// One store for the process, since SoftHSM reads its configuration once; a token for each test.
var store *softhsm.Store

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
	}
	memory := "/dev/shm" // SoftHSM writes a file at each call
	if _, err := os.Stat(memory); err != nil {
		memory = ""
	}
	dir, err := os.MkdirTemp(memory, "keepsake-pkcs11-")
	if err == nil {
		store, err = softhsm.New(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	tokens   int
	tokensMu sync.Mutex
)

// token makes a prepared token.
func token(t testing.TB) pkcs11.Options {
	t.Helper()
	opts := blank(t)
	check(t, pkcs11.Prepare(t.Context(), opts, store.Custodian()))
	return opts
}

func blank(t testing.TB) pkcs11.Options {
	t.Helper()
	tokensMu.Lock()
	defer tokensMu.Unlock()
	tokens++
	opts, err := store.Token(t.Context(), fmt.Sprintf("token %d", tokens))
	check(t, err)
	return opts
}

func open(t testing.TB, opts pkcs11.Options) anchor.Device {
	t.Helper()
	d, err := pkcs11.Open(t.Context(), opts)
	check(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func state(n uint64) anchor.State { return anchor.State{Counter: n, Head: [32]byte{byte(n), 7}} }

func keyOf(b byte) *anchor.Key {
	var k [anchor.KeySize]byte
	for i := range k {
		k[i] = b + byte(i)
	}
	return anchor.KeyFromBytes(k)
}

// founded makes a token that stands at 3 under key 2.
func founded(t testing.TB) pkcs11.Options {
	t.Helper()
	opts := token(t)
	d := open(t, opts)
	check(t, d.Found(t.Context(), state(1), keyOf(1)))
	check(t, d.Rotate(t.Context(), state(2), keyOf(2)))
	check(t, d.Advance(t.Context(), state(3)))
	check(t, d.Close())
	return opts
}

// counter opens a token and reads it.
func counter(ctx context.Context, opts pkcs11.Options) (n uint64, key *anchor.Key, err error) {
	d, err := pkcs11.Open(ctx, opts)
	if err != nil {
		return 0, nil, err
	}
	defer d.Close()
	s, key, err := d.Read(ctx)
	return s.Counter, key, err
}
