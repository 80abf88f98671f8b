package p256

import (
	"crypto/sha256"

	"filippo.io/bigmod"
	"filippo.io/nistec"
)

// RFC 9497 §3.1 and §4.3: mode 0x00, suite P256-SHA256.
const (
	contextString  = "OPRFV1-\x00-P256-SHA256"
	dstHashToGroup = "HashToGroup-" + contextString
)

// hashToGroup fails with a probability of about 2^-256.
func hashToGroup(input []byte) (*nistec.P256Point, error) {
	if len(input) > MaxInput {
		return nil, errInput
	}
	p := hashToCurve(dstHashToGroup, input)
	if isIdentity(p) {
		return nil, errUnusable
	}
	return p, nil
}

// hashToCurve is P256_XMD:SHA-256_SSWU_RO_, RFC 9380 §8.2. The cofactor is 1, so
// that nothing need be cleared.
func hashToCurve(dst string, input []byte) *nistec.P256Point {
	u0, u1 := hashToField(dst, input)
	defer clear(u0.Bits())
	defer clear(u1.Bits())
	q := mapToCurve(u0)
	return q.Add(q, mapToCurve(u1))
}

// hashToField is RFC 9380 §5.2 with m = 1, L = 48, count = 2.
func hashToField(dst string, input []byte) (u0, u1 *bigmod.Nat) {
	uniform := expand(dst, input, 96)
	defer clear(uniform)
	return reduce((*[48]byte)(uniform[:48]), fieldModulus), reduce((*[48]byte)(uniform[48:]), fieldModulus)
}

// mapToCurve is map_to_curve_simple_swu, RFC 9380 §6.6.2. Both candidates are
// computed whichever it takes: which one it is depends on the password.
func mapToCurve(u *bigmod.Nat) *nistec.P256Point {
	zu2 := mul(sswuZ, mul(u, u))
	x1 := firstX(zu2)
	x2 := mul(zu2, x1)
	y1, square := root(onCurve(x1))
	y2, _ := root(onCurve(x2))
	x, y := choose(square, x1, x2), choose(square, y1, y2)
	y = choose(u.IsOdd()^y.IsOdd(), neg(y), y) // sgn0 of both becomes the same
	return affine(x, y)
}

// firstX is (-B/A)·(1 + 1/(Z²u⁴ + Zu²)), or B/(ZA) where that divides by zero: as
// the inverse of 0 is computed as 0, the sum is then 1, and -1/Z has to take its place.
func firstX(zu2 *bigmod.Nat) *bigmod.Nat {
	tv1 := inverse(add(mul(zu2, zu2), zu2))
	factor := choose(tv1.IsZero(), neg(inverse(sswuZ)), add(one, tv1))
	return mul(mul(neg(curveB), inverse(curveA)), factor)
}

// onCurve returns x³ + Ax + B.
func onCurve(x *bigmod.Nat) *bigmod.Nat {
	return add(mul(add(mul(x, x), curveA), x), curveB)
}

// affine returns a point whose coordinates are known to be on the curve.
func affine(x, y *bigmod.Nat) *nistec.P256Point {
	enc := append([]byte{4}, x.Bytes(fieldModulus)...)
	enc = append(enc, y.Bytes(fieldModulus)...)
	defer clear(enc)
	p, err := nistec.NewP256Point().SetBytes(enc)
	if err != nil {
		panic("p256: internal error: " + err.Error())
	}
	return p
}

// expand is expand_message_xmd with SHA-256, RFC 9380 §5.3.1, for at most 255
// blocks and a dst of at most 255 bytes; every use here is far below.
func expand(dst string, message []byte, length int) []byte {
	dstPrime := append([]byte(dst), byte(len(dst)))
	h := sha256.New()
	h.Write(make([]byte, sha256.BlockSize))
	h.Write(message)
	h.Write([]byte{byte(length >> 8), byte(length), 0})
	h.Write(dstPrime)
	b0 := h.Sum(nil)
	defer clear(b0)
	out, block := make([]byte, 0, length+sha256.Size), make([]byte, sha256.Size)
	for i := byte(1); len(out) < length; i++ {
		for j := range block { // b_0 for the first block, b_0 XOR b_(i-1) then
			block[j] ^= b0[j]
		}
		h.Reset()
		h.Write(block)
		h.Write([]byte{i})
		h.Write(dstPrime)
		out = h.Sum(out)
		copy(block, out[len(out)-sha256.Size:])
	}
	clear(block)
	return out[:length]
}
