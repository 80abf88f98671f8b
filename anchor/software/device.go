package software

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

// Device is a stand-in for hardware in a folder: an [Anchor], and files with the keys
// that a TPM or a token would keep. It protects nothing at all; it is for development
// of what needs a device, and for tests.
type Device struct {
	*Anchor

	mu     sync.Mutex // of what follows
	keys   deviceKeys
	fleet  *fleetKey // nil: none
	closed bool
}

var _ anchor.Device = (*Device)(nil)

// Prepare makes a device in the folder dir, whose custodian has the secret: who does not
// know it makes no fleet key and copies none. A device that is there stays as it is:
// [anchor.ErrFounded].
func Prepare(dir string, custodian *anchor.Secret) error {
	a, err := Open(dir)
	if err != nil {
		return err
	}
	keys := newDeviceKeys(custodian)
	defer keys.wipe()
	b := keys.encode()
	defer clear(b)
	err = durable.CreateExclusive(filepath.Join(dir, deviceName), b, 0o600)
	if errors.Is(err, fs.ErrExist) {
		err = anchor.ErrFounded
	}
	return errors.Join(err, a.Close())
}

// OpenDevice opens the device that Prepare made in the folder dir; [anchor.ErrAbsent] if
// there is none. One process can have it open at a time.
func OpenDevice(dir string) (*Device, error) {
	if _, err := os.Stat(filepath.Join(dir, deviceName)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the software device in %s: %w", dir, anchor.ErrAbsent)
	}
	a, err := Open(dir)
	if err != nil {
		return nil, err
	}
	d := &Device{Anchor: a}
	if err := d.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the software device in %s: %w", dir, err), d.Close())
	}
	return d, nil
}

// Describe implements [anchor.Anchor].
func (d *Device) Describe() anchor.Description {
	return anchor.Description{
		Name: "software-device", Insecure: true,
		Protects: "nothing: it is files that play a device, of which whoever reads its folder has every key; for development only",
	}
}

// Seal implements [anchor.Device].
func (d *Device) Seal(ctx context.Context, label string, secret []byte) ([]byte, error) {
	if len(secret) > anchor.MaxSealed {
		return nil, fmt.Errorf("software device: %d bytes to seal, of at most %d", len(secret), anchor.MaxSealed)
	}
	salt := make([]byte, saltSize, saltSize+len(secret)+tagSize)
	rand.Read(salt)
	aead, err := d.boxes(ctx, salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(salt, make([]byte, aead.NonceSize()), secret, []byte(label)), nil
}

// Open implements [anchor.Device].
func (d *Device) Open(ctx context.Context, label string, box []byte) ([]byte, error) {
	if len(box) < saltSize+tagSize || len(box) > saltSize+tagSize+anchor.MaxSealed {
		return nil, anchor.ErrBox
	}
	aead, err := d.boxes(ctx, box[:saltSize])
	if err != nil {
		return nil, err
	}
	secret, err := aead.Open(nil, make([]byte, aead.NonceSize()), box[saltSize:], []byte(label))
	if err != nil {
		return nil, anchor.ErrBox
	}
	return secret, nil
}

const saltSize, tagSize = 32, 16

// boxes is what seals one box: its key is its own, so the nonce is zeros.
func (d *Device) boxes(ctx context.Context, salt []byte) (cipher.AEAD, error) {
	keys, err := d.using(ctx)
	if err != nil {
		return nil, err
	}
	defer keys.wipe()
	key, err := hkdf.Key(sha256.New, keys.box[:], salt, "keepsake software device box\x01", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// using returns a copy of the keys, which the caller wipes.
func (d *Device) using(ctx context.Context) (*deviceKeys, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	keys := d.keys
	return &keys, ctx.Err()
}

// Exchanger implements [anchor.Device].
func (d *Device) Exchanger(ctx context.Context) (ecdh.KeyExchanger, error) {
	keys, err := d.using(ctx)
	if err != nil {
		return nil, err
	}
	defer keys.wipe()
	return ecdh.P256().NewPrivateKey(keys.exchange[:])
}

// Close implements [anchor.Anchor].
func (d *Device) Close() error {
	err := d.Anchor.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.keys.wipe()
	if d.fleet != nil {
		clear(d.fleet.secret[:])
	}
	return err
}

// path is a file of the device.
func (d *Device) path(name string) string { return filepath.Join(d.dir.Name(), name) }
