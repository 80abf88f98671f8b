package vaultd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/rand"
	"errors"
	"fmt"

	"keepsake.example/anchor"
	"keepsake.example/roster"
)

// Sealing keys are of one of two KEMs, told apart by the length of the public key:
// that of a machine without a device, and that of a machine whose P-256 half is in
// its hardware. spec/replication.md §3.2.
const (
	softSealingSize   = roster.SealingSize
	deviceSealingSize = mlkem.EncapsulationKeySize768 + 65 // 65: a P-256 point, uncompressed

	sealedKeysType  = "KEEPSAKE SEALED MEMBER KEYS"
	sealedKeysLabel = "keepsake member keys\x01"
	sealedSeedSize  = mlkem.SeedSize
)

var errSealing = errors.New("vaultd: not a sealing key of a known kind")

// sealingKey reads a public sealing key of either kind.
func sealingKey(b []byte) (hpke.PublicKey, error) {
	switch len(b) {
	case softSealingSize:
		return hpke.MLKEM768X25519().NewPublicKey(b)
	case deviceSealingSize:
		return hpke.MLKEM768P256().NewPublicKey(b)
	}
	return nil, errSealing
}

// sealTo seals a secret to a member's sealing key. info binds it to its place and
// time: the box opens under the same info only.
func sealTo(m roster.Member, info, secret []byte) ([]byte, error) {
	key, err := sealingKey(m.Sealing)
	if err != nil {
		return nil, fmt.Errorf("reading the sealing key of member %d: %w", m.Number, err)
	}
	return hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info, secret)
}

// open opens what sealTo sealed to this machine, for the caller to wipe. With a
// device it takes as long as that does.
func (k *Keys) open(info, box []byte) ([]byte, error) {
	return hpke.Open(k.held().sealing, hpke.HKDFSHA256(), hpke.AES256GCM(), info, box)
}

// NewDeviceKeys draws the keys of a new member under a device: what is outside it is
// sealed by it, and what is sealed to the member is opened with a key inside it. They
// serve as long as the device is open.
func NewDeviceKeys(ctx context.Context, d anchor.Device) (*Keys, error) {
	both := make([]byte, seedSize+sealedSeedSize)
	defer clear(both)
	rand.Read(both)
	box, err := d.Seal(ctx, sealedKeysLabel, both)
	if err != nil {
		return nil, fmt.Errorf("sealing the member's keys: %w", err)
	}
	return newDeviceKeys(ctx, d, both, box)
}

// DecodeDeviceKeys reads the file of Encode of keys under that device. What another
// device sealed is anchor.ErrBox.
func DecodeDeviceKeys(ctx context.Context, d anchor.Device, file []byte) (*Keys, error) {
	box, err := decodeKeysFile(file, sealedKeysType)
	if err != nil {
		return nil, err
	}
	both, err := d.Open(ctx, sealedKeysLabel, box)
	defer clear(both)
	if err != nil {
		return nil, fmt.Errorf("opening the member's keys: %w", err)
	}
	if len(both) != seedSize+sealedSeedSize {
		return nil, errKeys
	}
	return newDeviceKeys(ctx, d, both, box)
}

func newDeviceKeys(ctx context.Context, d anchor.Device, both, box []byte) (*Keys, error) {
	inside, err := d.Exchanger(ctx)
	if err != nil {
		return nil, fmt.Errorf("taking the machine's key in its device: %w", err)
	}
	k := &memberKeys{identity: ed25519.NewKeyFromSeed(both[:seedSize]), seed: bytes.Clone(both[seedSize:]), box: bytes.Clone(box)}
	outside, err := mlkem.NewDecapsulationKey768(k.seed)
	if err != nil {
		return nil, fmt.Errorf("making a sealing key: %w", err)
	}
	if k.sealing, err = hpke.NewHybridPrivateKey(outside, inside); err != nil {
		return nil, fmt.Errorf("making a sealing key: %w", err)
	}
	return &Keys{held: func() *memberKeys { return k }}, nil
}
