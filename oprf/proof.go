package oprf

import (
	"crypto/sha512"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"
)

// Proof shows that the answers were made with the key of a public key: a DLEQ
// proof, RFC 9497 §2.2. It says nothing of the key.
type Proof struct {
	c, s ristretto255.Scalar
}

// ParseProof reads the 64 bytes of [Proof.Bytes]. It refuses every other encoding.
func ParseProof(b []byte) (*Proof, error) {
	if len(b) != ProofSize {
		return nil, errLength
	}
	p := &Proof{}
	if err := parseScalar(&p.c, b[:ScalarSize]); err != nil {
		return nil, err
	}
	if err := parseScalar(&p.s, b[ScalarSize:]); err != nil {
		return nil, err
	}
	return p, nil
}

// Bytes returns the encoding: the challenge, then the response.
func (p *Proof) Bytes() [ProofSize]byte {
	return [ProofSize]byte(append(p.c.Bytes(), p.s.Bytes()...))
}

// proveNonce draws the nonce r of a proof: 32 random bytes hashed with the key and
// with what is proved (spec/vault-protocol.md §3.5). Two proofs with one r
// give away the key. A reader that repeats itself, because a machine was rolled
// back or a log is replayed, so repeats the whole proof or draws another r.
func proveNonce(r *ristretto255.Scalar, random io.Reader, pair *keyPair, m *ristretto255.Element) error {
	var fresh [32]byte
	defer clear(fresh[:])
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return fmt.Errorf("oprf: reading %d random bytes: %w", len(fresh), err)
	}
	k := pair.k.Bytes()
	defer clear(k)
	hashToScalar(r, dstNonce, fresh[:], k, pair.public.enc[:], m.Bytes())
	return nil
}

// prove is GenerateProof of RFC 9497 §2.2.1 after the composites: that k·m is
// made with the key of pair. It wipes r.
func prove(pair *keyPair, m *ristretto255.Element, r *ristretto255.Scalar) (*Proof, error) {
	defer r.Zero()
	// Then the response would be the key times a public number.
	if isZero(r) {
		return nil, errZeroNonce
	}
	z := ristretto255.NewIdentityElement().ScalarMult(&pair.k, m)
	t2 := ristretto255.NewIdentityElement().ScalarBaseMult(r)
	t3 := ristretto255.NewIdentityElement().ScalarMult(r, m)
	p := &Proof{}
	challenge(&p.c, &pair.public, m, z, t2, t3)
	p.s.Multiply(&p.c, &pair.k)
	p.s.Subtract(r, &p.s)
	return p, nil
}

// holds is VerifyProof of RFC 9497 §2.2.2. All it works on is public, hence the
// operations of variable time.
func (p *Proof) holds(public *PublicKey, c, d []*element) bool {
	weights := composite(public, c, d)
	m, z := weighted(weights, c), weighted(weights, d)
	t2 := ristretto255.NewIdentityElement().VarTimeDoubleScalarBaseMult(&p.c, public.point, &p.s)
	t3 := ristretto255.NewIdentityElement().VarTimeMultiScalarMult(
		[]*ristretto255.Scalar{&p.s, &p.c}, []*ristretto255.Element{m, z})
	var expected ristretto255.Scalar
	challenge(&expected, public, m, z, t2, t3)
	return expected.Equal(&p.c) == 1
}

// challenge writes c, RFC 9497 §2.2.1.
func challenge(c *ristretto255.Scalar, public *PublicKey, elements ...*ristretto255.Element) {
	transcript := [][]byte{length(ElementSize), public.enc[:]}
	for _, e := range elements {
		transcript = append(transcript, length(ElementSize), e.Bytes())
	}
	hashToScalar(c, dstScalar, append(transcript, []byte("Challenge"))...)
}

// composite returns the weights d_i of ComputeComposites, RFC 9497 §2.2.1.
// There are at most MaxBatch, so that an index fits its 16 bits.
func composite(public *PublicKey, c, d []*element) []*ristretto255.Scalar {
	h := sha512.New()
	for _, part := range [][]byte{length(ElementSize), public.enc[:], length(len(dstSeed)), []byte(dstSeed)} {
		h.Write(part)
	}
	seed := h.Sum(nil)
	weights := make([]*ristretto255.Scalar, len(c))
	for i := range c {
		weights[i] = ristretto255.NewScalar()
		hashToScalar(weights[i], dstScalar,
			length(len(seed)), seed, length(i),
			length(ElementSize), c[i].enc[:], length(ElementSize), d[i].enc[:], []byte("Composite"))
	}
	return weights
}

// weighted returns the sum of weights times elements, in variable time.
func weighted(weights []*ristretto255.Scalar, elements []*element) *ristretto255.Element {
	points := make([]*ristretto255.Element, len(elements))
	for i, e := range elements {
		points[i] = e.point
	}
	return ristretto255.NewIdentityElement().VarTimeMultiScalarMult(weights, points)
}
