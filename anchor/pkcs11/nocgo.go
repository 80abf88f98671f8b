//go:build !cgo

package pkcs11

import (
	"context"

	"keepsake.example/anchor"
)

// Open fails with [ErrNoCgo].
func Open(context.Context, Options) (anchor.Device, error) { return nil, ErrNoCgo }

// Prepare fails with [ErrNoCgo].
func Prepare(context.Context, Options, *anchor.Secret) error { return ErrNoCgo }

// InitToken fails with [ErrNoCgo].
func InitToken(ctx context.Context, module, label string, custodian, pin *anchor.Secret) error {
	return ErrNoCgo
}

// OpenSigner fails with [ErrNoCgo].
func OpenSigner(context.Context, *URI, *anchor.Secret) (Signer, error) { return nil, ErrNoCgo }

// MakeSigner fails with [ErrNoCgo].
func MakeSigner(context.Context, *URI, *anchor.Secret) (Signer, error) { return nil, ErrNoCgo }
