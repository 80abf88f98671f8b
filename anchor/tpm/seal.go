package tpm

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
	"keepsake.example/internal/wire"
)

// A box is the magic, an object that holds an AES-256 key of this box alone (a chip
// seals 128 bytes at most), and the secret under it, with the label as associated data.
const (
	boxMagic = "ksp-tpms\x01"
	keySize  = 32
	tagSize  = 16
)

// Seal implements [anchor.Device].
func (d *Device) Seal(ctx context.Context, label string, secret []byte) (box []byte, err error) {
	if len(secret) > anchor.MaxSealed {
		return nil, fmt.Errorf("tpm: %d bytes to seal, and %d are the limit", len(secret), anchor.MaxSealed)
	}
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	key := make([]byte, keySize)
	defer clear(key)
	rand.Read(key)
	var o object
	err = d.chip.again(func() (err error) {
		o, err = d.seal(key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tpm: sealing: %w", err)
	}
	w := wire.Append(nil)
	w.Constant(boxMagic)
	o.layout(w)
	return boxCipher(key).Seal(w.Written(), make([]byte, 12), secret, []byte(label)), nil
}

// boxCipher is for one message: the nonce is zero.
func boxCipher(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var sealing cipher.AEAD
		if sealing, err = cipher.NewGCM(block); err == nil {
			return sealing
		}
	}
	panic(fmt.Sprintf("tpm: internal error: making a cipher: %v", err))
}

// Open implements [anchor.Device].
func (d *Device) Open(ctx context.Context, label string, box []byte) (secret []byte, err error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	o, sealed, err := decodeBox(box)
	if err != nil {
		return nil, err
	}
	var key []byte
	err = d.chip.again(func() (err error) {
		key, err = d.unseal(o)
		return err
	})
	defer clear(key)
	if err != nil {
		return nil, fmt.Errorf("tpm: opening: %w", notOurs(err, anchor.ErrBox))
	}
	if len(key) != keySize {
		return nil, anchor.ErrBox
	}
	secret, err = boxCipher(key).Open(nil, make([]byte, 12), sealed, []byte(label))
	if err != nil {
		return nil, anchor.ErrBox
	}
	return secret, nil
}

func decodeBox(box []byte) (o object, sealed []byte, err error) {
	w := wire.Read(box)
	w.Constant(boxMagic)
	o.layout(w)
	sealed = w.Rest()
	if !w.Done() || len(sealed) < tagSize || len(sealed) > tagSize+anchor.MaxSealed {
		return object{}, nil, anchor.ErrBox
	}
	return o, sealed, nil
}

// notOurs takes what a chip says of an object that it did not make for that.
func notOurs(err, ours error) error {
	var code tpm2.TPMRC
	var detail tpm2.TPMFmt1Error
	if errors.As(err, &code) && errors.As(err, &detail) && !errors.Is(code, tpm2.TPMRCPolicyFail) {
		return fmt.Errorf("%w: %w", ours, err)
	}
	if errors.Is(err, errForm) {
		return fmt.Errorf("%w: %w", ours, err)
	}
	return err
}

// Exchanger implements [anchor.Device]. The key was made by Prepare. Its ECDH waits for
// the chip as long as that takes.
func (d *Device) Exchanger(ctx context.Context) (ecdh.KeyExchanger, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	at, err := publicPoint(d.machine.exchange.public, exchangeTemplate())
	if err != nil {
		return nil, fmt.Errorf("tpm: reading the machine's key: %w", err)
	}
	public, err := at.public()
	if err != nil {
		return nil, fmt.Errorf("tpm: reading the machine's key: %w", err)
	}
	return &exchanger{d, public}, nil
}

type exchanger struct {
	device *Device
	public *ecdh.PublicKey
}

// PublicKey implements [ecdh.KeyExchanger].
func (e *exchanger) PublicKey() *ecdh.PublicKey { return e.public }

// Curve implements [ecdh.KeyExchanger].
func (e *exchanger) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH implements [ecdh.KeyExchanger].
func (e *exchanger) ECDH(remote *ecdh.PublicKey) (shared []byte, err error) {
	at, err := exchangePoint(remote)
	if err != nil {
		return nil, err
	}
	d := e.device
	if err := d.begin(context.Background()); err != nil {
		return nil, err
	}
	defer d.end()
	err = d.chip.again(func() error {
		return d.chip.loaded(d.machine.exchange, func(key tpm2.NamedHandle) error {
			product, err := d.chip.multiply(key, at)
			shared = product.x[:]
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("tpm: agreeing on a secret: %w", err)
	}
	return shared, nil
}
