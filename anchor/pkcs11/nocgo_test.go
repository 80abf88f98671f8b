//go:build !cgo

package pkcs11_test

import (
	"errors"
	"testing"

	"keepsake.example/anchor/pkcs11"
)

// Without cgo each way to a module says what is missing.
func TestNoCgo(t *testing.T) {
	_, opening := pkcs11.Open(t.Context(), pkcs11.Options{})
	_, signing := pkcs11.OpenSigner(t.Context(), &pkcs11.URI{}, nil)
	_, making := pkcs11.MakeSigner(t.Context(), &pkcs11.URI{}, nil)
	for _, err := range []error{
		opening, signing, making, pkcs11.Prepare(t.Context(), pkcs11.Options{}, nil), pkcs11.InitToken(t.Context(), "", "", nil, nil),
	} {
		if !errors.Is(err, pkcs11.ErrNoCgo) {
			t.Errorf("got %v", err)
		}
	}
}
