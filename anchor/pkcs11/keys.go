//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

const (
	labelSeal      = "keepsake seal"
	labelEpoch     = "keepsake epoch"
	labelState     = "keepsake state"
	labelMachine   = "keepsake machine"
	labelFleet     = "keepsake fleet"
	labelTransport = "keepsake transport"
)

func mechanism(kind uint, parameter any) []*p11.Mechanism {
	return []*p11.Mechanism{p11.NewMechanism(kind, parameter)}
}

func newID() []byte {
	id := make([]byte, idSize)
	rand.Read(id)
	return id
}

// makeAES makes an AES-256 key that seals and opens and does nothing else, and never leaves.
func (l *lane) makeAES(label string, id []byte, stays bool) (p11.ObjectHandle, error) {
	return ask(&l.caller, "C_GenerateKey", func() (p11.ObjectHandle, error) {
		return l.ctx.GenerateKey(l.session, mechanism(p11.CKM_AES_KEY_GEN, nil), []*p11.Attribute{
			attribute(p11.CKA_TOKEN, stays), attribute(p11.CKA_PRIVATE, true), attribute(p11.CKA_LABEL, label), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_VALUE_LEN, 32), attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, false),
			attribute(p11.CKA_ENCRYPT, true), attribute(p11.CKA_DECRYPT, true), attribute(p11.CKA_SIGN, false), attribute(p11.CKA_VERIFY, false),
			attribute(p11.CKA_WRAP, false), attribute(p11.CKA_UNWRAP, false), attribute(p11.CKA_DERIVE, false),
			attribute(p11.CKA_MODIFIABLE, false),
		})
	})
}

// seal encrypts with a key of the token, which chooses the nonce itself on some: then ours is ignored.
func (l *lane) seal(key p11.ObjectHandle, aad, plain []byte) (nonce [nonceSize]byte, box []byte, err error) {
	rand.Read(nonce[:])
	p := p11.NewGCMParams(nonce[:], aad, tagSize*8)
	defer p.Free()
	if err := l.do("C_EncryptInit", func() error { return l.ctx.EncryptInit(l.session, mechanism(p11.CKM_AES_GCM, p), key) }); err != nil {
		return nonce, nil, err
	}
	box, err = ask(&l.caller, "C_Encrypt", func() ([]byte, error) { return l.ctx.Encrypt(l.session, plain) })
	if err != nil {
		return nonce, nil, err
	}
	used := p.IV()
	if len(used) != nonceSize || len(box) != len(plain)+tagSize {
		return nonce, nil, fmt.Errorf("pkcs11: AES-GCM of %d bytes gives a nonce of %d and a box of %d", len(plain), len(used), len(box))
	}
	return [nonceSize]byte(used), box, nil
}

func (l *lane) unseal(key p11.ObjectHandle, nonce, aad, box []byte) ([]byte, error) {
	p := p11.NewGCMParams(nonce, aad, tagSize*8)
	defer p.Free()
	if err := l.do("C_DecryptInit", func() error { return l.ctx.DecryptInit(l.session, mechanism(p11.CKM_AES_GCM, p), key) }); err != nil {
		return nil, err
	}
	return ask(&l.caller, "C_Decrypt", func() ([]byte, error) { return l.ctx.Decrypt(l.session, box) })
}

const boxVersion = 1

func boxAAD(label string) []byte { return append([]byte("keepsake pkcs11 box\x01"), label...) }

// Seal implements [anchor.Device]: a box is its version, a nonce and AES-256-GCM with the
// token's seal key, bound to the label.
func (d *device) Seal(ctx context.Context, label string, secret []byte) (box []byte, err error) {
	if len(secret) > anchor.MaxSealed {
		return nil, fmt.Errorf("pkcs11: %d bytes to seal, of at most %d", len(secret), anchor.MaxSealed)
	}
	err = d.use(ctx, func(l *lane) error {
		key, err := l.one(p11.CKO_SECRET_KEY, labelSeal)
		if err != nil {
			return err
		}
		nonce, sealed, err := l.seal(key, boxAAD(label), secret)
		box = append(append([]byte{boxVersion}, nonce[:]...), sealed...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sealing with %s: %w", d.opts.name(), err)
	}
	return box, nil
}

// Open implements [anchor.Device].
func (d *device) Open(ctx context.Context, label string, box []byte) (secret []byte, err error) {
	if len(box) < 1+nonceSize+tagSize || len(box) > 1+nonceSize+tagSize+anchor.MaxSealed || box[0] != boxVersion {
		return nil, anchor.ErrBox
	}
	err = d.use(ctx, func(l *lane) error {
		key, err := l.one(p11.CKO_SECRET_KEY, labelSeal)
		if err != nil {
			return err
		}
		secret, err = l.unseal(key, box[1:1+nonceSize], boxAAD(label), box[1+nonceSize:])
		if err == nil || lost(err) {
			return err
		}
		return l.blame(key, err)
	})
	if err != nil {
		return nil, fmt.Errorf("opening a box with %s: %w", d.opts.name(), err)
	}
	return secret, nil
}

// blame says whether the box is to blame for an error, or the token: what a module returns
// for a wrong tag differs (SoftHSM: CKR_GENERAL_ERROR), so the key is tried on a box of its own.
func (l *lane) blame(key p11.ObjectHandle, why error) error {
	test := []byte("test")
	nonce, box, err := l.seal(key, test, test)
	if err != nil {
		return errors.Join(why, err)
	}
	if got, err := l.unseal(key, nonce[:], test, box); err != nil || !bytes.Equal(got, test) {
		return errors.Join(why, err)
	}
	return anchor.ErrBox
}
