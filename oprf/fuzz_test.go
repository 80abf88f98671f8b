package oprf_test

import (
	"bytes"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/vectors"
)

// fuzzDecoders: whatever a decoder accepts it encodes to the same bytes.
func fuzzDecoders(f *testing.F, kind string) {
	for _, v := range must(vectors.All("oprf")) {
		for _, name := range []string{"bytes", "public-key", "private-key", "blinded", "evaluated", "proof"} {
			if value, ok := v.Get(name); ok {
				f.Add(unhexList(value)[0])
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, parse := range decoders[kind] {
			if again, err := parse(data); err == nil && !bytes.Equal(again, data) {
				t.Errorf("%s: %x is encoded as %x", name, data, again)
			}
		}
	})
}

func FuzzElement(f *testing.F)    { fuzzDecoders(f, "element") }
func FuzzPrivateKey(f *testing.F) { fuzzDecoders(f, "private-key") }
func FuzzProof(f *testing.F)      { fuzzDecoders(f, "proof") }

// FuzzFinalize feeds any answer: only the right one gives an output, the right one.
func FuzzFinalize(f *testing.F) {
	k, b := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	answer, proof, err := k.Evaluate(&reader{}, b.Blinded())
	if err != nil {
		f.Fatal(err)
	}
	z, p, question := answer.Bytes(), proof.Bytes(), b.Blinded().Bytes()
	want := must(k.Output([]byte("password")))
	f.Add(z[:], p[:])
	f.Add(question[:], p[:])
	f.Fuzz(func(t *testing.T, evaluated, proof []byte) {
		e, err := oprf.ParseEvaluated(evaluated)
		if err != nil {
			return
		}
		pr, err := oprf.ParseProof(proof)
		if err != nil {
			return
		}
		out, err := b.Finalize(k.Public(), e, pr)
		if err == nil && (!bytes.Equal(evaluated, z[:]) || !out.Equal(want)) {
			t.Errorf("accepted %x with %x", evaluated, proof)
		}
	})
}
