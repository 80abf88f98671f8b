//go:build cgo

package pkcs11

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

// A fleetKey is the fleet's key in this token.
type fleetKey struct {
	device *device
	public [anchor.PointSize]byte
}

// FleetKey implements [anchor.Device].
func (d *device) FleetKey(ctx context.Context) (anchor.FleetKey, error) {
	k := &fleetKey{device: d}
	err := d.use(ctx, func(l *lane) (err error) {
		k.public, err = l.fleetPublic()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("taking the fleet key in %s: %w", d.opts.name(), err)
	}
	return k, nil
}

// fleetPublic returns h·G, or ErrNoFleetKey.
func (l *lane) fleetPublic() (p [anchor.PointSize]byte, err error) {
	h, err := l.both(labelFleet)
	if errors.Is(err, ErrNoKey) {
		return p, anchor.ErrNoFleetKey
	}
	if err != nil {
		return p, err
	}
	return l.publicPoint(h)
}

// Public implements [anchor.FleetKey].
func (k *fleetKey) Public() [anchor.PointSize]byte { return k.public }

// Evaluate implements [anchor.FleetKey].
func (k *fleetKey) Evaluate(ctx context.Context, blinded [anchor.PointSize]byte) (e [anchor.PointSize]byte, err error) {
	if p256.Check(blinded) != nil {
		return e, anchor.ErrPoint
	}
	err = k.device.use(ctx, func(l *lane) error {
		private, err := l.one(p11.CKO_PRIVATE_KEY, labelFleet)
		if err != nil {
			return err
		}
		e, err = l.evaluate(private, k.public, blinded)
		return err
	})
	if err != nil {
		return e, fmt.Errorf("evaluating with the fleet key in %s: %w", k.device.opts.name(), err)
	}
	return e, nil
}

// guarded are the attributes of a fleet key that decide over copies of it: only a key that the SO
// has marked as trusted wraps it, and nobody changes that afterwards. The last one closes
// the list, so it is the last one.
func guarded() []*p11.Attribute {
	return []*p11.Attribute{
		attribute(p11.CKA_EXTRACTABLE, true), attribute(p11.CKA_WRAP_WITH_TRUSTED, true),
		attribute(p11.CKA_COPYABLE, false), attribute(p11.CKA_MODIFIABLE, false),
	}
}

// MakeFleetKey implements [anchor.Custody].
func (d *device) MakeFleetKey(ctx context.Context, custodian *anchor.Secret) (public [anchor.PointSize]byte, err error) {
	err = d.alone(ctx, func(l *lane) error {
		if err := l.lacksFleetKey(); err != nil {
			return err
		}
		if err := l.asSO(custodian, func() error { return nil }); err != nil {
			return err
		}
		if err := l.destroyAll(labelFleet); err != nil { // half a pair
			return err
		}
		if _, _, err := l.pair(labelFleet, true, guarded()...); err != nil {
			return err
		}
		public, err = l.checkFleetKey()
		return err
	})
	if err != nil {
		return public, fmt.Errorf("making a fleet key in %s: %w", d.opts.name(), err)
	}
	return public, nil
}

func (l *lane) lacksFleetKey() error {
	_, err := l.fleetPublic()
	if err == nil {
		return anchor.ErrHasFleetKey
	}
	if errors.Is(err, anchor.ErrNoFleetKey) {
		return nil
	}
	return err
}

// checkFleetKey checks a new fleet key, and destroys it if it is not what it should be.
func (l *lane) checkFleetKey() (public [anchor.PointSize]byte, err error) {
	public, err = l.fleetPublic()
	if err == nil {
		err = l.checkGuarded(public)
	}
	if err != nil {
		return public, errors.Join(err, l.destroyAll(labelFleet))
	}
	return public, nil
}

// checkGuarded asks the token whether it took the attributes, and whether the key is the one with that
// public half, and gives nothing away to points that are none: a token that computed with those would
// give the key away (Biehl, Meyer, Müller: CRYPTO 2000).
func (l *lane) checkGuarded(public [anchor.PointSize]byte) error {
	private, err := l.one(p11.CKO_PRIVATE_KEY, labelFleet)
	if err != nil {
		return err
	}
	for _, want := range []struct {
		kind uint
		name string
		is   byte
	}{{p11.CKA_SENSITIVE, "CKA_SENSITIVE", 1}, {p11.CKA_WRAP_WITH_TRUSTED, "CKA_WRAP_WITH_TRUSTED", 1}, {p11.CKA_MODIFIABLE, "CKA_MODIFIABLE", 0}} {
		if got, err := l.read(private, want.kind); err != nil || len(got) != 1 || got[0] != want.is {
			return errors.Join(fmt.Errorf("pkcs11: the token did not take %s=%d for the fleet key: it would not keep it", want.name, want.is), err)
		}
	}
	blinding, err := p256.Blind(rand.Reader, []byte("test"))
	if err != nil {
		return err
	}
	defer blinding.Wipe()
	if _, err := l.evaluate(private, public, blinding.Blinded()); err != nil {
		return err
	}
	return l.refusesNoPoint(private)
}

func (l *lane) refusesNoPoint(private p11.ObjectHandle) error {
	point, err := uncompressed([anchor.PointSize]byte(elliptic.MarshalCompressed(elliptic.P256(), elliptic.P256().Params().Gx, elliptic.P256().Params().Gy)))
	if err != nil {
		return err
	}
	point[64] ^= 1
	if _, err := l.derive(private, point); err == nil {
		return errors.New("pkcs11: the token computes with points that are not on the curve, which gives its keys away: it is of no use for a fleet key")
	}
	return nil
}

// signsFor checks that a private key is the one of public, and not its negative, which
// x coordinates do not tell apart.
func (l *lane) signsFor(private p11.ObjectHandle, public [anchor.PointSize]byte) error {
	digest := make([]byte, 32)
	rand.Read(digest)
	if err := l.do("C_SignInit", func() error { return l.ctx.SignInit(l.session, mechanism(p11.CKM_ECDSA, nil), private) }); err != nil {
		return err
	}
	sig, err := ask(&l.caller, "C_Sign", func() ([]byte, error) { return l.ctx.Sign(l.session, digest) })
	if err != nil {
		return err
	}
	point, err := uncompressed(public)
	if err != nil {
		return err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	if len(sig) != 64 || !ecdsa.Verify(key, digest, new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return errWrapped
	}
	return nil
}
