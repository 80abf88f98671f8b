package sealed

import (
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"

	"keepsake.example/internal/hidden"
)

// Domain labels, spec/vault-protocol.md §2.3. They are of fixed length, as is
// all that follows them, so that no two inputs run together.
const (
	labelInfo   = "keepsake vault channel"
	labelKeyID  = "keepsake vault channel key id"
	labelAnswer = "keepsake vault answer"
)

// FleetID names the fleet of vaults that a channel key belongs to.
type FleetID [FleetIDSize]byte

// KeyID names a channel key. It follows from the fleet and the public key, so
// that one id cannot stand for two keys.
type KeyID [KeyIDSize]byte

// PublicKey is a channel key as clients know it. Whether it is the fleet's must
// be known before: it comes from a signed bundle, never from the relay.
type PublicKey struct {
	fleet FleetID
	id    KeyID
	enc   [PublicKeySize]byte
	key   hpke.PublicKey
}

// ParsePublicKey reads the 1216 bytes of [PublicKey.Bytes]. It refuses another
// length, and an ML-KEM key that is not reduced (FIPS 203 §7.2).
func ParsePublicKey(fleet FleetID, b []byte) (*PublicKey, error) {
	if len(b) != PublicKeySize {
		return nil, errPublicKey
	}
	key, err := hpke.MLKEM768X25519().NewPublicKey(b)
	if err != nil {
		return nil, errPublicKey
	}
	return newPublicKey(fleet, key), nil
}

func newPublicKey(fleet FleetID, key hpke.PublicKey) *PublicKey {
	p := &PublicKey{fleet: fleet, enc: [PublicKeySize]byte(key.Bytes()), key: key}
	h := sha256.Sum256(slices.Concat([]byte(labelKeyID), []byte{Version}, fleet[:], p.enc[:]))
	p.id = KeyID(h[:])
	return p
}

// Bytes returns the encoding: the ML-KEM-768 key, then the X25519 key.
func (p *PublicKey) Bytes() [PublicKeySize]byte { return p.enc }

// ID returns the key's id.
func (p *PublicKey) ID() KeyID { return p.id }

// info binds a request to the protocol, its version, the fleet and the key.
func (p *PublicKey) info() []byte {
	return slices.Concat([]byte(labelInfo), []byte{Version}, p.fleet[:], p.id[:])
}

// PrivateKey is a channel key as the vault holds it.
type PrivateKey struct {
	secret[keyPair]
}

type keyPair struct {
	seed   [PrivateKeySize]byte
	key    hpke.PrivateKey
	public *PublicKey
}

// GenerateKey makes a new channel key for a fleet.
func GenerateKey(fleet FleetID) (*PrivateKey, error) {
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("sealed: generating a channel key: %w", err)
	}
	return newPrivateKey(fleet, key)
}

// ParsePrivateKey reads the 32 bytes that [PrivateKey.Use] gave. Every 32 bytes
// are a key.
func ParsePrivateKey(fleet FleetID, seed []byte) (*PrivateKey, error) {
	if len(seed) != PrivateKeySize {
		return nil, errPrivateKey
	}
	key, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, errPrivateKey
	}
	return newPrivateKey(fleet, key)
}

func newPrivateKey(fleet FleetID, key hpke.PrivateKey) (*PrivateKey, error) {
	seed, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("sealed: encoding a channel key: %w", err)
	}
	// Go 1.26 hands out the key's own copy. Ours is the one that Wipe reaches.
	defer clear(seed)
	s, pair := hidden.New[keyPair, owner]()
	*pair = keyPair{[PrivateKeySize]byte(seed), key, newPublicKey(fleet, key.PublicKey())}
	return &PrivateKey{s}, nil
}

// Use calls f with the 32 bytes that the key is made from. It is the only way at
// them: f must neither change them nor keep the pointer.
func (k *PrivateKey) Use(f func(seed *[PrivateKeySize]byte)) { f(&hidden.Open(k.secret).seed) }

// Public returns the key that clients seal to.
func (k *PrivateKey) Public() *PublicKey { return hidden.Open(k.secret).public }

// Equal reports in constant time whether both are the same key of the same
// fleet. A nil, zero or wiped key equals nothing, itself included.
func (k *PrivateKey) Equal(o *PrivateKey) bool {
	if k == nil || o == nil || !hidden.Holds(k.secret) || !hidden.Holds(o.secret) {
		return false
	}
	a, b := hidden.Open(k.secret), hidden.Open(o.secret)
	return subtle.ConstantTimeCompare(a.seed[:], b.seed[:])&
		subtle.ConstantTimeCompare(a.public.fleet[:], b.public.fleet[:]) == 1
}
