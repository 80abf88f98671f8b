package oprf_test

import (
	"errors"
	"math/bits"
	"strings"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/vectors"
)

// ask has the vaults of some shares answer one question.
func ask(t *testing.T, b *oprf.Blinding, shares ...oprf.Share) (parts []oprf.Part) {
	t.Helper()
	for _, s := range shares {
		answer, proof, err := s.Key.Evaluate(&reader{seed: byte(s.Index)}, b.Blinded())
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, oprf.Part{Index: s.Index, Public: s.Key.Public(), Answer: answer, Proof: proof})
	}
	return parts
}

// pick returns the shares whose bits are set.
func pick(shares []oprf.Share, set uint) (some []oprf.Share) {
	for i, s := range shares {
		if set>>i&1 == 1 {
			some = append(some, s)
		}
	}
	return some
}

// Every t of n vaults give the output of the whole key; fewer, taken for
// enough, give another.
func TestThreshold(t *testing.T) {
	k := keyOf(1)
	want := must(k.Output([]byte("password")))
	b := must(oprf.Blind(&reader{}, []byte("password")))
	for _, c := range []struct{ t, n int }{{1, 1}, {1, 3}, {2, 2}, {2, 3}, {3, 5}, {5, 5}} {
		shares := must(k.Split(&reader{seed: 7}, c.t, c.n))
		for set := range uint(1) << c.n {
			size := bits.OnesCount(set)
			if size == 0 || size > c.t {
				continue
			}
			out := must(b.FinalizeThreshold(size, ask(t, b, pick(shares, set)...)))
			if out.Equal(want) != (size == c.t) {
				t.Errorf("%d of %d: vaults %b: the right output: %v", c.t, c.n, set, out.Equal(want))
			}
		}
	}
}

func TestThresholdMost(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	shares := must(k.Split(&reader{}, oprf.MaxShares, oprf.MaxShares))
	out := must(b.FinalizeThreshold(oprf.MaxShares, ask(t, b, shares...)))
	if !out.Equal(must(k.Output(nil))) {
		t.Error("another output")
	}
}

// The order of the parts does not matter, whose index is whose does.
func TestThresholdOrder(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	want := must(k.Output(nil))
	parts := ask(t, b, must(k.Split(&reader{}, 2, 2))...)
	parts[0], parts[1] = parts[1], parts[0]
	if !must(b.FinalizeThreshold(2, parts)).Equal(want) {
		t.Error("another output in another order")
	}
	parts[0].Index, parts[1].Index = parts[1].Index, parts[0].Index
	if must(b.FinalizeThreshold(2, parts)).Equal(want) {
		t.Error("the same output with indices that changed places")
	}
}

// What is not t answers of t vaults is refused before it is looked at.
func TestThresholdParts(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	parts := ask(t, b, must(k.Split(&reader{}, 2, 3))...)
	at := func(index int) []oprf.Part { p := parts[0]; p.Index = index; return []oprf.Part{p, parts[1]} }
	for name, c := range map[string]struct {
		t     int
		parts []oprf.Part
		want  error
	}{
		"too few":        {2, parts[:1], oprf.ErrParts},
		"too many":       {2, parts, oprf.ErrParts},
		"none":           {2, nil, oprf.ErrParts},
		"twice the same": {2, []oprf.Part{parts[0], parts[0]}, oprf.ErrParts},
		"one index":      {2, at(2), oprf.ErrParts},
		"index 0":        {2, at(0), oprf.ErrParts}, // where the key itself lies
		"index -1":       {2, at(-1), oprf.ErrParts},
		"index 33":       {2, at(oprf.MaxShares + 1), oprf.ErrParts},
		"index 257":      {2, at(257), oprf.ErrParts}, // 1, if it were narrowed to 8 bits
		"threshold 0":    {0, nil, oprf.ErrThreshold},
		"threshold 33":   {oprf.MaxShares + 1, parts, oprf.ErrThreshold},
	} {
		if out, err := b.FinalizeThreshold(c.t, c.parts); out != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, out, err, c.want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	k := keyOf(1)
	for _, c := range []struct{ t, n int }{{0, 1}, {-1, 1}, {2, 1}, {0, 0}, {1, oprf.MaxShares + 1}} {
		if shares, err := k.Split(&reader{}, c.t, c.n); shares != nil || !errors.Is(err, oprf.ErrThreshold) {
			t.Errorf("%d of %d: %v, %v", c.t, c.n, shares, err)
		}
	}
	if shares, err := k.Split(brokenReader{}, 2, 2); shares != nil || !errors.Is(err, errReader) {
		t.Errorf("without randomness: %v, %v", shares, err)
	}
}

// A coefficient that makes a share 0 or 1 makes no shares at all: here 2 - x, which
// is 1 for the first vault.
func TestSplitWeakShare(t *testing.T) {
	k := must(oprf.ParsePrivateKey(append([]byte{2}, make([]byte, 31)...)))
	minusOne := order()
	minusOne[0]--
	if shares, err := k.Split(scalarBytes(minusOne), 2, 2); shares != nil || !errors.Is(err, oprf.ErrShare) {
		t.Errorf("Split = %v, %v", shares, err)
	}
}

// One vault that lies is found and named, whatever the others do.
func TestThresholdDishonest(t *testing.T) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, nil))
	shares := must(k.Split(&reader{}, 2, 3))
	honest := ask(t, b, shares[0], shares[1])
	question := b.Blinded().Bytes()
	for name, lie := range map[string]func(p *oprf.Part){
		"another key":     func(p *oprf.Part) { q := ask(t, b, shares[2])[0]; p.Answer, p.Proof = q.Answer, q.Proof },
		"another proof":   func(p *oprf.Part) { p.Proof = honest[0].Proof },
		"reflected":       func(p *oprf.Part) { p.Answer = must(oprf.ParseEvaluated(question[:])) },
		"another's share": func(p *oprf.Part) { p.Answer, p.Proof = honest[0].Answer, honest[0].Proof },
	} {
		parts := []oprf.Part{honest[0], honest[1]}
		lie(&parts[1])
		out, err := b.FinalizeThreshold(2, parts)
		if out != nil || !errors.Is(err, oprf.ErrDishonest) || !strings.Contains(err.Error(), "vault 2") {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

// Honest evaluations of shares that were made to combine to the keys 0 and 1:
// 2·(share 1) - (share 2).
func TestThresholdWeakSum(t *testing.T) {
	share := func(index int, key byte) oprf.Share {
		return oprf.Share{Index: index, Key: must(oprf.ParsePrivateKey(append([]byte{key}, make([]byte, 31)...)))}
	}
	b := must(oprf.Blind(&reader{}, nil))
	for name, shares := range map[string][]oprf.Share{"0": {share(1, 2), share(2, 4)}, "1": {share(1, 2), share(2, 3)}} {
		if out, err := b.FinalizeThreshold(2, ask(t, b, shares...)); out != nil || !errors.Is(err, oprf.ErrDishonest) {
			t.Errorf("key %s: %v, %v", name, out, err)
		}
	}
	if _, err := b.FinalizeThreshold(2, ask(t, b, share(1, 2), share(2, 2))); err != nil {
		t.Errorf("key 2: %v", err)
	}
}

// vectorCombined: shares that were computed by other means give the output of the whole key.
func vectorCombined(t *testing.T, v *vectors.Vector) {
	var shares []oprf.Share
	for i, s := range unhexList(field(t, v, "shares")) {
		shares = append(shares, oprf.Share{Index: i + 1, Key: must(oprf.ParsePrivateKey(s))})
	}
	threshold := int(unhex(field(t, v, "threshold"))[0])
	b := vectorBlind(t, v)[0]
	for set := range uint(1) << len(shares) {
		if bits.OnesCount(set) != threshold {
			continue
		}
		out := outputOf(must(b.FinalizeThreshold(threshold, ask(t, b, pick(shares, set)...))))
		if string(out[:]) != string(unhex(field(t, v, "output"))) {
			t.Errorf("vaults %b: output %x", set, out)
		}
	}
	// And Split makes these shares from these coefficients.
	k := must(oprf.ParsePrivateKey(unhex(field(t, v, "private-key"))))
	var random []byte
	for _, c := range unhexList(field(t, v, "coefficients")) {
		random = append(append(random, c...), make([]byte, 32)...)
	}
	for i, s := range must(k.Split(strings.NewReader(string(random)), threshold, len(shares))) {
		if !s.Key.Equal(shares[i].Key) || s.Index != i+1 {
			t.Errorf("share %d differs", i+1)
		}
	}
}
