package password

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/argon2"

	"keepsake.example/internal/hidden"
)

const (
	verifierSalt = 16
	verifierHash = 32

	// VerifierSize is the length of an encoded [Verifier] in bytes.
	VerifierSize = 1 + 4 + 4 + 1 + verifierSalt + verifierHash
)

// Verifier tells a device whether a password is the one it has set, without asking
// the vault: a reminder that costs no attempt.
//
// Who steals it from the device can try guesses at the password, each at the price of
// one Argon2id, without the vault's limit. The device that keeps it keeps K itself
// beside it, so that the backup loses nothing by it; what the thief may gain is the
// password, for where else the person uses it, or for a K that replaces this one.
type Verifier struct {
	secret[verifier]
}

type verifier struct {
	params Params
	salt   [verifierSalt]byte
	hash   [verifierHash]byte
}

// NewVerifier makes the verifier of a password. It reads 16 bytes. The zero Params
// stand for DefaultParams.
func NewVerifier(random io.Reader, p *Password, params Params) (*Verifier, error) {
	if params == (Params{}) {
		params = DefaultParams
	}
	if err := params.Check(); err != nil {
		return nil, err
	}
	s, v := hidden.New[verifier, owner]()
	v.params = params
	if _, err := io.ReadFull(random, v.salt[:]); err != nil {
		return nil, fmt.Errorf("password: reading %d random bytes: %w", verifierSalt, err)
	}
	v.hash = v.compute(p)
	return &Verifier{s}, nil
}

func (v *verifier) compute(p *Password) [verifierHash]byte {
	h := argon2.IDKey(*hidden.Open(p.secret), v.salt[:], v.params.Passes, v.params.MemoryKiB, v.params.Threads, verifierHash)
	defer clear(h)
	return [verifierHash]byte(h)
}

// Matches reports whether p is the password.
func (v *Verifier) Matches(p *Password) bool {
	held := hidden.Open(v.secret)
	h := held.compute(p)
	defer clear(h[:])
	return subtle.ConstantTimeCompare(h[:], held.hash[:]) == 1
}

// Encode returns the VerifierSize bytes that [DecodeVerifier] reads: version 1, the
// parameters as in an envelope, salt, hash. They are as secret as the verifier.
func (v *Verifier) Encode() []byte {
	held := hidden.Open(v.secret)
	b := binary.BigEndian.AppendUint32([]byte{version}, held.params.MemoryKiB)
	b = append(binary.BigEndian.AppendUint32(b, held.params.Passes), held.params.Threads)
	return slices.Concat(b, held.salt[:], held.hash[:])
}

// DecodeVerifier reads what Encode wrote. The error is [ErrVerifier].
func DecodeVerifier(b []byte) (*Verifier, error) {
	if len(b) != VerifierSize || b[0] != version {
		return nil, ErrVerifier
	}
	params := Params{binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:]), b[9]}
	if err := params.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerifier, err)
	}
	s, v := hidden.New[verifier, owner]()
	*v = verifier{params, [verifierSalt]byte(b[10:]), [verifierHash]byte(b[10+verifierSalt:])}
	return &Verifier{s}, nil
}
