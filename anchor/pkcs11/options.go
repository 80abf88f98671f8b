package pkcs11

import (
	"crypto"
	"errors"
	"fmt"
	"io"
)

// Options says which token it is.
type Options struct {
	Module  string // path of the vendor's shared library
	Token   string // label of the token
	Serial  string // its serial number; may be empty when the label is unique
	PINFile string // file with the user PIN, readable by its owner alone; one per token
	Replace bool   // for Prepare: destroy what an earlier machine left on the token, for good

	tap *tap // for tests; nil else
}

// tap comes between us and the module in tests. Its functions may be nil.
type tap struct {
	call  func(name string, do func() error) error // does or fails one call
	flags func(flags uint) uint                    // changes what C_GetTokenInfo says
}

// What callers branch on, besides the errors of package anchor.
var (
	// ErrPIN: the token refused the user PIN. It is not tried again until it is changed.
	ErrPIN = errors.New("pkcs11: the token refused the user PIN")
	// ErrNoCgo: this program was built without cgo.
	ErrNoCgo = errors.New("pkcs11: this program was built without PKCS#11 (CGO_ENABLED=0); build it with a C compiler")
	// ErrNoKey: there is no such key on the token.
	ErrNoKey = errors.New("pkcs11: no such key on the token")
	// ErrKeyExists: there is a key of that name on the token already.
	ErrKeyExists = errors.New("pkcs11: there is a key of that name on the token already")
)

var errClosed = errors.New("pkcs11: closed")

// Signer is an operator's Ed25519 key on a token. Close logs out. Safe for concurrent use.
type Signer interface {
	crypto.Signer
	io.Closer
}

func (o *Options) check() error {
	if o.Module == "" || o.Token == "" && o.Serial == "" {
		return errors.New("pkcs11: the path of the module and the label of the token are needed")
	}
	return nil
}

// name is how errors call the token.
func (o *Options) name() string {
	if o.Serial == "" {
		return fmt.Sprintf("token %q", o.Token)
	}
	return fmt.Sprintf("token %q (serial %s)", o.Token, o.Serial)
}
