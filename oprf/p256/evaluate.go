package p256

import (
	"crypto/subtle"

	"filippo.io/bigmod"
	"filippo.io/nistec"
)

// Check returns [ErrPoint] unless p is a point: the way a public key or a question
// is looked at before a device sees it.
func Check(p [PointSize]byte) error {
	_, err := decode(p)
	return err
}

// decode is DeserializeElement, RFC 9497 §4.3. The neutral element has no encoding
// of 33 bytes, and no point has two of them.
func decode(b [PointSize]byte) (*nistec.P256Point, error) {
	p, err := nistec.NewP256Point().SetBytes(b[:])
	if err != nil {
		return nil, ErrPoint
	}
	return p, nil
}

// encode panics on the neutral element, which no caller has: points and scalars
// are neither neutral nor zero here, and the order is prime.
func encode(p *nistec.P256Point) [PointSize]byte {
	return [PointSize]byte(p.BytesCompressed())
}

func isIdentity(p *nistec.P256Point) bool { return len(p.Bytes()) == 1 }

// multiply returns s·p.
func multiply(p *nistec.P256Point, s *[ScalarSize]byte) *nistec.P256Point {
	q, err := nistec.NewP256Point().ScalarMult(p, s[:])
	if err != nil {
		panic("p256: internal error: " + err.Error()) // only for another length
	}
	return q
}

// checkScalar refuses what is not in 1..order-1.
func checkScalar(key *[ScalarSize]byte) error {
	n, err := bigmod.NewNat().SetBytes(key[:], order)
	if err != nil {
		return errScalar
	}
	defer clear(n.Bits())
	if n.IsZero() == 1 {
		return errScalar
	}
	return nil
}

// Evaluate is BlindEvaluate of RFC 9497 §3.3.1: key·blinded. It is for tests and
// for the device in software: elsewhere hardware has the key and does it. It
// refuses keys outside 1..order-1, and what is no point with [ErrPoint].
func Evaluate(key *[ScalarSize]byte, blinded [PointSize]byte) ([PointSize]byte, error) {
	if err := checkScalar(key); err != nil {
		return [PointSize]byte{}, err
	}
	p, err := decode(blinded)
	if err != nil {
		return [PointSize]byte{}, err
	}
	return encode(multiply(p, key)), nil
}

// Public returns key·G. It refuses keys outside 1..order-1.
func Public(key *[ScalarSize]byte) ([PointSize]byte, error) {
	return Evaluate(key, encode(nistec.NewP256Point().SetGenerator()))
}

// AddBase returns b + G, which a device that gives only x coordinates is asked
// beside b. For b = -G, whose sum is the neutral element that no device takes, it
// returns G in its place: [Recover] knows the answer to -G without the sum. For
// b = G the sum is 2·G, an ordinary point.
func AddBase(b [PointSize]byte) ([PointSize]byte, error) {
	p, err := decode(b)
	if err != nil {
		return [PointSize]byte{}, err
	}
	g := nistec.NewP256Point().SetGenerator()
	sum := nistec.NewP256Point().Add(p, g)
	if isIdentity(sum) {
		return encode(g), nil
	}
	return encode(sum), nil
}

// Recover returns h·blinded from x1 = x(h·blinded), x2 = x(h·AddBase(blinded)) and
// public = h·G. It refuses coordinates of two points that do not differ by public:
// so a device with another key is found out, and one that computes wrongly. That
// the first is the answer to blinded it cannot see.
//
// The two points with x1 are Z and -Z, and x(Z+H) = x(-Z+H) only if 2·Z or 2·H is
// neutral, which in a group of odd order they are not: so x2 tells them apart.
func Recover(blinded [PointSize]byte, x1, x2 *[ScalarSize]byte, public [PointSize]byte) ([PointSize]byte, error) {
	h, err := decode(public)
	if err != nil {
		return [PointSize]byte{}, err
	}
	if err := Check(blinded); err != nil {
		return [PointSize]byte{}, err
	}
	if isMinusBase(blinded) {
		return recoverMinusBase(x1, x2, public)
	}
	for _, sign := range []byte{2, 3} {
		z := [PointSize]byte(append([]byte{sign}, x1[:]...))
		if fits(z, h, x2) {
			return z, nil
		}
	}
	return [PointSize]byte{}, errUnfitting
}

// fits reports whether z is a point and x2 is x(z+h).
func fits(z [PointSize]byte, h *nistec.P256Point, x2 *[ScalarSize]byte) bool {
	p, err := decode(z)
	if err != nil {
		return false
	}
	x, err := p.Add(p, h).BytesX()
	// An error is the neutral element, which has no x: z is -h, and blinded would be -G.
	return err == nil && subtle.ConstantTimeCompare(x, x2[:]) == 1
}

func isMinusBase(b [PointSize]byte) bool {
	return b == negate(encode(nistec.NewP256Point().SetGenerator()))
}

func negate(p [PointSize]byte) [PointSize]byte {
	p[0] ^= 1
	return p
}

// recoverMinusBase: h·(-G) is -H, and both coordinates are x(H).
func recoverMinusBase(x1, x2 *[ScalarSize]byte, public [PointSize]byte) ([PointSize]byte, error) {
	if *x1 != *x2 || *x1 != [ScalarSize]byte(public[1:]) {
		return [PointSize]byte{}, errUnfitting
	}
	return negate(public), nil
}
