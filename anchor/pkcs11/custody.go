//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

// How a fleet key travels. The receiving token has an RSA pair; a request is a magic and its modulus. On
// the giving token the SO makes two keys for one session and marks them as trusted: that
// public key, and an AES key, which wraps the fleet key (AES key wrap with padding, RFC 5649) and is wrapped
// itself (RSA-OAEP with SHA-1, which is all that SoftHSM has; OAEP does not need SHA-1 to
// be free of collisions).
const (
	requestMagic = "ksp-fkr\x01"
	wrappedMagic = "ksp-fkw\x01"
	modulusSize  = 384
	requestSize  = len(requestMagic) + modulusSize
	wrappedHead  = len(wrappedMagic) + anchor.PointSize + modulusSize
	maxWrapped   = wrappedHead + 512
)

var (
	errRequest = errors.New("pkcs11: not a request for a fleet key, of a PKCS#11 token")
	errWrapped = errors.New("pkcs11: not a fleet key that was wrapped to this token")
	exponent   = []byte{1, 0, 1}
)

// alone does f while no other session of this process uses the token, and then ends them all: f may
// change who is logged in.
func (d *device) alone(ctx context.Context, f func(*lane) error) error {
	d.gate.Lock()
	defer d.gate.Unlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	l := &lane{token: d.token}
	defer func() {
		for _, other := range d.all {
			other.drop()
		}
		l.drop()
	}()
	return l.run(func() error { return f(l) })
}

// asSO does f as the token's SO, who is the custodian, and logs in as the user again. Private
// objects have new handles then. A wrong PIN is tried once.
func (l *lane) asSO(custodian *anchor.Secret, f func() error) error {
	if err := l.mayTry(p11.CKF_SO_PIN_LOCKED, p11.CKF_SO_PIN_FINAL_TRY, "SO PIN"); err != nil {
		return err
	}
	if err := l.do("C_Logout", func() error { return l.ctx.Logout(l.session) }); err != nil {
		return err
	}
	clear(l.found)
	var so string
	custodian.Use(func(b []byte) { so = string(b) })
	err := l.do("C_Login", func() error { return l.ctx.Login(l.session, p11.CKU_SO, so) })
	if errors.Is(err, p11.Error(p11.CKR_PIN_INCORRECT)) || errors.Is(err, p11.Error(p11.CKR_PIN_LEN_RANGE)) || errors.Is(err, p11.Error(p11.CKR_PIN_INVALID)) {
		err = anchor.ErrCustodian
	}
	if err == nil {
		err = errors.Join(f(), l.do("C_Logout", func() error { return l.ctx.Logout(l.session) }))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.login())
}

// FleetKeyRequest implements [anchor.Custody]: the same until a key was installed.
func (d *device) FleetKeyRequest(ctx context.Context) (request []byte, err error) {
	err = d.use(ctx, func(l *lane) error {
		d.making.Lock()
		defer d.making.Unlock()
		public, err := l.both(labelTransport)
		if errors.Is(err, ErrNoKey) {
			public, err = l.makeTransport()
		}
		if err != nil {
			return err
		}
		modulus, err := l.read(public, p11.CKA_MODULUS)
		if err == nil && !isModulus(modulus) {
			err = fmt.Errorf("%w: the transport key has a modulus of %d bytes", anchor.ErrForeign, len(modulus))
		}
		request = append([]byte(requestMagic), modulus...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("requesting a fleet key for %s: %w", d.opts.name(), err)
	}
	return request, nil
}

func isModulus(b []byte) bool {
	return len(b) == modulusSize && b[0]&0x80 != 0 && b[modulusSize-1]&1 != 0
}

func (l *lane) makeTransport() (public p11.ObjectHandle, err error) {
	if err := l.destroyAll(labelTransport); err != nil { // half a pair
		return 0, err
	}
	id := newID()
	err = l.do("C_GenerateKeyPair", func() (err error) {
		public, _, err = l.ctx.GenerateKeyPair(l.session, mechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil), []*p11.Attribute{
			attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, false), attribute(p11.CKA_LABEL, labelTransport), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_MODULUS_BITS, modulusSize*8), attribute(p11.CKA_PUBLIC_EXPONENT, exponent),
			attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_VERIFY, false), attribute(p11.CKA_WRAP, true),
		}, []*p11.Attribute{
			attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, true), attribute(p11.CKA_LABEL, labelTransport), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, false), attribute(p11.CKA_UNWRAP, true),
			attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_SIGN, false), attribute(p11.CKA_DERIVE, false),
			attribute(p11.CKA_COPYABLE, false), attribute(p11.CKA_MODIFIABLE, false),
		})
		return err
	})
	return public, err
}

// WrapFleetKey implements [anchor.Custody].
func (d *device) WrapFleetKey(ctx context.Context, custodian *anchor.Secret, request []byte) (wrapped []byte, err error) {
	if len(request) != requestSize || string(request[:len(requestMagic)]) != requestMagic || !isModulus(request[len(requestMagic):]) {
		return nil, errRequest
	}
	err = d.alone(ctx, func(l *lane) error {
		public, err := l.fleetPublic()
		if err != nil {
			return err
		}
		var aes, rsa p11.ObjectHandle
		err = l.asSO(custodian, func() (err error) {
			aes, rsa, err = l.trusted(request[len(requestMagic):])
			return err
		})
		if err != nil {
			return err
		}
		boxes, err := l.wrap(aes, rsa)
		wrapped = append(append([]byte(wrappedMagic), public[:]...), boxes...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("wrapping the fleet key in %s: %w", d.opts.name(), err)
	}
	return wrapped, nil
}

// trusted makes the two keys, for this session, as the SO. The AES key too is wrapped by a
// trusted key only. They are not private: the SO sees no private objects, and makes none.
func (l *lane) trusted(modulus []byte) (aes, rsa p11.ObjectHandle, err error) {
	aes, err = ask(&l.caller, "C_GenerateKey", func() (p11.ObjectHandle, error) {
		return l.ctx.GenerateKey(l.session, mechanism(p11.CKM_AES_KEY_GEN, nil), []*p11.Attribute{
			attribute(p11.CKA_TOKEN, false), attribute(p11.CKA_PRIVATE, false), attribute(p11.CKA_VALUE_LEN, 32),
			attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, true), attribute(p11.CKA_WRAP_WITH_TRUSTED, true),
			attribute(p11.CKA_TRUSTED, true), attribute(p11.CKA_WRAP, true), attribute(p11.CKA_UNWRAP, false),
			attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_SIGN, false), attribute(p11.CKA_VERIFY, false),
		})
	})
	if err != nil {
		return 0, 0, err
	}
	rsa, err = ask(&l.caller, "C_CreateObject", func() (p11.ObjectHandle, error) {
		return l.ctx.CreateObject(l.session, []*p11.Attribute{
			attribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_RSA), attribute(p11.CKA_TOKEN, false), attribute(p11.CKA_PRIVATE, false),
			attribute(p11.CKA_MODULUS, modulus), attribute(p11.CKA_PUBLIC_EXPONENT, exponent), attribute(p11.CKA_TRUSTED, true),
			attribute(p11.CKA_WRAP, true), attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_VERIFY, false),
		})
	})
	return aes, rsa, err
}

func oaep() []*p11.Mechanism {
	return mechanism(p11.CKM_RSA_PKCS_OAEP, p11.NewOAEPParams(p11.CKM_SHA_1, p11.CKG_MGF1_SHA1, p11.CKZ_DATA_SPECIFIED, nil))
}

func (l *lane) wrap(aes, rsa p11.ObjectHandle) ([]byte, error) {
	private, err := l.one(p11.CKO_PRIVATE_KEY, labelFleet)
	if err != nil {
		return nil, err
	}
	outer, err := ask(&l.caller, "C_WrapKey", func() ([]byte, error) { return l.ctx.WrapKey(l.session, oaep(), rsa, aes) })
	if err != nil {
		return nil, err
	}
	inner, err := ask(&l.caller, "C_WrapKey", func() ([]byte, error) {
		return l.ctx.WrapKey(l.session, mechanism(p11.CKM_AES_KEY_WRAP_PAD, nil), aes, private)
	})
	if err == nil && (len(outer) != modulusSize || wrappedHead+len(inner) > maxWrapped) {
		err = fmt.Errorf("pkcs11: the token wraps to %d and %d bytes", len(outer), len(inner))
	}
	return append(outer, inner...), err
}

// InstallFleetKey implements [anchor.Custody]. The pair to which the key was wrapped is destroyed: what was sent
// is of no use to anybody from then on.
func (d *device) InstallFleetKey(ctx context.Context, wrapped []byte) (public [anchor.PointSize]byte, err error) {
	if len(wrapped) <= wrappedHead || len(wrapped) > maxWrapped || !bytes.HasPrefix(wrapped, []byte(wrappedMagic)) {
		return public, errWrapped
	}
	copy(public[:], wrapped[len(wrappedMagic):])
	if p256.Check(public) != nil {
		return public, errWrapped
	}
	err = d.alone(ctx, func(l *lane) error {
		if err := l.lacksFleetKey(); err != nil {
			return err
		}
		if err := l.install(public, wrapped[wrappedHead-modulusSize:wrappedHead], wrapped[wrappedHead:]); err != nil {
			return errors.Join(err, l.destroyAll(labelFleet))
		}
		return l.destroyAll(labelTransport)
	})
	if err != nil {
		return public, fmt.Errorf("installing a fleet key in %s: %w", d.opts.name(), err)
	}
	return public, nil
}

func (l *lane) install(public [anchor.PointSize]byte, outer, inner []byte) error {
	transport, err := l.one(p11.CKO_PRIVATE_KEY, labelTransport)
	if errors.Is(err, ErrNoKey) {
		return fmt.Errorf("%w: it has made no request", errWrapped)
	}
	if err != nil {
		return err
	}
	aes, err := l.unwrap(oaep(), transport, outer, []*p11.Attribute{
		attribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_AES), attribute(p11.CKA_TOKEN, false), attribute(p11.CKA_PRIVATE, true),
		attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, false), attribute(p11.CKA_UNWRAP, true),
		attribute(p11.CKA_WRAP, false), attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_SIGN, false), attribute(p11.CKA_VERIFY, false),
	})
	if err != nil {
		return err
	}
	defer l.destroy(aes) // of this session; it ends with it in any case
	if err := l.tryKey(aes, inner, public); err != nil {
		return err
	}
	if err := l.destroyAll(labelFleet); err != nil { // half a pair
		return err
	}
	return l.keep(aes, inner, public)
}

// tryKey unwraps the key for this session, as one that signs, to see whose it is.
func (l *lane) tryKey(aes p11.ObjectHandle, inner []byte, public [anchor.PointSize]byte) error {
	test, err := l.unwrap(mechanism(p11.CKM_AES_KEY_WRAP_PAD, nil), aes, inner, []*p11.Attribute{
		attribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_EC), attribute(p11.CKA_TOKEN, false), attribute(p11.CKA_PRIVATE, true),
		attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, false), attribute(p11.CKA_SIGN, true), attribute(p11.CKA_DERIVE, false),
		attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_UNWRAP, false),
	})
	if err != nil {
		return err
	}
	return errors.Join(l.signsFor(test, public), l.destroy(test))
}

// keep unwraps the key for good, with its public half, which no token computes from the other.
func (l *lane) keep(aes p11.ObjectHandle, inner []byte, public [anchor.PointSize]byte) error {
	id := newID()
	template := append([]*p11.Attribute{attribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_EC)}, private256(labelFleet, id, true)...)
	if _, err := l.unwrap(mechanism(p11.CKM_AES_KEY_WRAP_PAD, nil), aes, inner, append(template, guarded()...)); err != nil {
		return err
	}
	point, err := uncompressed(public)
	if err != nil {
		return err
	}
	_, err = ask(&l.caller, "C_CreateObject", func() (p11.ObjectHandle, error) {
		return l.ctx.CreateObject(l.session, []*p11.Attribute{
			attribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY), attribute(p11.CKA_KEY_TYPE, p11.CKK_EC), attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, false),
			attribute(p11.CKA_LABEL, labelFleet), attribute(p11.CKA_ID, id), attribute(p11.CKA_EC_PARAMS, p256Params),
			attribute(p11.CKA_EC_POINT, append([]byte{4, 65}, point...)),
			attribute(p11.CKA_VERIFY, false), attribute(p11.CKA_ENCRYPT, false), attribute(p11.CKA_WRAP, false),
		})
	})
	if err != nil {
		return err
	}
	_, err = l.checkFleetKey()
	return err
}

func (l *lane) unwrap(m []*p11.Mechanism, key p11.ObjectHandle, box []byte, template []*p11.Attribute) (p11.ObjectHandle, error) {
	h, err := ask(&l.caller, "C_UnwrapKey", func() (p11.ObjectHandle, error) { return l.ctx.UnwrapKey(l.session, m, key, box, template) })
	if err != nil && !lost(err) {
		err = fmt.Errorf("%w: %w", errWrapped, err)
	}
	return h, err
}
