package anchor

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"

	"keepsake.example/internal/hidden"
)

// KeySize is the length of an epoch key in bytes.
const KeySize = 32

// Key is an epoch key: 32 uniformly random bytes. It prints as a fixed word. The
// zero value, and a key after Wipe, hold none: Use panics, so that nothing is
// ever sealed under zeros. All methods but Wipe may be called concurrently.
type Key struct{ keyBytes }

type keyBytes = hidden.Of[[KeySize]byte, owner]

// unprinted is embedded in what must not be printed.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "anchor" }

// NewKey makes a key of bytes read from random; nil means crypto/rand. It fails
// only when random does.
func NewKey(random io.Reader) (*Key, error) {
	if random == nil {
		random = rand.Reader
	}
	s, b := hidden.New[[KeySize]byte, owner]()
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("anchor: reading %d random bytes: %w", KeySize, err)
	}
	return &Key{s}, nil
}

// KeyFromBytes makes a key of b, which came out of Use. The caller wipes its own b.
func KeyFromBytes(b [KeySize]byte) *Key {
	s, to := hidden.New[[KeySize]byte, owner]()
	*to = b
	return &Key{s}
}

// Use calls f with the secret bytes. f must neither change them nor keep the
// pointer, and wipes the copies it makes.
func (k *Key) Use(f func(secret *[KeySize]byte)) { f(hidden.Open(k.keyBytes)) }

// Equal reports in constant time whether k and o hold the same key. A nil, zero
// or wiped key equals nothing.
func (k *Key) Equal(o *Key) bool {
	if !k.holds() || !o.holds() {
		return false
	}
	return subtle.ConstantTimeCompare(hidden.Open(k.keyBytes)[:], hidden.Open(o.keyBytes)[:]) == 1
}

// Wipe overwrites the key with zeros, in every copy of k. It may be called
// twice, and on a nil or zero Key. Best effort: what the standard library
// derived from it stays until the garbage collector reuses the memory.
func (k *Key) Wipe() {
	if k != nil {
		k.keyBytes.Wipe()
	}
}

func (k *Key) holds() bool { return k != nil && hidden.Holds(k.keyBytes) }
