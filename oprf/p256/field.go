package p256

import (
	"encoding/hex"

	"filippo.io/bigmod"
)

// Constants of P-256, SP 800-186 §3.2.1.3, and what RFC 9380 §8.2 makes of them.
var (
	fieldModulus = modulus("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")
	order        = modulus("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	// Above every number of 48 bytes: it only says how long those are.
	wide = modulus("01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")

	curveA = constant("ffffffff00000001000000000000000000000000fffffffffffffffffffffffc") // -3
	curveB = constant("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
	sswuZ  = constant("ffffffff00000001000000000000000000000000fffffffffffffffffffffff5") // -10
	one    = constant("0000000000000000000000000000000000000000000000000000000000000001")

	// p-2, so that inverting is raising to it; (p+1)/4, so that taking a square root
	// is, because p is 3 modulo 4; and the order less 2.
	exponentInverse = unhex("ffffffff00000001000000000000000000000000fffffffffffffffffffffffd")
	exponentRoot    = unhex("3fffffffc0000000400000000000000000000000400000000000000000000000")
	orderLess2      = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("p256: internal error: " + err.Error())
	}
	return b
}

func modulus(s string) *bigmod.Modulus {
	m, err := bigmod.NewModulus(unhex(s))
	if err != nil {
		panic("p256: internal error: " + err.Error())
	}
	return m
}

func constant(s string) *bigmod.Nat { return number(unhex(s), fieldModulus) }

// number reads a number that is known to be below m.
func number(b []byte, m *bigmod.Modulus) *bigmod.Nat {
	n, err := bigmod.NewNat().SetBytes(b, m)
	if err != nil {
		panic("p256: internal error: " + err.Error())
	}
	return n
}

// reduce returns 48 uniform bytes modulo m: the bias is under 2^-128.
func reduce(b *[48]byte, m *bigmod.Modulus) *bigmod.Nat {
	n := number(b[:], wide)
	defer clear(n.Bits())
	return bigmod.NewNat().Mod(n, m)
}

func dup(a *bigmod.Nat) *bigmod.Nat {
	n := bigmod.NewNat().ExpandFor(fieldModulus)
	copy(n.Bits(), a.Bits())
	return n
}

// Field arithmetic: each returns a new number.
func add(a, b *bigmod.Nat) *bigmod.Nat { return dup(a).Add(b, fieldModulus) }
func sub(a, b *bigmod.Nat) *bigmod.Nat { return dup(a).Sub(b, fieldModulus) }
func mul(a, b *bigmod.Nat) *bigmod.Nat { return dup(a).Mul(b, fieldModulus) }
func neg(a *bigmod.Nat) *bigmod.Nat    { return sub(sub(a, a), a) }
func inverse(a *bigmod.Nat) *bigmod.Nat {
	return bigmod.NewNat().Exp(a, exponentInverse, fieldModulus)
}

// root returns a square root of a, and 1 if it has one.
func root(a *bigmod.Nat) (*bigmod.Nat, uint) {
	r := bigmod.NewNat().Exp(a, exponentRoot, fieldModulus)
	return r, mul(r, r).Equal(a)
}

// choose returns a if cond is 1 and b if it is 0, in constant time.
func choose(cond uint, a, b *bigmod.Nat) *bigmod.Nat {
	n, mask := dup(b), -cond
	limbs := n.Bits()
	for i, l := range a.Bits() {
		limbs[i] ^= mask & (limbs[i] ^ l)
	}
	return n
}
