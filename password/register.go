package password

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"keepsake.example/internal/hidden"
	"keepsake.example/key"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vaultapi"
)

// UnlockKey is the key that the password gives: its signature is the proof of the
// password.
type UnlockKey struct {
	secret[[ed25519.SeedSize]byte]
}

func newUnlockKey(seed [ed25519.SeedSize]byte) *UnlockKey {
	s, to := hidden.New[[ed25519.SeedSize]byte, owner]()
	*to = seed
	return &UnlockKey{s}
}

// Public returns the Ed25519 public key.
func (u *UnlockKey) Public() (public [ed25519.PublicKeySize]byte) {
	u.private(func(k ed25519.PrivateKey) { public = [ed25519.PublicKeySize]byte(k[ed25519.SeedSize:]) })
	return public
}

// Sign signs a message of package vaultapi, which names what it is for.
func (u *UnlockKey) Sign(message []byte) (signature [ed25519.SignatureSize]byte) {
	u.private(func(k ed25519.PrivateKey) { signature = [ed25519.SignatureSize]byte(ed25519.Sign(k, message)) })
	return signature
}

func (u *UnlockKey) private(f func(ed25519.PrivateKey)) {
	k := ed25519.NewKeyFromSeed(hidden.Open(u.secret)[:])
	defer clear(k)
	f(k)
}

// Options are the choices of a new record.
type Options struct {
	Params Params // the zero value stands for DefaultParams
	Limit  uint8  // wrong passwords until the record is destroyed, 1 to vaultapi.MaxAttempts
	Device [ed25519.PublicKeySize]byte
	// Hardened is what the fleet's hardware said of the password, for a Place with a
	// fleet key; nil for one without.
	Hardened *Hardened
}

// Registration is a new record: what to propose to the vault, and the key that its
// password gives.
type Registration struct {
	Body   *vaultapi.ProposeBody
	Unlock *UnlockKey
}

// Wipe overwrites the vault's key and the unlock key.
func (r *Registration) Wipe() {
	r.Body.Key.Wipe()
	r.Unlock.Wipe()
}

// Register makes a record that gives K to whoever has p and the vault's answer. It
// reads 80 bytes: record id, then the vault's key. The same bytes, password and
// choices make the same record. Nobody is asked: the client draws the vault's key,
// and so costs itself no attempt. Where the fleet has a key in its hardware that was
// asked before, by [Harden].
func Register(random io.Reader, p *Password, k *key.Key, at Place, o Options) (*Registration, error) {
	if o.Params == (Params{}) {
		o.Params = DefaultParams
	}
	if err := o.Params.Check(); err != nil {
		return nil, err
	}
	if o.Limit < 1 || o.Limit > vaultapi.MaxAttempts {
		return nil, fmt.Errorf("password: a limit of %d attempts", o.Limit)
	}
	if h := o.Hardened; at.hardened() != (h != nil) || h != nil && h.at != at {
		return nil, errors.New("password: not hardened for this place")
	}
	body := &vaultapi.ProposeBody{Limit: o.Limit, Device: o.Device}
	if _, err := io.ReadFull(random, body.Record[:]); err != nil {
		return nil, fmt.Errorf("password: reading %d random bytes: %w", len(body.Record), err)
	}
	vaultKey, err := oprf.GenerateKey(random)
	if err != nil {
		return nil, err
	}
	defer vaultKey.Wipe()
	unlock, envelope, err := wrap(vaultKey, p, k, at, body.Record, o)
	if err != nil {
		return nil, err
	}
	vaultKey.Use(func(encoded *[oprf.ScalarSize]byte) { body.Key = vaultapi.NewSecret(encoded) })
	body.Unlock, body.Envelope = unlock.Public(), envelope.Encode()
	return &Registration{body, unlock}, nil
}

func wrap(vaultKey *oprf.PrivateKey, p *Password, k *key.Key, at Place, record vaultapi.ID, o Options) (*UnlockKey, *Envelope, error) {
	y, err := vaultKey.Output(*hidden.Open(p.secret))
	if err != nil {
		return nil, nil, err
	}
	defer y.Wipe()
	e := &Envelope{Params: o.Params, T: 1, Vaults: []Vault{{at.Fleet, vaultKey.Public()}}, FleetKey: at.FleetKey}
	var y2 *[p256.OutputSize]byte
	if o.Hardened != nil {
		y2 = hidden.Open(o.Hardened.secret)
	}
	derived, err := derive(y, y2, e, at.Account, record)
	if err != nil {
		return nil, nil, err
	}
	defer derived.wipe()
	e.seal(derived, k, at.Account, record)
	return newUnlockKey(derived.unlock), e, nil
}
