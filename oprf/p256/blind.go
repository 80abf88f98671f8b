package p256

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"filippo.io/bigmod"
	"filippo.io/nistec"

	"keepsake.example/internal/hidden"
)

// Blinding is the client's side of one evaluation: the input, the blind that
// hides it, and the question. It holds the input so that Finalize cannot be
// called with another one. It needs no lock but around Wipe.
type Blinding struct {
	secret[blinding]
}

type blinding struct {
	input   []byte // a copy
	blind   [ScalarSize]byte
	blinded [PointSize]byte
}

// Blind is RFC 9497 §3.3.1. It reads 48 bytes, and refuses the ones that make the
// blind zero; the input is at most MaxInput bytes. The same bytes and input give
// the same question again: a client that wants to repeat a question after a crash
// keeps a seed for the bytes as secret as the input.
func Blind(random io.Reader, input []byte) (*Blinding, error) {
	p, err := hashToGroup(input)
	if err != nil {
		return nil, err
	}
	s, b := hidden.New[blinding, owner]()
	if err := randomScalar(&b.blind, random); err != nil {
		return nil, err
	}
	b.input = bytes.Clone(input)
	b.blinded = encode(multiply(p, &b.blind))
	p.Set(nistec.NewP256Point())
	return &Blinding{s}, nil
}

// randomScalar is RandomScalar, RFC 9497 §4.7.2: 48 bytes reduced, so that the bias
// is under 2^-128. It writes s.
func randomScalar(s *[ScalarSize]byte, random io.Reader) error {
	var b [48]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return fmt.Errorf("p256: reading %d random bytes: %w", len(b), err)
	}
	n := reduce(&b, order)
	defer clear(n.Bits())
	// A zero blind makes the question the neutral element and the answer independent of the key.
	if n.IsZero() == 1 {
		return errZeroBlind
	}
	enc := n.Bytes(order)
	defer clear(enc)
	copy(s[:], enc)
	return nil
}

// Blinded returns the question to send: a random point that says nothing of the input.
func (b *Blinding) Blinded() [PointSize]byte { return hidden.Open(b.secret).blinded }

// Finalize is RFC 9497 §3.3.1: it takes the blind away and hashes. It refuses what
// is no point with [ErrPoint] and the question itself, also with the other sign,
// with [ErrDishonest]. It may be called again. The caller wipes the output.
//
// It does not tell whether the answer was made with the fleet's key: see
// [Blinding.Challenge].
func (b *Blinding) Finalize(evaluated [PointSize]byte) ([OutputSize]byte, error) {
	held := hidden.Open(b.secret)
	z, err := decode(evaluated)
	if err != nil {
		return [OutputSize]byte{}, err
	}
	// Keys 1 and -1: no fleet has them, and a liar knows the output they give for
	// every input without knowing anything.
	if bytes.Equal(evaluated[1:], held.blinded[1:]) {
		return [OutputSize]byte{}, fmt.Errorf("p256: the answer is the question: %w", ErrDishonest)
	}
	inverse := invert(&held.blind)
	defer clear(inverse[:])
	return hashOutput(held.input, encode(multiply(z, inverse))), nil
}

// invert returns 1/s modulo the order.
func invert(s *[ScalarSize]byte) *[ScalarSize]byte {
	n := number(s[:], order)
	defer clear(n.Bits())
	i := bigmod.NewNat().Exp(n, orderLess2, order)
	defer clear(i.Bits())
	return (*[ScalarSize]byte)(i.Bytes(order))
}

// hashOutput is the hash of Finalize.
func hashOutput(input []byte, unblinded [PointSize]byte) (out [OutputSize]byte) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(input)))) // at most MaxInput
	h.Write(input)
	h.Write(binary.BigEndian.AppendUint16(nil, PointSize))
	h.Write(unblinded[:])
	h.Write([]byte("Finalize"))
	h.Sum(out[:0])
	clear(unblinded[:])
	return out
}

// Wipe overwrites the input and the blind with zeros, in every copy of b. It may
// be called twice. Using a wiped Blinding panics.
func (b *Blinding) Wipe() {
	if hidden.Holds(b.secret) {
		clear(hidden.Open(b.secret).input)
	}
	b.secret.Wipe()
}
