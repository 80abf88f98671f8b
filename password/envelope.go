package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"keepsake.example/key"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// MaxVaults is the largest N of T of N vaults in an envelope.
const MaxVaults = 16

const (
	kdfArgon2id = 1

	envelopeVersion  = 1
	envelopeHardened = 2 // with a suite and the fleet key of it
	suiteHardened    = 2

	fixedHeader = 1 + 1 + 4 + 4 + 1 + 1 + 1
	suiteSize   = 1 + p256.PointSize
	vaultSize   = sealed.FleetIDSize + oprf.ElementSize
	tailSize    = key.Size + sha256.Size
)

// Vault is one vault of an envelope: its fleet, and the public key k_i·G against
// which its proofs are checked.
type Vault struct {
	Fleet  sealed.FleetID
	Public *oprf.PublicKey
}

// Envelope is K under a password as the vault keeps it, spec/vault-protocol.md
// §9.2. It is not a secret; its header is authenticated only once it opens.
type Envelope struct {
	Params Params
	T      uint8
	Vaults []Vault // 1 to MaxVaults, of fleets that differ
	// FleetKey is the one that the second output of suite 2 was made with; zeros for
	// suite 1. Suite 2 is for one vault only.
	FleetKey [p256.PointSize]byte

	wrapped [key.Size]byte
	tag     [sha256.Size]byte
}

// DecodeEnvelope reads an envelope strictly: there is one encoding of each. The
// error is [ErrEnvelope], or [ErrUnsupported] for another version or KDF. It does
// not look at the bounds of Params.
func DecodeEnvelope(b []byte) (*Envelope, error) {
	switch {
	case len(b) < fixedHeader+vaultSize+tailSize || len(b) > fixedHeader+MaxVaults*vaultSize+tailSize:
		return nil, fmt.Errorf("%w: length", ErrEnvelope)
	case b[0] != envelopeVersion && b[0] != envelopeHardened || b[1] != kdfArgon2id:
		return nil, ErrUnsupported
	}
	if b[0] == envelopeHardened {
		return decodeHardened(b)
	}
	return decodePlain(b)
}

// decodeHardened reads version 2: what version 1 is, with suite and fleet key between
// the header and K XOR pad.
func decodeHardened(b []byte) (*Envelope, error) {
	const at = fixedHeader + vaultSize
	if len(b) != at+suiteSize+tailSize || b[11] != 1 || b[12] != 1 {
		return nil, fmt.Errorf("%w: length, threshold or number of vaults", ErrEnvelope)
	}
	if b[at] != suiteHardened {
		return nil, ErrUnsupported
	}
	e, err := decodePlain(slices.Concat(b[:at], b[at+suiteSize:]))
	if err != nil {
		return nil, err
	}
	e.FleetKey = [p256.PointSize]byte(b[at+1:])
	if err := p256.Check(e.FleetKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return e, nil
}

func decodePlain(b []byte) (*Envelope, error) {
	e := &Envelope{
		Params: Params{binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]), b[10]},
		T:      b[11],
	}
	n := int(b[12])
	if n < 1 || n > MaxVaults || e.T < 1 || int(e.T) > n || len(b) != fixedHeader+n*vaultSize+tailSize {
		return nil, fmt.Errorf("%w: threshold or number of vaults", ErrEnvelope)
	}
	for i := range n {
		if err := e.addVault(b[fixedHeader+i*vaultSize:][:vaultSize]); err != nil {
			return nil, err
		}
	}
	tail := b[len(b)-tailSize:]
	e.wrapped, e.tag = [key.Size]byte(tail[:key.Size]), [sha256.Size]byte(tail[key.Size:])
	return e, nil
}

func (e *Envelope) addVault(b []byte) error {
	v := Vault{Fleet: sealed.FleetID(b[:sealed.FleetIDSize])}
	// One fleet twice would count its limit twice.
	if slices.ContainsFunc(e.Vaults, func(o Vault) bool { return o.Fleet == v.Fleet }) {
		return fmt.Errorf("%w: a fleet is there twice", ErrEnvelope)
	}
	var err error
	if v.Public, err = oprf.ParsePublicKey(b[sealed.FleetIDSize:]); err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	e.Vaults = append(e.Vaults, v)
	return nil
}

// Encode writes the envelope: Encode(DecodeEnvelope(b)) is b.
func (e *Envelope) Encode() []byte {
	return slices.Concat(e.header(), e.wrapped[:], e.tag[:])
}

func (e *Envelope) hardened() bool { return e.FleetKey != [p256.PointSize]byte{} }

func (e *Envelope) header() []byte {
	b := []byte{envelopeVersion, kdfArgon2id}
	b = binary.BigEndian.AppendUint32(b, e.Params.MemoryKiB)
	b = binary.BigEndian.AppendUint32(b, e.Params.Passes)
	b = append(b, e.Params.Threads, e.T, uint8(len(e.Vaults))) // at most MaxVaults
	for _, v := range e.Vaults {
		public := v.Public.Bytes()
		b = append(append(b, v.Fleet[:]...), public[:]...)
	}
	if e.hardened() {
		b[0] = envelopeHardened
		b = append(append(b, suiteHardened), e.FleetKey[:]...)
	}
	return b
}

// seal puts K in. k was derived from an OPRF key drawn for this record alone, so
// that pad is used once.
func (e *Envelope) seal(k *keys, backup *key.Key, account vaultapi.Account, record vaultapi.ID) {
	backup.Use(func(secret *[key.Size]byte) { e.wrapped = xor(secret, &k.pad) })
	e.tag = e.mac(k, account, record)
}

// unseal compares the tag first: nothing of K is computed with wrong keys.
func (e *Envelope) unseal(k *keys, account vaultapi.Account, record vaultapi.ID) (*key.Key, bool) {
	want := e.mac(k, account, record)
	if !hmac.Equal(want[:], e.tag[:]) {
		return nil, false
	}
	plain := xor(&e.wrapped, &k.pad)
	defer clear(plain[:])
	return key.FromBytes(plain), true
}

// mac commits to the keys: finding two that give one tag for one text is finding a
// collision of SHA-256.
func (e *Envelope) mac(k *keys, account vaultapi.Account, record vaultapi.ID) [sha256.Size]byte {
	h := hmac.New(sha256.New, k.mac[:])
	for _, part := range [][]byte{e.header(), account[:], record[:], e.wrapped[:]} {
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func xor(a, b *[key.Size]byte) (out [key.Size]byte) {
	for i := range out {
		out[i] = a[i] ^ b[i]
	}
	return out
}
