// Package key holds the backup key K: 32 random bytes that a person sees, writes
// down and types as 64 hexadecimal digits in 16 groups of four. It generates,
// prints and parses the key, keeps it out of logs and error texts, and finds a
// typing slip for somebody who nearly typed the right key.
//
// The exact rules are in spec/key.md. A worked example, which is also
// [Example]: the key whose bytes are 00 11 22 .. ee ff ff ee .. 11 00 is shown as
//
//	0011 2233 4455 6677 8899 aabb ccdd eeff ffee ddcc bbaa 9988 7766 5544 3322 1100
//
// Typed as 0011-2233-4455-6677-B899-... it is another key. [FindSlip], given a
// [Check] that recognises the right one, answers
//
//	digit 17 should be 8 (the first digit of group 5)
//
// # What leaks and what does not
//
// [Key] and [Digits] print as a fixed word in every formatting verb, in JSON and
// in slog, also when they lie in unexported fields. Only [Key.Digits], [Key.Use]
// and the texts of [Slip] give anything away, and each says so. Wiping is best effort:
// spec/key.md §7 says what Go can and cannot promise.
package key

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
)

// Size is the length of the backup key in bytes.
const Size = 32

// spec/key.md §2.
const (
	numDigits   = 2 * Size
	groupDigits = 4
	hexDigits   = "0123456789abcdef"
)

// Key is the backup key K. The zero value, and a key after [Key.Wipe], hold no
// key: [Key.Use] and [Key.Digits] panic, so that nothing is ever encrypted under
// 32 zero bytes.
//
// All methods but Wipe may be called concurrently.
type Key struct {
	// A function, because it is the one thing that fmt and other printers by
	// reflection cannot look into. They cannot call our Format where a Key lies
	// in an unexported field, and a pointer does not stop them: fmt follows it
	// under a verb that does not fit, such as %s. It also makes == on Keys fail
	// to compile, and copies share the bytes, so that one Wipe wipes them all.
	held func() *held
}

type held struct {
	secret [Size]byte
	valid  bool
}

func hold(h *held) *Key {
	h.valid = true
	return &Key{held: func() *held { return h }}
}

// Generate makes a new key from crypto/rand. It fails only when
// [rand.Reader] was replaced by a reader that fails.
func Generate() (*Key, error) {
	h := &held{}
	if _, err := io.ReadFull(rand.Reader, h.secret[:]); err != nil {
		return nil, fmt.Errorf("key: reading %d random bytes: %w", Size, err)
	}
	return hold(h), nil
}

// FromBytes makes a key of b, which must have come out of [Key.Use] or be
// uniformly random. The caller wipes its own b.
func FromBytes(b [Size]byte) *Key {
	return hold(&held{secret: b})
}

// Use calls f with the secret bytes. It is the only way at them: f must neither
// change them nor keep the pointer, and wipes the copies it makes.
func (k *Key) Use(f func(secret *[Size]byte)) {
	f(k.bytes())
}

// Equal reports in constant time whether k and o hold the same key. A nil, zero
// or wiped key equals nothing, itself included.
func (k *Key) Equal(o *Key) bool {
	if !k.holds() || !o.holds() {
		return false
	}
	return subtle.ConstantTimeCompare(k.bytes()[:], o.bytes()[:]) == 1
}

// Wipe overwrites the key with zeros, in every copy of k. It may be called
// twice, and on a nil or zero Key.
func (k *Key) Wipe() {
	if !k.holds() {
		return
	}
	h := k.held()
	clear(h.secret[:])
	h.valid = false
}

// Digits returns the key as it is shown to a person: 16 groups of four
// lower-case hexadecimal digits, single spaces between (79 bytes, spec/key.md §3).
// SECRET: this is the whole key. A Go string cannot be wiped.
func (k *Key) Digits() string {
	b := k.bytes()
	out := make([]byte, 0, numDigits+numDigits/groupDigits-1)
	defer func() { clear(out) }()
	for i := range numDigits {
		if i > 0 && i%groupDigits == 0 {
			out = append(out, ' ')
		}
		out = append(out, hexDigits[digitAt(b, i)])
	}
	return string(out)
}

func (k *Key) holds() bool {
	return k != nil && k.held != nil && k.held().valid
}

func (k *Key) bytes() *[Size]byte {
	if !k.holds() {
		panic("key: internal error: use of a zero or wiped key")
	}
	return &k.held().secret
}

// digitAt returns digit i of b, from 0: the high half of a byte comes first.
func digitAt(b *[Size]byte, i int) byte {
	return b[i/2] >> digitShift(i) & 15
}

// setDigit makes v digit i of b, in place.
func setDigit(b *[Size]byte, i int, v byte) {
	s := digitShift(i)
	b[i/2] = b[i/2]&^(15<<s) | v<<s
}

func digitShift(i int) uint {
	return 4 * uint(1-i&1)
}
