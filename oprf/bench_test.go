package oprf_test

import (
	"testing"

	"github.com/gtank/ristretto255"

	"keepsake.example/oprf"
)

func BenchmarkBlind(b *testing.B) {
	for b.Loop() {
		must(oprf.Blind(&reader{}, []byte("password")))
	}
}

func BenchmarkEvaluate(b *testing.B) {
	k, question := keyOf(1), must(oprf.Blind(&reader{}, []byte("password"))).Blinded().Bytes()
	for b.Loop() {
		if _, _, err := k.Evaluate(&reader{}, must(oprf.ParseBlinded(question[:]))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvaluatePrimitives is the group operations an evaluation cannot do
// without: three multiplications by secrets, one of the base, one by the public
// weight, one decoding, five encodings.
func BenchmarkEvaluatePrimitives(b *testing.B) {
	s := ristretto255.NewScalar()
	random := make([]byte, 64)
	(&reader{seed: 1}).Read(random)
	must(s.SetUniformBytes(random))
	p := ristretto255.NewIdentityElement().ScalarBaseMult(s)
	enc := p.Bytes()
	for b.Loop() {
		q := must(ristretto255.NewIdentityElement().SetCanonicalBytes(enc))
		for range 3 {
			ristretto255.NewIdentityElement().ScalarMult(s, q)
		}
		ristretto255.NewIdentityElement().ScalarBaseMult(s)
		ristretto255.NewIdentityElement().VarTimeMultiScalarMult([]*ristretto255.Scalar{s}, []*ristretto255.Element{q})
		for range 5 {
			q.Bytes()
		}
	}
}

func BenchmarkFinalize(b *testing.B) {
	k, blinding := keyOf(1), must(oprf.Blind(&reader{}, []byte("password")))
	answer, proof, err := k.Evaluate(&reader{}, blinding.Blinded())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		must(blinding.Finalize(k.Public(), answer, proof))
	}
}
