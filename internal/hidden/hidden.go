// Package hidden keeps secrets out of what a program prints, logs and encodes. A type that embeds an Of has no other way
// to its secret than Open, which only the package that declared it can call where the field is unexported:
//
//	type secret[T any] = hidden.Of[T, owner]
//
//	type owner struct{}
//
//	func (owner) Owner() string { return "oprf" }
//
//	// PrivateKey prints as "oprf(redacted)", and Wipe wipes all its copies.
//	type PrivateKey struct{ secret[keyPair] }
//
// It is the standard library's alone, so that who reads a package that uses it has to read this besides, and no more.
package hidden

import (
	"fmt"
	"io"
	"log/slog"
)

// Owner says whose the secrets are: a type, so that a zero secret knows it too.
type Owner interface {
	// Owner is the name of the package.
	Owner() string
}

// Text is embedded in what must not be printed: it prints as one word with its owner's name, also inside other types,
// with every verb and flag, in JSON, XML and gob, and in logs.
type Text[O Owner] = text[O]

type text[O Owner] struct{}

func (text[O]) owner() string {
	var o O
	return o.Owner()
}

func (t text[O]) word() string { return t.owner() + "(redacted)" }

// String returns a fixed word, never the secret.
func (t text[O]) String() string { return t.word() }

// GoString returns a fixed word, never the secret.
func (t text[O]) GoString() string { return t.word() }

// Format writes a fixed word for every verb and flag.
func (t text[O]) Format(f fmt.State, verb rune) { io.WriteString(f, t.word()) }

// LogValue returns a fixed word, never the secret.
func (t text[O]) LogValue() slog.Value { return slog.StringValue(t.word()) }

// MarshalJSON returns a fixed word as a JSON string, never the secret.
func (t text[O]) MarshalJSON() ([]byte, error) { return []byte(`"` + t.word() + `"`), nil }

// MarshalText returns a fixed word, never the secret.
func (t text[O]) MarshalText() ([]byte, error) { return []byte(t.word()), nil }

// GobEncode returns a fixed word, never the secret.
func (t text[O]) GobEncode() ([]byte, error) { return []byte(t.word()), nil }

// Of keeps a T out of printers that work by reflection: a function is the
// one thing they cannot look into, not even in another type's unexported field.
// Copies share the T, so that one Wipe wipes them all.
type Of[T any, O Owner] struct {
	text[O]
	held func() *holder[T]
}

type holder[T any] struct {
	value T
	valid bool
}

// New makes a secret and returns the place for its value.
func New[T any, O Owner]() (Of[T, O], *T) {
	h := &holder[T]{valid: true}
	return Of[T, O]{held: func() *holder[T] { return h }}, &h.value
}

// Holds reports whether there is a value: there is none in a zero or wiped secret.
func Holds[T any, O Owner](s Of[T, O]) bool { return s.held != nil && s.held().valid }

// Open returns the place of the value. It panics on a zero or wiped secret, so that nothing is ever computed
// with zeros in the place of a key.
func Open[T any, O Owner](s Of[T, O]) *T {
	if !Holds(s) {
		panic(s.owner() + ": internal error: use of a zero or wiped secret")
	}
	return &s.held().value
}

// Wipe overwrites the secret with zeros, in every copy. It may be called twice,
// and on a zero value. Using a wiped secret panics. What a value points to is not overwritten,
// nor are the standard library's own copies (key schedules, the expanded private key): they are left to the garbage collector.
func (s Of[T, O]) Wipe() {
	if Holds(s) {
		var zero T
		s.held().value, s.held().valid = zero, false
	}
}
