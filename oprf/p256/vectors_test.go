package p256_test

import (
	"bytes"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"keepsake.example/oprf/p256"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/p256, whose names are listed in spec/vault-protocol.md §5.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector){
		"expanded": vectorExpanded, "hashed": vectorHashed, "evaluated": vectorEvaluated, "recovered": vectorRecovered,
		"unfitting": vectorUnfitting, "refused": vectorRefused, "dishonest": vectorDishonest, "weak": vectorWeak,
	}
	ran := map[string]int{}
	for _, v := range must(vectors.All("p256")) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect]++
			run[expect](t, v)
		})
	}
	for expect := range run {
		if ran[expect] == 0 {
			t.Errorf("no vector expects %q", expect)
		}
	}
}

func is(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(want)) {
		t.Errorf("%s\n     %x\nwant %s", what, got, want)
	}
}

func vectorExpanded(t *testing.T, v *vectors.Vector) {
	message, output := unhex(field(t, v, "message")), field(t, v, "output")
	is(t, "expanded", p256.Expand(field(t, v, "dst"), message, len(output)/2), output)
	is(t, "second implementation", refExpand(field(t, v, "dst"), message, len(output)/2), output)
}

func vectorHashed(t *testing.T, v *vectors.Vector) {
	dst, message := field(t, v, "dst"), unhex(field(t, v, "message"))
	u0, u1 := p256.HashToField(dst, message)
	is(t, "u", append(bytes.Clone(u0), u1...), strings.ReplaceAll(field(t, v, "u"), ",", ""))
	is(t, "Q0", p256.MapToCurve(u0), field(t, v, "q0"))
	is(t, "Q1", p256.MapToCurve(u1), field(t, v, "q1"))
	is(t, "P", p256.HashToCurve(dst, message), field(t, v, "point"))
	ref := refEncode(refHash(dst, message))
	is(t, "second implementation", ref[1:], field(t, v, "point")[2:66])
}

func vectorBlind(t *testing.T, v *vectors.Vector) *p256.Blinding {
	t.Helper()
	return must(p256.Blind(scalarBytes(unhex(field(t, v, "blind"))), unhex(field(t, v, "input"))))
}

func vectorEvaluated(t *testing.T, v *vectors.Vector) {
	k := refDeriveKey(unhex(field(t, v, "seed")), unhex(field(t, v, "info")))
	is(t, "private key", scalar(k)[:], field(t, v, "private-key"))
	b := vectorBlind(t, v)
	blinded := b.Blinded()
	is(t, "blinded element", blinded[:], field(t, v, "blinded"))
	evaluated := must(p256.Evaluate(scalar(k), blinded))
	is(t, "evaluated element", evaluated[:], field(t, v, "evaluated"))
	output := must(b.Finalize(evaluated))
	is(t, "output", output[:], field(t, v, "output"))
	ref := refOutput(k, unhex(field(t, v, "input")))
	is(t, "second implementation", ref[:], field(t, v, "output"))
}

func coordinates(t *testing.T, v *vectors.Vector) (b [33]byte, x1, x2 *[32]byte, public [33]byte) {
	x1, x2 = (*[32]byte)(unhex(field(t, v, "x1"))), (*[32]byte)(unhex(field(t, v, "x2")))
	return point(field(t, v, "blinded")), x1, x2, point(field(t, v, "public-key"))
}

func vectorRecovered(t *testing.T, v *vectors.Vector) {
	b, x1, x2, public := coordinates(t, v)
	asked := must(p256.AddBase(b))
	is(t, "B + G", asked[:], field(t, v, "asked"))
	z := must(p256.Recover(b, x1, x2, public))
	is(t, "h·B", z[:], field(t, v, "evaluated"))
}

func vectorUnfitting(t *testing.T, v *vectors.Vector) {
	b, x1, x2, public := coordinates(t, v)
	if z, err := p256.Recover(b, x1, x2, public); !errors.Is(err, p256.ErrUnfitting) || z != [33]byte{} {
		t.Errorf("recovered %x, %v", z, err)
	}
}

// All that reads a point refuses the same.
func vectorRefused(t *testing.T, v *vectors.Vector) {
	bad, base := point(field(t, v, "point")), refEncode(refG)
	b := must(p256.Blind(&reader{}, nil))
	for name, read := range map[string]func() error{
		"Check":                 func() error { return p256.Check(bad) },
		"Evaluate":              func() error { _, err := p256.Evaluate(keyOf(2), bad); return err },
		"AddBase":               func() error { _, err := p256.AddBase(bad); return err },
		"Finalize":              func() error { _, err := b.Finalize(bad); return err },
		"Recover, the question": func() error { _, err := p256.Recover(bad, keyOf(1), keyOf(1), base); return err },
		"Recover, the key":      func() error { _, err := p256.Recover(base, keyOf(1), keyOf(1), bad); return err },
	} {
		if err := read(); !errors.Is(err, p256.ErrPoint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func vectorDishonest(t *testing.T, v *vectors.Vector) {
	out, err := vectorBlind(t, v).Finalize(point(field(t, v, "evaluated")))
	if !errors.Is(err, p256.ErrDishonest) || out != [32]byte{} {
		t.Errorf("Finalize = %x, %v", out, err)
	}
}

func vectorWeak(t *testing.T, v *vectors.Vector) {
	k := (*[32]byte)(unhex(field(t, v, "private-key")))
	if z, err := p256.Evaluate(k, refEncode(refG)); !errors.Is(err, p256.ErrScalar) || z != [33]byte{} {
		t.Errorf("Evaluate = %x, %v", z, err)
	}
	if z, err := p256.Public(k); !errors.Is(err, p256.ErrScalar) || z != [33]byte{} {
		t.Errorf("Public = %x, %v", z, err)
	}
}

// The arithmetic of both implementations on numbers at the edges of the field and in
// the exceptional case of the map, where Z²u⁴ + Zu² is 0: u is 0 or a root of -1/Z.
func TestMapAtTheEdges(t *testing.T) {
	root := new(big.Int).ModSqrt(over(big.NewInt(1), big.NewInt(10)), refP)
	edges := []*big.Int{root, minus(refP, root), minus(refP, big.NewInt(1)), minus(refP, big.NewInt(2)), new(big.Int).Rsh(refP, 1)}
	for i := range 20 {
		edges = append(edges, big.NewInt(int64(i)), new(big.Int).Lsh(big.NewInt(1), uint(12*i)))
	}
	for _, u := range edges {
		got, want := p256.MapToCurve(scalar(u)[:]), refMap(u)
		if y := new(big.Int).SetBytes(got[33:]); y.Cmp(want.y) != 0 || !bytes.Equal(got[1:33], scalar(want.x)[:]) {
			t.Errorf("u = %x: %x, want %x %x", u, got, want.x, want.y)
		}
	}
}

// TestAgainstReference: inputs of all kinds, keys at the edges, and each answer also
// through two x coordinates.
func TestAgainstReference(t *testing.T) {
	for i := range 12 {
		input := bytes.Repeat([]byte{byte(i)}, i*i*i)
		k := refDeriveKey(bytes.Repeat([]byte{byte(i)}, 32), []byte(strconv.Itoa(i)))
		switch i {
		case 0:
			k = big.NewInt(2)
		case 1:
			k = new(big.Int).Sub(refN, big.NewInt(2))
		}
		b := must(p256.Blind(&reader{seed: byte(i + 1)}, input))
		z := must(p256.Evaluate(scalar(k), b.Blinded()))
		if got, want := must(b.Finalize(z)), refOutput(k, input); got != want {
			t.Errorf("input %d: %x, want %x", i, got, want)
		}
		if got := byCoordinates(scalar(k), b.Blinded()); got != z {
			t.Errorf("input %d: %x by coordinates, want %x", i, got, z)
		}
	}
}

// byCoordinates asks a device that gives only x.
func byCoordinates(k *[32]byte, b [33]byte) [33]byte {
	z, sum := must(p256.Evaluate(k, b)), must(p256.Evaluate(k, must(p256.AddBase(b))))
	return must(p256.Recover(b, (*[32]byte)(z[1:]), (*[32]byte)(sum[1:]), must(p256.Public(k))))
}
