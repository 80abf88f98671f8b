package vaultapi

import (
	"crypto/subtle"

	"keepsake.example/internal/hidden"
)

type secret = hidden.Of[[32]byte, owner]

// unprinted is embedded in a request, which carries an access token.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "vaultapi" }

// Secret is a private key k on its way to the vault, 32 bytes. It prints as one
// fixed word, also inside other types. Copies share the bytes, so
// that one Wipe wipes them all, may be called twice, and on a zero value. Not safe for concurrent use with Wipe.
type Secret struct{ secret }

// NewSecret copies the bytes; the caller's are the caller's to wipe.
func NewSecret(value *[32]byte) Secret {
	s, to := hidden.New[[32]byte, owner]()
	*to = *value
	return Secret{s}
}

// Use calls f with the bytes. It is the only way at them: f must neither change
// them nor keep the pointer. It panics on a zero or wiped secret, so that no
// record is ever made with zeros in the place of a key.
func (s Secret) Use(f func(value *[32]byte)) { f(hidden.Open(s.secret)) }

// Equal reports in constant time whether both hold the same bytes. A zero or
// wiped secret equals nothing, itself included.
func (s Secret) Equal(o Secret) bool {
	return hidden.Holds(s.secret) && hidden.Holds(o.secret) &&
		subtle.ConstantTimeCompare(hidden.Open(s.secret)[:], hidden.Open(o.secret)[:]) == 1
}
