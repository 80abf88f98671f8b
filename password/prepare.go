package password

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"keepsake.example/internal/hidden"
)

// Password is a password as it goes into the derivation: normalised, so that the
// same one from another keyboard is the same bytes.
type Password struct {
	secret[[]byte]
}

// Prepare is OpaqueString of RFC 8265 §4.2: all kinds of spaces become the ASCII
// space, the text becomes NFC, and empty texts, control characters and unassigned
// code points are refused. Case and everything else stay. typed is at most
// MaxTyped bytes and remains the caller's to wipe; the result is 1 to MaxPrepared
// bytes. The error is [ErrUnusable].
func Prepare(typed []byte) (*Password, error) {
	switch {
	case len(typed) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrUnusable)
	case len(typed) > MaxTyped:
		return nil, fmt.Errorf("%w: it has over %d bytes", ErrUnusable, MaxTyped)
	case !utf8.Valid(typed):
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrUnusable)
	}
	prepared, err := precis.OpaqueString.Bytes(typed)
	if err != nil {
		// Not the library's words: they may quote the character.
		return nil, fmt.Errorf("%w: it has a control character or one that Unicode does not know", ErrUnusable)
	}
	s, p := hidden.New[[]byte, owner]()
	*p = bytes.Clone(prepared)
	clear(prepared)
	if len(*p) == 0 || len(*p) > MaxPrepared {
		wipeBytes(s)
		return nil, fmt.Errorf("%w: it has over %d bytes", ErrUnusable, MaxPrepared)
	}
	return &Password{s}, nil
}

// Use calls f with the prepared bytes. It is the only way at them: f must neither
// change them nor keep the slice.
func (p *Password) Use(f func(prepared []byte)) { f(*hidden.Open(p.secret)) }

// Equal reports in constant time whether both are the same password; their lengths
// are not hidden. A nil, zero or wiped one equals nothing, itself included.
func (p *Password) Equal(o *Password) bool {
	if p == nil || o == nil || !hidden.Holds(p.secret) || !hidden.Holds(o.secret) {
		return false
	}
	return subtle.ConstantTimeCompare(*hidden.Open(p.secret), *hidden.Open(o.secret)) == 1
}

// Wipe overwrites the password with zeros, in every copy of p. It may be called
// twice, and on a nil or zero Password. Using a wiped one panics.
func (p *Password) Wipe() {
	if p != nil {
		wipeBytes(p.secret)
	}
}

func wipeBytes(s secret[[]byte]) {
	if hidden.Holds(s) {
		clear(*hidden.Open(s))
	}
	s.Wipe()
}
