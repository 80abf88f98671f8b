package p256_test

import (
	"bytes"
	"errors"
	"math/big"
	"testing"

	"keepsake.example/oprf/p256"
)

func challenged(seed byte, public [33]byte) (*p256.Blinding, *p256.Challenge) {
	b := must(p256.Blind(&reader{seed: seed}, []byte("password")))
	return b, must(b.Challenge(&reader{seed: seed + 100}, public))
}

func TestChallengeHoldsForTheFleetsKey(t *testing.T) {
	for i := range byte(5) {
		k := keyOf(1000 + int64(i))
		b, c := challenged(i, must(p256.Public(k)))
		if c.Blinded() == b.Blinded() {
			t.Error("the question is asked twice")
		}
		z, second := must(p256.Evaluate(k, b.Blinded())), must(p256.Evaluate(k, c.Blinded()))
		if err := c.Holds(z, second); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// C is s·G + t·B, by the second implementation.
func TestChallengeIsTheSum(t *testing.T) {
	s, u := bytes.Repeat([]byte{3}, 32), bytes.Repeat([]byte{5}, 32)
	b := must(p256.Blind(scalarBytes(keyOf(1)[:]), []byte("password"))) // B is the hash itself
	random := append(append(make([]byte, 16), s...), append(make([]byte, 16), u...)...)
	c := must(b.Challenge(bytes.NewReader(random), refEncode(refG)))
	hash := refHash("HashToGroup-OPRFV1-\x00-P256-SHA256", []byte("password"))
	want := refEncode(refAdd(refMul(new(big.Int).SetBytes(s), refG), refMul(new(big.Int).SetBytes(u), hash)))
	if got := c.Blinded(); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

// Whatever a vault without h answers is found out.
func TestChallengeFindsLies(t *testing.T) {
	h, other := keyOf(424242), keyOf(424243)
	minus := scalar(new(big.Int).Sub(refN, big.NewInt(424242)))
	b, c := challenged(7, must(p256.Public(h)))
	_, another := challenged(8, must(p256.Public(h)))
	with := func(k *[32]byte, q [33]byte) [33]byte { return must(p256.Evaluate(k, q)) }
	for name, answers := range map[string][2][33]byte{
		"another key":             {with(other, b.Blinded()), with(other, c.Blinded())},
		"another key for B":       {with(other, b.Blinded()), with(h, c.Blinded())},
		"another key for C":       {with(h, b.Blinded()), with(other, c.Blinded())},
		"-h":                      {with(minus, b.Blinded()), with(minus, c.Blinded())},
		"swapped":                 {with(h, c.Blinded()), with(h, b.Blinded())},
		"reflected":               {b.Blinded(), c.Blinded()},
		"the answer twice":        {with(h, b.Blinded()), with(h, b.Blinded())},
		"another's second answer": {with(h, b.Blinded()), with(h, another.Blinded())},
	} {
		if err := c.Holds(answers[0], answers[1]); !errors.Is(err, p256.ErrDishonest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := [2][33]byte{with(h, b.Blinded()), with(h, c.Blinded())}
	for i := range good {
		for j := range good[i] {
			bad := good
			bad[i][j] ^= 1 << (j % 8)
			if err := c.Holds(bad[0], bad[1]); !errors.Is(err, p256.ErrDishonest) && !errors.Is(err, p256.ErrPoint) {
				t.Errorf("answer %d, byte %d: %v", i, j, err)
			}
		}
	}
	if err := c.Holds(good[0], good[1]); err != nil {
		t.Errorf("the right answers: %v", err)
	}
}

// regressions of a challenge that gives its scalars away: with t known, a lie fits.
func TestChallengeWithKnownScalarsIsWorthless(t *testing.T) {
	h, other := big.NewInt(424242), big.NewInt(77)
	b := must(p256.Blind(&reader{seed: 7}, []byte("password")))
	public := must(p256.Public(scalar(h)))
	c := must(b.Challenge(bytes.NewReader(append(append(make([]byte, 16), keyOf(3)[:]...), append(make([]byte, 16), keyOf(5)[:]...)...)), public))
	z := must(p256.Evaluate(scalar(other), b.Blinded()))
	forged := refAdd(refMul(new(big.Int).Mul(h, big.NewInt(3)), refG), refMul(big.NewInt(5), refDecode(z)))
	if err := c.Holds(z, refEncode(forged)); err != nil {
		t.Errorf("the equation that is checked is another: %v", err)
	}
}

func refDecode(b [33]byte) *refPoint {
	x := new(big.Int).SetBytes(b[1:])
	y := new(big.Int).ModSqrt(polynomial(x), refP)
	if byte(y.Bit(0)) != b[0]&1 {
		y = minus(new(big.Int), y)
	}
	return &refPoint{x, y}
}

func TestChallengeRefuses(t *testing.T) {
	b := must(p256.Blind(&reader{}, nil))
	public := must(p256.Public(keyOf(5)))
	if c, err := b.Challenge(&reader{}, [33]byte{}); c != nil || !errors.Is(err, p256.ErrPoint) {
		t.Errorf("no public key: %v, %v", c, err)
	}
	if c, err := b.Challenge(bytes.NewReader(make([]byte, 96)), public); c != nil || !errors.Is(err, p256.ErrZeroBlind) {
		t.Errorf("zero scalars: %v, %v", c, err)
	}
	if c, err := b.Challenge(bytes.NewReader(bytes.Repeat([]byte{1}, 95)), public); c != nil || err == nil {
		t.Errorf("too few bytes: %v, %v", c, err)
	}
	c := must(b.Challenge(&reader{}, public))
	if err := c.Holds([33]byte{}, public); !errors.Is(err, p256.ErrPoint) {
		t.Errorf("no point: %v", err)
	}
	if err := c.Holds(public, [33]byte{4}); !errors.Is(err, p256.ErrPoint) {
		t.Errorf("no point: %v", err)
	}
	c.Wipe()
	mustPanic(t, "Blinded", func() { c.Blinded() })
	mustPanic(t, "Holds", func() { c.Holds(public, public) })
	if c.String() != "p256(redacted)" {
		t.Error("prints", c)
	}
}
