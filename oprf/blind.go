package oprf

import (
	"bytes"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"

	"keepsake.example/internal/hidden"
)

// Blinding is the client's side of one evaluation: the input, the blind that
// hides it, and the question. It holds the input so that Finalize cannot be
// called with another one.
type Blinding struct {
	secret[blinding]
}

type blinding struct {
	input   []byte // a copy
	blind   ristretto255.Scalar
	blinded Blinded
}

// Blind is RFC 9497 §3.3.1. It reads 64 bytes, and refuses the ones that make
// the blind zero; the input is at most MaxInput bytes. The same bytes and input
// give the same question again: a client that wants to repeat a question after
// a crash keeps a seed for the bytes as secret as the input.
func Blind(random io.Reader, input []byte) (*Blinding, error) {
	p, err := hashToGroup(input)
	if err != nil {
		return nil, err
	}
	s, b := hidden.New[blinding, owner]()
	if err := randomScalar(&b.blind, random); err != nil {
		return nil, err
	}
	// A zero blind makes the question the identity element and the answer independent of the key.
	if isZero(&b.blind) {
		return nil, errZeroBlind
	}
	b.input = bytes.Clone(input)
	b.blinded = Blinded{newElement(ristretto255.NewIdentityElement().ScalarMult(&b.blind, p))}
	p.Set(ristretto255.NewIdentityElement())
	return &Blinding{s}, nil
}

// Blinded returns the question to send.
func (b *Blinding) Blinded() *Blinded {
	q := hidden.Open(b.secret).blinded
	return &q
}

// Finalize is RFC 9497 §3.3.2: it checks the proof against public and takes the
// blind away. The error is [ErrDishonest] when the answer is the question or
// the proof does not hold. It may be called again.
func (b *Blinding) Finalize(public *PublicKey, answer *Evaluated, proof *Proof) (*Output, error) {
	out, err := FinalizeBatch([]*Blinding{b}, public, []*Evaluated{answer}, proof)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// FinalizeBatch is Finalize for 1 to MaxBatch answers under one proof, in the
// order of the questions. It gives all outputs or none.
func FinalizeBatch(blindings []*Blinding, public *PublicKey, answers []*Evaluated, proof *Proof) ([]*Output, error) {
	if err := check(blindings, public, answers, proof); err != nil {
		return nil, err
	}
	out := make([]*Output, len(blindings))
	for i, b := range blindings {
		out[i] = hidden.Open(b.secret).unblind(answers[i])
	}
	return out, nil
}

// check tells an honest batch of answers from any other.
func check(blindings []*Blinding, public *PublicKey, answers []*Evaluated, proof *Proof) error {
	if len(blindings) == 0 || len(blindings) > MaxBatch {
		return errBatch
	}
	if len(answers) != len(blindings) {
		return errBatchSizes
	}
	c, d := make([]*element, len(answers)), make([]*element, len(answers))
	for i, b := range blindings {
		c[i], d[i] = &hidden.Open(b.secret).blinded.element, &answers[i].element
		// The output would be a function of the input alone, without any key:
		// one table of guesses would serve against everybody.
		if c[i].equal(d[i]) {
			return fmt.Errorf("oprf: the answer is the question: %w", ErrDishonest)
		}
	}
	if !proof.holds(public, c, d) {
		return fmt.Errorf("oprf: the proof does not hold: %w", ErrDishonest)
	}
	return nil
}

func (b *blinding) unblind(answer *Evaluated) *Output {
	var inverse ristretto255.Scalar
	inverse.Invert(&b.blind)
	defer inverse.Zero()
	return newOutput(b.input, ristretto255.NewIdentityElement().ScalarMult(&inverse, answer.point))
}

// Wipe overwrites the input and the blind with zeros, in every copy of b. It may
// be called twice. Using a wiped Blinding panics.
func (b *Blinding) Wipe() {
	if hidden.Holds(b.secret) {
		clear(hidden.Open(b.secret).input)
	}
	b.secret.Wipe()
}
