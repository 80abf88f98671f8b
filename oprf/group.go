package oprf

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"
)

// RFC 9497 §3.1 and §4.1: mode 0x01, suite ristretto255-SHA512.
const (
	contextString  = "OPRFV1-\x01-ristretto255-SHA512"
	dstHashToGroup = "HashToGroup-" + contextString
	dstScalar      = "HashToScalar-" + contextString
	dstDeriveKey   = "DeriveKeyPair" + contextString // without a hyphen, RFC 9497 §3.2.1
	dstSeed        = "Seed-" + contextString
	// Ours: spec/vault-protocol.md §3.5.
	dstNonce = "Keepsake-ProofNonce-" + contextString
)

// element is a group element other than the identity with its encoding.
type element struct {
	point *ristretto255.Element
	enc   [ElementSize]byte
}

func newElement(p *ristretto255.Element) element {
	return element{p, [ElementSize]byte(p.Bytes())}
}

// parseElement is DeserializeElement, RFC 9497 §4.1.
func parseElement(b []byte) (element, error) {
	if len(b) != ElementSize {
		return element{}, errLength
	}
	p, err := ristretto255.NewIdentityElement().SetCanonicalBytes(b)
	if err != nil {
		return element{}, errElement
	}
	if isIdentity(p) {
		return element{}, errIdentity
	}
	// There is one encoding of each element, and this is it: computing it again
	// would cost as much as reading it.
	return element{p, [ElementSize]byte(b)}, nil
}

func isIdentity(p *ristretto255.Element) bool {
	return p.Equal(ristretto255.NewIdentityElement()) == 1
}

// Bytes returns the encoding, RFC 9496 §4.3.2.
func (e *element) Bytes() [ElementSize]byte { return e.enc }

func (e *element) equal(o *element) bool {
	return subtle.ConstantTimeCompare(e.enc[:], o.enc[:]) == 1
}

// parseScalar is DeserializeScalar, RFC 9497 §4.1. It writes s.
func parseScalar(s *ristretto255.Scalar, b []byte) error {
	if len(b) != ScalarSize {
		return errLength
	}
	if _, err := s.SetCanonicalBytes(b); err != nil {
		return errScalar
	}
	return nil
}

// small returns n, from 0 to 255, as a scalar.
func small(n int) *ristretto255.Scalar {
	s := ristretto255.NewScalar()
	if err := parseScalar(s, append([]byte{byte(n)}, make([]byte, ScalarSize-1)...)); err != nil {
		panic("oprf: internal error: " + err.Error())
	}
	return s
}

func isZero(s *ristretto255.Scalar) bool {
	return s.Equal(ristretto255.NewScalar()) == 1
}

// randomScalar is RandomScalar, RFC 9497 §4.7.2: 64 bytes reduced, so that the
// bias is under 2^-259. It writes s.
func randomScalar(s *ristretto255.Scalar, random io.Reader) error {
	var b [2 * ScalarSize]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return fmt.Errorf("oprf: reading %d random bytes: %w", len(b), err)
	}
	setUniform(s, &b)
	return nil
}

func setUniform(s *ristretto255.Scalar, b *[2 * ScalarSize]byte) {
	if _, err := s.SetUniformBytes(b[:]); err != nil {
		panic("oprf: internal error: " + err.Error()) // only for another length
	}
}

// hashToScalar writes s, RFC 9497 §4.1 with the given domain.
func hashToScalar(s *ristretto255.Scalar, dst string, message ...[]byte) {
	u := expand(dst, message...)
	defer clear(u[:])
	setUniform(s, &u)
}

// hashToGroup is RFC 9497 §4.1. It fails with a probability of 2^-252.
func hashToGroup(input []byte) (*ristretto255.Element, error) {
	if len(input) > MaxInput {
		return nil, errInput
	}
	u := expand(dstHashToGroup, input)
	defer clear(u[:])
	p, err := ristretto255.NewIdentityElement().SetUniformBytes(u[:])
	if err != nil {
		panic("oprf: internal error: " + err.Error()) // only for another length
	}
	if isIdentity(p) {
		return nil, errUnusable
	}
	return p, nil
}

// expand is expand_message_xmd with SHA-512, RFC 9380 §5.3.1, for 64 bytes: one
// block, so that b_1 is the whole output. The parts make up one message.
func expand(dst string, message ...[]byte) [sha512.Size]byte {
	dstPrime := append([]byte(dst), byte(len(dst))) // every dst here is under 256 bytes
	h := sha512.New()
	h.Write(make([]byte, sha512.BlockSize))
	for _, m := range message {
		h.Write(m)
	}
	h.Write([]byte{0, sha512.Size, 0})
	h.Write(dstPrime)
	b0 := h.Sum(nil)
	defer clear(b0)
	h.Reset()
	h.Write(b0)
	h.Write([]byte{1})
	h.Write(dstPrime)
	return [sha512.Size]byte(h.Sum(nil))
}

// length is I2OSP(n, 2). Every n here is bounded by a constant of this package.
func length(n int) []byte {
	return binary.BigEndian.AppendUint16(nil, uint16(n))
}
