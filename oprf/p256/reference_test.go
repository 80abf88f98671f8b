package p256_test

import (
	"crypto/sha256"
	"math/big"
	"slices"
)

// A second implementation, slow and from the texts of RFC 9380 and RFC 9497 alone,
// with math/big and affine formulas.

func bigOf(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic(s)
	}
	return n
}

var (
	refP = bigOf("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")
	refN = bigOf("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	refA = big.NewInt(-3)
	refB = bigOf("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
	refG = &refPoint{
		bigOf("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
		bigOf("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
	}
)

// refPoint is affine; nil is the neutral element.
type refPoint struct{ x, y *big.Int }

func mod(n *big.Int) *big.Int { return n.Mod(n, refP) }

func times(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }

func over(a, b *big.Int) *big.Int {
	return times(a, new(big.Int).ModInverse(mod(new(big.Int).Set(b)), refP))
}

func plus(a, b *big.Int) *big.Int { return mod(new(big.Int).Add(a, b)) }

func minus(a, b *big.Int) *big.Int { return mod(new(big.Int).Sub(a, b)) }

func polynomial(x *big.Int) *big.Int { return plus(times(plus(times(x, x), refA), x), refB) }

func refAdd(p, q *refPoint) *refPoint {
	switch {
	case p == nil:
		return q
	case q == nil:
		return p
	}
	slope := new(big.Int)
	switch {
	case p.x.Cmp(q.x) != 0:
		slope = over(minus(q.y, p.y), minus(q.x, p.x))
	case p.y.Cmp(q.y) != 0:
		return nil
	default:
		slope = over(plus(times(big.NewInt(3), times(p.x, p.x)), refA), plus(p.y, p.y))
	}
	x := minus(minus(times(slope, slope), p.x), q.x)
	return &refPoint{x, minus(times(slope, minus(p.x, x)), p.y)}
}

func refMul(k *big.Int, p *refPoint) (sum *refPoint) {
	for i := k.BitLen() - 1; i >= 0; i-- {
		sum = refAdd(sum, sum)
		if k.Bit(i) == 1 {
			sum = refAdd(sum, p)
		}
	}
	return sum
}

func refEncode(p *refPoint) (b [33]byte) {
	b[0] = 2 + byte(p.y.Bit(0))
	p.x.FillBytes(b[1:])
	return b
}

func refExpand(dst string, msg []byte, n int) (out []byte) {
	prime := append([]byte(dst), byte(len(dst)))
	b0 := sha256.Sum256(slices.Concat(make([]byte, 64), msg, []byte{byte(n >> 8), byte(n), 0}, prime))
	last := [32]byte{}
	for i := 1; len(out) < n; i++ {
		for j := range last {
			last[j] ^= b0[j]
		}
		last = sha256.Sum256(slices.Concat(last[:], []byte{byte(i)}, prime))
		out = append(out, last[:]...)
	}
	return out[:n]
}

// refMap is RFC 9380 §6.6.2, step by step.
func refMap(u *big.Int) *refPoint {
	z, zero := big.NewInt(-10), new(big.Int)
	zu2 := times(z, times(u, u))
	tv1 := plus(times(zu2, zu2), zu2)
	x := over(refB, times(z, refA))
	if tv1.Cmp(zero) != 0 {
		x = times(over(minus(zero, refB), refA), plus(big.NewInt(1), over(big.NewInt(1), tv1)))
	}
	y := new(big.Int).ModSqrt(polynomial(x), refP)
	if y == nil {
		x = times(zu2, x)
		y = new(big.Int).ModSqrt(polynomial(x), refP)
	}
	if y.Bit(0) != u.Bit(0) {
		y = minus(zero, y)
	}
	return &refPoint{x, y}
}

func refHash(dst string, msg []byte) *refPoint {
	b := refExpand(dst, msg, 96)
	u0, u1 := mod(new(big.Int).SetBytes(b[:48])), mod(new(big.Int).SetBytes(b[48:]))
	return refAdd(refMap(u0), refMap(u1))
}

// refOutput is what a client ends with whatever its blind was.
func refOutput(key *big.Int, input []byte) [32]byte {
	n := refEncode(refMul(key, refHash("HashToGroup-OPRFV1-\x00-P256-SHA256", input)))
	return sha256.Sum256(slices.Concat([]byte{byte(len(input) >> 8), byte(len(input))}, input, []byte{0, 33}, n[:], []byte("Finalize")))
}

// refDeriveKey is DeriveKeyPair, RFC 9497 §3.2.1.
func refDeriveKey(seed, info []byte) *big.Int {
	for counter := byte(0); ; counter++ {
		msg := slices.Concat(seed, []byte{byte(len(info) >> 8), byte(len(info))}, info, []byte{counter})
		k := new(big.Int).SetBytes(refExpand("DeriveKeyPairOPRFV1-\x00-P256-SHA256", msg, 48))
		if k.Mod(k, refN); k.Sign() != 0 {
			return k
		}
	}
}
