package p256

import (
	"fmt"
	"io"
	"log/slog"
)

// What every secret of this package prints as.
const redacted = "p256(redacted)"

// secret keeps a T out of printers that work by reflection: a function is the
// one thing they cannot look into, not even in another type's unexported field.
// Copies share the T, so that one Wipe wipes them all.
type secret[T any] struct {
	held func() *holder[T]
}

type holder[T any] struct {
	value T
	valid bool
}

// newSecret makes a secret and returns the place for its value.
func newSecret[T any]() (secret[T], *T) {
	h := &holder[T]{valid: true}
	return secret[T]{func() *holder[T] { return h }}, &h.value
}

func (s secret[T]) holds() bool { return s.held != nil && s.held().valid }

// open panics on a zero or wiped secret, so that nothing is ever computed with
// zeros in the place of a key.
func (s secret[T]) open() *T {
	if !s.holds() {
		panic("p256: internal error: use of a zero or wiped secret")
	}
	return &s.held().value
}

// Wipe overwrites the secret with zeros, in every copy. It may be called twice,
// and on a zero value. Using a wiped secret panics.
func (s secret[T]) Wipe() {
	if s.holds() {
		var zero T
		s.held().value, s.held().valid = zero, false
	}
}

// String returns a fixed word, never the secret.
func (s secret[T]) String() string { return redacted }

// GoString returns a fixed word, never the secret.
func (s secret[T]) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (s secret[T]) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the secret.
func (s secret[T]) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed word as a JSON string, never the secret.
func (s secret[T]) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
