package vaultapi

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// What every secret of this package prints as.
const redacted = "vaultapi(redacted)"

// Secret is a private key k on its way to the vault, 32 bytes. It prints as one
// fixed word, also inside other types: it holds a function, the one thing that
// printers which work by reflection cannot look into. Copies share the bytes, so
// that one Wipe wipes them all. Not safe for concurrent use with Wipe.
type Secret struct {
	held func() *holder
}

type holder struct {
	value [32]byte
	valid bool
}

// NewSecret copies the bytes; the caller's are the caller's to wipe.
func NewSecret(value *[32]byte) Secret {
	h := &holder{*value, true}
	return Secret{func() *holder { return h }}
}

func (s Secret) holds() bool { return s.held != nil && s.held().valid }

// Use calls f with the bytes. It is the only way at them: f must neither change
// them nor keep the pointer. It panics on a zero or wiped secret, so that no
// record is ever made with zeros in the place of a key.
func (s Secret) Use(f func(value *[32]byte)) {
	if !s.holds() {
		panic("vaultapi: internal error: use of a zero or wiped secret")
	}
	f(&s.held().value)
}

// Equal reports in constant time whether both hold the same bytes. A zero or
// wiped secret equals nothing, itself included.
func (s Secret) Equal(o Secret) bool {
	return s.holds() && o.holds() && subtle.ConstantTimeCompare(s.held().value[:], o.held().value[:]) == 1
}

// Wipe overwrites the bytes with zeros, in every copy. It may be called twice,
// and on a zero value.
func (s Secret) Wipe() {
	if s.holds() {
		*s.held() = holder{}
	}
}

// String returns a fixed word, never the secret.
func (s Secret) String() string { return redacted }

// GoString returns a fixed word, never the secret.
func (s Secret) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (s Secret) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed word as a JSON string, never the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// A request carries an access token, so it prints as the same word.

// String returns a fixed word, never the token.
func (r Request) String() string { return redacted }

// GoString returns a fixed word, never the token.
func (r Request) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (r Request) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the token.
func (r Request) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns a fixed word as a JSON string, never the token.
func (r Request) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
