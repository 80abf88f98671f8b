package anchor

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the length of an epoch key in bytes.
const KeySize = 32

const redacted = "anchor.Key(redacted)"

// Key is an epoch key: 32 uniformly random bytes. It prints as a fixed word. The
// zero value, and a key after Wipe, hold none: Use panics, so that nothing is
// ever sealed under zeros. All methods but Wipe may be called concurrently.
type Key struct {
	// A function, because it is the one thing that printers by reflection cannot
	// look into (as in package key). Copies share the bytes.
	held func() *held
}

type held struct {
	secret [KeySize]byte
	valid  bool
}

// NewKey makes a key of bytes read from random; nil means crypto/rand. It fails
// only when random does.
func NewKey(random io.Reader) (*Key, error) {
	if random == nil {
		random = rand.Reader
	}
	h := &held{valid: true}
	if _, err := io.ReadFull(random, h.secret[:]); err != nil {
		return nil, fmt.Errorf("anchor: reading %d random bytes: %w", KeySize, err)
	}
	return hold(h), nil
}

// KeyFromBytes makes a key of b, which came out of Use. The caller wipes its own b.
func KeyFromBytes(b [KeySize]byte) *Key { return hold(&held{secret: b, valid: true}) }

func hold(h *held) *Key { return &Key{held: func() *held { return h }} }

// Use calls f with the secret bytes. f must neither change them nor keep the
// pointer, and wipes the copies it makes.
func (k *Key) Use(f func(secret *[KeySize]byte)) {
	if !k.holds() {
		panic("anchor: internal error: use of a zero or wiped key")
	}
	f(&k.held().secret)
}

// Equal reports in constant time whether k and o hold the same key. A nil, zero
// or wiped key equals nothing.
func (k *Key) Equal(o *Key) bool {
	if !k.holds() || !o.holds() {
		return false
	}
	return subtle.ConstantTimeCompare(k.held().secret[:], o.held().secret[:]) == 1
}

// Wipe overwrites the key with zeros, in every copy of k. It may be called
// twice, and on a nil or zero Key. Best effort: what the standard library
// derived from it stays until the garbage collector reuses the memory.
func (k *Key) Wipe() {
	if !k.holds() {
		return
	}
	h := k.held()
	clear(h.secret[:])
	h.valid = false
}

func (k *Key) holds() bool { return k != nil && k.held != nil && k.held().valid }

// String returns a fixed word, never the key.
func (k Key) String() string { return redacted }

// GoString returns a fixed word, never the key.
func (k Key) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (k Key) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed word as a JSON string, never the key.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
