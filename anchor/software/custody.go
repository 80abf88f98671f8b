package software

import (
	"context"
	"crypto/ecdh"
	"crypto/hpke"
	"errors"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
	"keepsake.example/oprf/p256"
)

// wrapLabel is the info of a wrapped fleet key (HPKE, RFC 9180: DHKEM P-256,
// HKDF-SHA256, AES-256-GCM).
const wrapLabel = "keepsake software fleet key\x01"

var (
	errRequest = errors.New("software device: not a request of a software device")
	errWrapped = errors.New("software device: not a fleet key that was wrapped to this device")
)

// fleetKey is a fleet key that a device holds.
type fleetKey struct {
	secret [32]byte
	public [anchor.PointSize]byte
}

var _ anchor.FleetKey = (*fleetKey)(nil)

func newFleetKey(secret []byte) (*fleetKey, error) {
	if len(secret) != 32 {
		return nil, errDevice
	}
	k := &fleetKey{secret: [32]byte(secret)}
	var err error
	k.public, err = p256.Public(&k.secret)
	return k, err
}

// Public implements [anchor.FleetKey].
func (k *fleetKey) Public() [anchor.PointSize]byte { return k.public }

// Evaluate implements [anchor.FleetKey].
func (k *fleetKey) Evaluate(ctx context.Context, blinded [anchor.PointSize]byte) (z [anchor.PointSize]byte, err error) {
	if err := ctx.Err(); err != nil {
		return z, err
	}
	if p256.Check(blinded) != nil {
		return z, anchor.ErrPoint
	}
	return p256.Evaluate(&k.secret, blinded)
}

// held returns the fleet key of a device that is open.
func (d *Device) held() (*fleetKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.fleet == nil {
		return nil, anchor.ErrNoFleetKey
	}
	return d.fleet, nil
}

// FleetKey implements [anchor.Device].
func (d *Device) FleetKey(ctx context.Context) (anchor.FleetKey, error) {
	k, err := d.held()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	return k, nil
}

// custody refuses who is not the custodian.
func (d *Device) custody(ctx context.Context, custodian *anchor.Secret) error {
	keys, err := d.using(ctx)
	if err != nil {
		return err
	}
	defer keys.wipe()
	if !keys.admits(custodian) {
		return anchor.ErrCustodian
	}
	return nil
}

// MakeFleetKey implements [anchor.Custody].
func (d *Device) MakeFleetKey(ctx context.Context, custodian *anchor.Secret) ([anchor.PointSize]byte, error) {
	if err := d.custody(ctx, custodian); err != nil {
		return [anchor.PointSize]byte{}, err
	}
	secret := newScalar()
	defer clear(secret[:])
	return d.take(secret[:])
}

// take makes secret the fleet key, if there is none.
func (d *Device) take(secret []byte) (none [anchor.PointSize]byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return none, errClosed
	}
	if d.fleet != nil {
		return none, anchor.ErrHasFleetKey
	}
	k, err := newFleetKey(secret)
	if err != nil {
		return none, errWrapped
	}
	if err := durable.CreateExclusive(d.path(fleetName), k.secret[:], 0o600); err != nil {
		return none, err
	}
	d.fleet = k
	return k.public, nil
}

// requestKey is what fleet keys are wrapped to.
func (d *Device) requestKey(ctx context.Context) (*ecdh.PrivateKey, error) {
	keys, err := d.using(ctx)
	if err != nil {
		return nil, err
	}
	defer keys.wipe()
	return ecdh.P256().NewPrivateKey(keys.request[:])
}

// FleetKeyRequest implements [anchor.Custody].
func (d *Device) FleetKeyRequest(ctx context.Context) ([]byte, error) {
	key, err := d.requestKey(ctx)
	if err != nil {
		return nil, err
	}
	return key.PublicKey().Bytes(), nil
}

// WrapFleetKey implements [anchor.Custody].
func (d *Device) WrapFleetKey(ctx context.Context, custodian *anchor.Secret, request []byte) ([]byte, error) {
	if err := d.custody(ctx, custodian); err != nil {
		return nil, err
	}
	k, err := d.held()
	if err != nil {
		return nil, err
	}
	to, err := hpke.DHKEM(ecdh.P256()).NewPublicKey(request)
	if err != nil {
		return nil, errRequest
	}
	return hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapLabel), k.secret[:])
}

// InstallFleetKey implements [anchor.Custody].
func (d *Device) InstallFleetKey(ctx context.Context, wrapped []byte) (none [anchor.PointSize]byte, err error) {
	key, err := d.requestKey(ctx)
	if err != nil {
		return none, err
	}
	own, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return none, err
	}
	secret, err := hpke.Open(own, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(wrapLabel), wrapped)
	if err != nil {
		return none, errWrapped
	}
	defer clear(secret)
	return d.take(secret)
}
