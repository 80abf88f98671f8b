//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/elliptic"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

// p256Params is the object identifier of P-256, prime256v1 (RFC 5480 §2.1.1.1), in DER.
var p256Params = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

var errPoint = errors.New("pkcs11: the token gives a public key that is no point of P-256")

// pair makes a P-256 pair that does nothing but ECDH. more are attributes of the private half.
func (l *lane) pair(label string, stays bool, more ...*p11.Attribute) (public, private p11.ObjectHandle, err error) {
	id := newID()
	err = l.do("C_GenerateKeyPair", func() (err error) {
		public, private, err = l.ctx.GenerateKeyPair(l.session, mechanism(p11.CKM_EC_KEY_PAIR_GEN, nil), []*p11.Attribute{
			attribute(p11.CKA_TOKEN, stays), attribute(p11.CKA_PRIVATE, false), attribute(p11.CKA_LABEL, label), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_EC_PARAMS, p256Params), attribute(p11.CKA_VERIFY, false), attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_WRAP, false),
		}, append(private256(label, id, stays), more...))
		return err
	})
	return public, private, err
}

// private256 is a private P-256 key that does nothing but ECDH. What decides over copies of it comes after.
func private256(label string, id []byte, stays bool) []*p11.Attribute {
	return []*p11.Attribute{
		attribute(p11.CKA_TOKEN, stays), attribute(p11.CKA_PRIVATE, true), attribute(p11.CKA_LABEL, label), attribute(p11.CKA_ID, id),
		attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_DERIVE, true), attribute(p11.CKA_SIGN, false),
		attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_UNWRAP, false),
	}
}

// publicPoint reads the public half of a P-256 pair, compressed.
func (l *lane) publicPoint(h p11.ObjectHandle) (p [anchor.PointSize]byte, err error) {
	b, err := l.read(h, p11.CKA_EC_POINT)
	if err != nil {
		return p, err
	}
	b = unwrapOctets(b, 65)
	if len(b) != 65 || b[0] != 4 {
		return p, errPoint
	}
	p[0] = 2 | b[64]&1
	copy(p[1:], b[1:33])
	if again, err := uncompressed(p); err != nil || !bytes.Equal(again, b) {
		return p, errPoint
	}
	return p, nil
}

// unwrapOctets takes the DER OCTET STRING off that CKA_EC_POINT is in (PKCS#11 v2.40 §2.3.3);
// some tokens leave it away.
func unwrapOctets(b []byte, size int) []byte {
	if len(b) == 2+size && b[0] == 4 && int(b[1]) == size {
		return b[2:]
	}
	return b
}

// uncompressed is the form that every token takes.
func uncompressed(p [anchor.PointSize]byte) ([]byte, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), p[:])
	if x == nil {
		return nil, anchor.ErrPoint
	}
	b := make([]byte, 65)
	b[0] = 4
	x.FillBytes(b[1:33])
	y.FillBytes(b[33:])
	return b, nil
}

// derive returns x(k·P), which the caller wipes: CKM_ECDH1_DERIVE without a key derivation function.
func (l *lane) derive(private p11.ObjectHandle, point []byte) (x [32]byte, err error) {
	p := p11.NewECDH1DeriveParams(p11.CKD_NULL, nil, point)
	secret, err := ask(&l.caller, "C_DeriveKey", func() (p11.ObjectHandle, error) {
		return l.ctx.DeriveKey(l.session, mechanism(p11.CKM_ECDH1_DERIVE, p), private, []*p11.Attribute{
			attribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_GENERIC_SECRET), attribute(p11.CKA_TOKEN, false),
			attribute(p11.CKA_VALUE_LEN, 32), attribute(p11.CKA_SENSITIVE, false), attribute(p11.CKA_EXTRACTABLE, true),
		})
	})
	if err != nil {
		return x, err
	}
	value, err := l.read(secret, p11.CKA_VALUE)
	defer clear(value)
	err = errors.Join(err, l.do("C_DestroyObject", func() error { return l.ctx.DestroyObject(l.session, secret) }))
	if err == nil && (len(value) == 0 || len(value) > 32) {
		err = fmt.Errorf("pkcs11: ECDH gives %d bytes", len(value))
	}
	if err == nil {
		copy(x[32-len(value):], value) // a module may leave zeros away
	}
	return x, err
}

// evaluate returns h·B, from x(h·B) and x(h·(B+G)).
func (l *lane) evaluate(private p11.ObjectHandle, public, blinded [anchor.PointSize]byte) (e [anchor.PointSize]byte, err error) {
	sum, err := p256.AddBase(blinded)
	if err != nil {
		return e, anchor.ErrPoint
	}
	var x [2][32]byte
	defer clear(x[:])
	for i, p := range [2][anchor.PointSize]byte{blinded, sum} {
		point, err := uncompressed(p)
		if err != nil {
			return e, err
		}
		if x[i], err = l.derive(private, point); err != nil {
			return e, err
		}
	}
	return p256.Recover(blinded, &x[0], &x[1], public)
}

// Exchanger implements [anchor.Device].
func (d *device) Exchanger(ctx context.Context) (ecdh.KeyExchanger, error) {
	var public [anchor.PointSize]byte
	err := d.use(ctx, func(l *lane) error {
		d.making.Lock() // one pair, whoever asks first
		defer d.making.Unlock()
		h, err := l.both(labelMachine)
		if errors.Is(err, ErrNoKey) {
			h, err = l.makeMachineKey()
		}
		if err != nil {
			return err
		}
		public, err = l.publicPoint(h)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("taking the machine's key in %s: %w", d.opts.name(), err)
	}
	b, err := uncompressed(public)
	if err != nil {
		return nil, err
	}
	k, err := ecdh.P256().NewPublicKey(b)
	return &exchanger{d, k}, err
}

func (l *lane) makeMachineKey() (p11.ObjectHandle, error) {
	if err := l.destroyAll(labelMachine); err != nil { // half a pair
		return 0, err
	}
	public, _, err := l.pair(labelMachine, true, attribute(p11.CKA_EXTRACTABLE, false), attribute(p11.CKA_COPYABLE, false), attribute(p11.CKA_MODIFIABLE, false))
	return public, err
}

// both returns the public half of a pair of which both halves are there, else ErrNoKey.
func (l *lane) both(label string) (public p11.ObjectHandle, err error) {
	if _, err := l.one(p11.CKO_PRIVATE_KEY, label); err != nil {
		return 0, err
	}
	return l.one(p11.CKO_PUBLIC_KEY, label)
}

// An exchanger is the machine's own key.
type exchanger struct {
	device *device
	public *ecdh.PublicKey
}

// PublicKey implements [ecdh.KeyExchanger].
func (e *exchanger) PublicKey() *ecdh.PublicKey { return e.public }

// Curve implements [ecdh.KeyExchanger].
func (e *exchanger) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH implements [ecdh.KeyExchanger].
func (e *exchanger) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer.Curve() != ecdh.P256() {
		return nil, anchor.ErrPoint
	}
	var x [32]byte
	err := e.device.use(context.Background(), func(l *lane) error {
		private, err := l.one(p11.CKO_PRIVATE_KEY, labelMachine)
		if err != nil {
			return err
		}
		x, err = l.derive(private, peer.Bytes())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("using the machine's key in %s: %w", e.device.opts.name(), err)
	}
	return x[:], nil
}
