package software

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io/fs"
	"os"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

// The files of a device, beside those of its anchor.
const (
	deviceName  = "device"
	fleetName   = "fleet"
	deviceMagic = "ksp-dev\x01"
	deviceSize  = len(deviceMagic) + 5*32
)

var errDevice = errors.New("not the file of a software device")

// deviceKeys are what a real device would keep to itself.
type deviceKeys struct {
	box      [32]byte // what Seal seals under
	exchange [32]byte // a P-256 scalar
	request  [32]byte // likewise, to which fleet keys are wrapped
	salt     [32]byte // of the custodian's secret
	check    [32]byte // its hash
}

func newDeviceKeys(custodian *anchor.Secret) *deviceKeys {
	var k deviceKeys
	rand.Read(k.box[:])
	rand.Read(k.salt[:])
	k.exchange, k.request = newScalar(), newScalar()
	k.check = k.hash(custodian)
	return &k
}

// newScalar draws until it is one: the first nearly always is.
func newScalar() (scalar [32]byte) {
	for {
		rand.Read(scalar[:])
		if _, err := p256.Public(&scalar); err == nil {
			return scalar
		}
	}
}

func (k *deviceKeys) hash(custodian *anchor.Secret) (sum [32]byte) {
	custodian.Use(func(secret []byte) {
		h := sha256.New()
		h.Write(k.salt[:])
		h.Write(secret)
		h.Sum(sum[:0])
	})
	return sum
}

// admits says whether that is the custodian's secret.
func (k *deviceKeys) admits(custodian *anchor.Secret) bool {
	sum := k.hash(custodian)
	return subtle.ConstantTimeCompare(sum[:], k.check[:]) == 1
}

func (k *deviceKeys) fields() []*[32]byte {
	return []*[32]byte{&k.box, &k.exchange, &k.request, &k.salt, &k.check}
}

func (k *deviceKeys) wipe() { *k = deviceKeys{} }

func (k *deviceKeys) encode() []byte {
	b := append(make([]byte, 0, deviceSize), deviceMagic...)
	for _, f := range k.fields() {
		b = append(b, f[:]...)
	}
	return b
}

func (k *deviceKeys) decode(b []byte) error {
	if len(b) != deviceSize || string(b[:len(deviceMagic)]) != deviceMagic {
		return errDevice
	}
	b = b[len(deviceMagic):]
	for i, f := range k.fields() {
		*f = [32]byte(b[32*i:])
	}
	for _, scalar := range []*[32]byte{&k.exchange, &k.request} {
		if _, err := p256.Public(scalar); err != nil {
			return errDevice
		}
	}
	return nil
}

// load reads the files of a device whose anchor is open.
func (d *Device) load() error {
	b, err := os.ReadFile(d.path(deviceName))
	if err != nil {
		return err
	}
	defer clear(b)
	if err := d.keys.decode(b); err != nil {
		return err
	}
	b, err = os.ReadFile(d.path(fleetName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer clear(b)
	d.fleet, err = newFleetKey(b)
	return err
}
