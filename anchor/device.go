package anchor

import (
	"context"
	"crypto/ecdh"
	"errors"
)

// Sizes of a [Device]'s keys and boxes, in bytes.
const (
	PointSize = 33  // of a P-256 point, SEC 1 compressed
	MaxSealed = 256 // of what Seal takes
)

// What callers of a Device branch on.
var (
	// ErrNoFleetKey: the device holds no fleet key.
	ErrNoFleetKey = errors.New("anchor: the device holds no fleet key")
	// ErrHasFleetKey: the device holds a fleet key already. Nothing changed.
	ErrHasFleetKey = errors.New("anchor: the device holds a fleet key already")
	// ErrBox is what this device did not seal under that label.
	ErrBox = errors.New("anchor: not sealed by this device under this label")
	// ErrPoint is no point of P-256, or its neutral element.
	ErrPoint = errors.New("anchor: not a point of P-256")
	// ErrCustodian: the custodian's secret is wrong. It was tried once; devices lock after a few.
	ErrCustodian = errors.New("anchor: wrong custodian's secret")
	// ErrLocked: the device refuses every secret now, also the right one, after wrong ones.
	ErrLocked = errors.New("anchor: the device is locked after wrong secrets")
	// ErrAbsent: the device, its token or its driver is not there.
	ErrAbsent = errors.New("anchor: the device is not there")
	// ErrForeign: the device is there, and what was made in it is not: cleared, another
	// one, or put back to a time before.
	ErrForeign = errors.New("anchor: the device does not hold what was made in it")
)

// Device is the hardware of one machine: a TPM, a PKCS#11 token, or the stand-in
// in software. Its Anchor counts for the machine as a whole; package ledger spreads
// it over the machine's groups. The methods may be called concurrently.
//
// None of these devices runs our code. They keep keys that cannot be read out of
// them, and a count that cannot be put back, each as far as doc/hsm-tpm.md and
// doc/hsm-pkcs11.md say.
type Device interface {
	Anchor

	// Seal encrypts a secret of at most MaxSealed bytes, bound to a label, so that
	// only this device opens it. It needs no Found.
	Seal(ctx context.Context, label string, secret []byte) (box []byte, err error)
	// Open returns what Seal was given, for the caller to wipe; or ErrBox.
	Open(ctx context.Context, label string, box []byte) (secret []byte, err error)

	// Exchanger is the machine's own P-256 key, whose private half was made in the
	// device and never leaves it, nor can be copied to another one. It is made at the
	// first call. What others seal to it (HPKE) only this machine opens.
	Exchanger(ctx context.Context) (ecdh.KeyExchanger, error)

	// FleetKey is the key of the fleet's second oblivious function
	// (spec/vault-protocol.md, suite P256-SHA256); ErrNoFleetKey if there is none.
	FleetKey(ctx context.Context) (FleetKey, error)

	Custody
}

// FleetKey is a P-256 key that all machines of a fleet hold in their devices.
// Safe for concurrent use, as fast as the device is.
type FleetKey interface {
	// Public is h·G.
	Public() [PointSize]byte
	// Evaluate returns h·B, computed in the device. It refuses what is no point,
	// with ErrPoint, before the device sees it.
	Evaluate(ctx context.Context, blinded [PointSize]byte) ([PointSize]byte, error)
}

// Custody is how the machines of a fleet come to hold the same fleet key: it is
// made in one device, wrapped there to the next one's key, and unwrapped in that.
// Both steps on the giving device need the custodian's secret, which is never kept
// on a machine of the fleet: whoever has root there, but not the secret, has no
// copy. The custodian's secret is the owner password of a TPM and the SO PIN of a token.
type Custody interface {
	// MakeFleetKey makes a fleet key in this device, and returns h·G.
	MakeFleetKey(ctx context.Context, custodian *Secret) ([PointSize]byte, error)
	// FleetKeyRequest is a public key of this device, for WrapFleetKey on another one.
	// People compare its digest: who swaps it gets the key.
	FleetKeyRequest(ctx context.Context) ([]byte, error)
	// WrapFleetKey wraps the fleet key to the device that made the request.
	WrapFleetKey(ctx context.Context, custodian *Secret, request []byte) ([]byte, error)
	// InstallFleetKey takes the key that was wrapped to this device, and returns h·G.
	// What is not what it should be is refused, and nothing changed.
	InstallFleetKey(ctx context.Context, wrapped []byte) ([PointSize]byte, error)
}
