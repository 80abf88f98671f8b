package p256_test

import (
	"bytes"
	"errors"
	"math/big"
	"testing"
	"testing/iotest"

	"keepsake.example/oprf/p256"
)

// However it is blinded, one input and key have one output, and others another.
func TestOutputIsOfInputAndKey(t *testing.T) {
	output := func(seed byte, input string, key int64) [32]byte {
		b := must(p256.Blind(&reader{seed: seed}, []byte(input)))
		defer b.Wipe()
		return must(b.Finalize(must(p256.Evaluate(keyOf(key), b.Blinded()))))
	}
	want := output(1, "password", 1234)
	for seed := byte(2); seed < 6; seed++ {
		if got := output(seed, "password", 1234); got != want {
			t.Errorf("blinded by %d: %x, want %x", seed, got, want)
		}
	}
	for _, other := range [][32]byte{output(1, "Password", 1234), output(1, "password\x00", 1234), output(1, "", 1234), output(1, "password", 1235)} {
		if other == want {
			t.Error("another input or key has the same output")
		}
	}
}

func TestBlindRepeats(t *testing.T) {
	a, b := must(p256.Blind(&reader{seed: 1}, []byte("x"))), must(p256.Blind(&reader{seed: 1}, []byte("x")))
	if a.Blinded() != b.Blinded() {
		t.Error("the same bytes ask another question")
	}
	if c := must(p256.Blind(&reader{seed: 2}, []byte("x"))); c.Blinded() == a.Blinded() {
		t.Error("other bytes ask the same question")
	}
}

// The 48 bytes are reduced: n + s is s.
func TestBlindIsReduced(t *testing.T) {
	s := big.NewInt(77)
	var wide [48]byte
	new(big.Int).Add(new(big.Int).Lsh(refN, 127), s).FillBytes(wide[:])
	a := must(p256.Blind(bytes.NewReader(wide[:]), []byte("x")))
	if b := must(p256.Blind(scalarBytes(scalar(s)[:]), []byte("x"))); a.Blinded() != b.Blinded() {
		t.Error("not reduced modulo the order")
	}
	// 2^384-1, the largest there is.
	largest := bytes.Repeat([]byte{0xff}, 48)
	all := new(big.Int).SetBytes(largest)
	want := must(p256.Blind(scalarBytes(scalar(all.Mod(all, refN))[:]), nil))
	if got := must(p256.Blind(bytes.NewReader(largest), nil)); got.Blinded() != want.Blinded() {
		t.Error("the largest bytes are another scalar")
	}
}

func TestBlindRefuses(t *testing.T) {
	order := append(make([]byte, 16), scalar(refN)[:]...)
	errBroken := errors.New("broken")
	for name, c := range map[string]struct {
		random []byte
		input  int
		want   error
	}{
		"zero": {make([]byte, 48), 0, p256.ErrZeroBlind}, "the order": {order, 0, p256.ErrZeroBlind},
		"a long input": {bytes.Repeat([]byte{7}, 48), p256.MaxInput + 1, p256.ErrInput},
	} {
		if b, err := p256.Blind(bytes.NewReader(c.random), make([]byte, c.input)); b != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	if b, err := p256.Blind(iotest.ErrReader(errBroken), nil); b != nil || !errors.Is(err, errBroken) {
		t.Errorf("without randomness: %v, %v", b, err)
	}
	if b, err := p256.Blind(bytes.NewReader(make([]byte, 47)), nil); b != nil || err == nil {
		t.Errorf("47 bytes: %v, %v", b, err)
	}
	if _, err := p256.Blind(&reader{}, make([]byte, p256.MaxInput)); err != nil {
		t.Errorf("the longest input: %v", err)
	}
}

// Every changed byte of an answer is refused or gives another output.
func TestEveryChangedByteOfAnAnswer(t *testing.T) {
	b := must(p256.Blind(&reader{}, []byte("password")))
	good := must(p256.Evaluate(keyOf(99), b.Blinded()))
	want := must(b.Finalize(good))
	for i := range good {
		for bit := range 8 {
			bad := good
			bad[i] ^= 1 << bit
			if out, err := b.Finalize(bad); err == nil && out == want {
				t.Errorf("byte %d, bit %d: the same output", i, bit)
			}
		}
	}
	if again := must(b.Finalize(good)); again != want {
		t.Error("finalized again as something else")
	}
}

// Every changed byte of the coordinates is refused, and every other key.
func TestEveryChangedByteOfCoordinates(t *testing.T) {
	b, k := must(p256.Blind(&reader{}, []byte("password"))).Blinded(), keyOf(99)
	z, sum, public := must(p256.Evaluate(k, b)), must(p256.Evaluate(k, must(p256.AddBase(b)))), must(p256.Public(k))
	for i := range 64 {
		x := [64]byte(append(bytes.Clone(z[1:]), sum[1:]...))
		x[i] ^= 1 << (i % 8)
		if got, err := p256.Recover(b, (*[32]byte)(x[:32]), (*[32]byte)(x[32:]), public); !errors.Is(err, p256.ErrUnfitting) {
			t.Errorf("byte %d: %x, %v", i, got, err)
		}
	}
	other := must(p256.Public(keyOf(98)))
	if got, err := p256.Recover(b, (*[32]byte)(z[1:]), (*[32]byte)(sum[1:]), other); !errors.Is(err, p256.ErrUnfitting) {
		t.Errorf("another public key: %x, %v", got, err)
	}
}

// A device keyed with h or -h gives the same coordinates; the public key tells which.
func TestRecoverTellsTheSignOfTheKey(t *testing.T) {
	k := big.NewInt(424242)
	minus := new(big.Int).Sub(refN, k)
	b := must(p256.Blind(&reader{}, nil)).Blinded()
	for _, h := range []*big.Int{k, minus} {
		if got, want := byCoordinates(scalar(h), b), must(p256.Evaluate(scalar(h), b)); got != want {
			t.Errorf("%x, want %x", got, want)
		}
	}
}
