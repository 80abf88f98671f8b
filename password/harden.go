package password

import (
	"crypto/hkdf"
	"crypto/sha512"
	"fmt"
	"io"
	"slices"

	"keepsake.example/internal/hidden"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vaultapi"
)

// Suite 2, spec/vault-protocol.md §9.5.
const (
	labelHardenedInput = "keepsake hardened input"
	labelHardened      = "keepsake hardened"
)

// Hardened is what the fleet's hardware says of a password: the output of the second
// oblivious function. With it [Register] makes a record of suite 2.
type Hardened struct {
	at Place
	secret[[p256.OutputSize]byte]
}

// Hardening asks for it: two requests, of which one is the question and the other
// tells whether the answers were made with the fleet's key. It costs no attempt.
type Hardening struct {
	at       Place
	question *p256.Blinding
	check    *p256.Challenge
}

// Harden makes the two requests for a password. It reads 144 bytes from random.
func Harden(random io.Reader, p *Password, at Place) (*Hardening, error) {
	question, err := blindHardened(random, p, at)
	if err != nil {
		return nil, err
	}
	check, err := question.Challenge(random, at.FleetKey)
	if err != nil {
		question.Wipe()
		return nil, err
	}
	return &Hardening{at, question, check}, nil
}

// blindHardened: the account is in the input, so that what the device says to one
// account is of no use against another's password.
func blindHardened(random io.Reader, p *Password, at Place) (*p256.Blinding, error) {
	input := slices.Concat([]byte(labelHardenedInput), []byte{version}, at.Fleet[:], at.Account[:], *hidden.Open(p.secret))
	defer clear(input)
	return p256.Blind(random, input)
}

// Bodies are what to send, in any order.
func (h *Hardening) Bodies() [2]*vaultapi.HardenBody {
	return [2]*vaultapi.HardenBody{{Blinded2: h.question.Blinded()}, {Blinded2: h.check.Blinded()}}
}

// Finish takes the two answers, in the order of the bodies. The error is
// [ErrDishonest] when they were not made with the fleet's key: a record that was made
// with them would never open, or be no harder than one of suite 1.
func (h *Hardening) Finish(answers [2]*vaultapi.Hardened) (*Hardened, error) {
	if err := h.check.Holds(answers[0].Evaluated2, answers[1].Evaluated2); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	output, err := h.question.Finalize(answers[0].Evaluated2)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	s, to := hidden.New[[p256.OutputSize]byte, owner]()
	*to = output
	clear(output[:])
	return &Hardened{h.at, s}, nil
}

// Wipe overwrites what is secret of the requests.
func (h *Hardening) Wipe() {
	h.question.Wipe()
	h.check.Wipe()
}

// mix has what Argon2id stretches from the two outputs: as long as one of the two
// keys is not known, it is not known.
func mix(y1 *[oprf.OutputSize]byte, y2 *[p256.OutputSize]byte, at Place) (*[oprf.OutputSize]byte, error) {
	both := slices.Concat(y1[:], y2[:])
	defer clear(both)
	info := string(at.FleetKey[:]) + string(at.Account[:])
	mixed, err := hkdf.Key(sha512.New, both, append([]byte(labelHardened), version), info, oprf.OutputSize)
	if err != nil {
		return nil, fmt.Errorf("password: mixing: %w", err)
	}
	return (*[oprf.OutputSize]byte)(mixed), nil
}
