package oprf_test

import (
	"bytes"
	"errors"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/vectors"
)

// layers are the errors by the names of spec/vault-protocol.md §4.
var layers = map[string]error{
	"length": oprf.ErrLength, "element": oprf.ErrElement, "identity": oprf.ErrIdentity,
	"scalar": oprf.ErrScalar, "weak-key": oprf.ErrWeakKey,
}

// TestVectors runs vectors/oprf, whose names are listed in spec/vault-protocol.md §5.
func TestVectors(t *testing.T) {
	all := must(vectors.All("oprf"))
	run := map[string]func(*testing.T, *vectors.Vector){
		"evaluated": vectorEvaluated, "refused": vectorRefused, "dishonest": vectorDishonest, "combined": vectorCombined,
	}
	ran := map[string]int{}
	for _, v := range all {
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

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func vectorBlind(t *testing.T, v *vectors.Vector) (all []*oprf.Blinding) {
	t.Helper()
	blinds := unhexList(field(t, v, "blind"))
	for i, input := range unhexList(field(t, v, "input")) {
		all = append(all, must(oprf.Blind(scalarBytes(blinds[i]), input)))
	}
	return all
}

func vectorAnswers(t *testing.T, v *vectors.Vector) (all []*oprf.Evaluated) {
	t.Helper()
	for _, b := range unhexList(field(t, v, "evaluated")) {
		all = append(all, must(oprf.ParseEvaluated(b)))
	}
	return all
}

func vectorEvaluated(t *testing.T, v *vectors.Vector) {
	is := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s\n     %x\nwant %x", what, got, want)
		}
	}
	k := must(oprf.DeriveKey((*[32]byte)(unhex(field(t, v, "seed"))), unhex(field(t, v, "info"))))
	enc, public := encodingOf(k), k.Public().Bytes()
	is("private key", enc[:], unhex(field(t, v, "private-key")))
	is("public key", public[:], unhex(field(t, v, "public-key")))

	blindings := vectorBlind(t, v)
	var questions []*oprf.Blinded
	for i, want := range unhexList(field(t, v, "blinded")) {
		b := blindings[i].Blinded().Bytes()
		is("blinded element", b[:], want)
		questions = append(questions, must(oprf.ParseBlinded(b[:])))
	}
	answers, proof, err := k.TestingOnlyEvaluate(unhex(field(t, v, "proof-nonce")), questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range unhexList(field(t, v, "evaluated")) {
		b := answers[i].Bytes()
		is("evaluated element", b[:], want)
	}
	proofBytes := proof.Bytes()
	is("proof", proofBytes[:], unhex(field(t, v, "proof")))

	outputs, err := oprf.FinalizeBatch(blindings, k.Public(), vectorAnswers(t, v), must(oprf.ParseProof(proofBytes[:])))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range unhexList(field(t, v, "output")) {
		b := outputOf(outputs[i])
		is("output", b[:], want)
		alone := outputOf(must(k.Output(unhexList(field(t, v, "input"))[i])))
		is("output without a message", alone[:], want)
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector) {
	layer := field(t, v, "layer")
	if layer == "canonical" {
		layer = map[string]string{"element": "element", "private-key": "scalar", "proof": "scalar"}[field(t, v, "type")]
	}
	want := layers[layer]
	if want == nil {
		t.Fatalf("unknown layer %q", layer)
	}
	for name, parse := range decoders[field(t, v, "type")] {
		if _, err := parse(unhex(field(t, v, "bytes"))); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

func vectorDishonest(t *testing.T, v *vectors.Vector) {
	public := must(oprf.ParsePublicKey(unhex(field(t, v, "public-key"))))
	proof := must(oprf.ParseProof(unhex(field(t, v, "proof"))))
	out, err := oprf.FinalizeBatch(vectorBlind(t, v), public, vectorAnswers(t, v), proof)
	if out != nil || !errors.Is(err, oprf.ErrDishonest) {
		t.Fatalf("Finalize = %v, %v, want ErrDishonest", out, err)
	}
	want := map[string]string{
		"reflected": "oprf: the answer is the question: the vault's answer is not honest",
		"proof":     "oprf: the proof does not hold: the vault's answer is not honest",
	}[field(t, v, "layer")]
	if err.Error() != want {
		t.Errorf("error\n     %v\nwant %s", err, want)
	}
}

// decoders are the decoders of one sort of thing; what each accepts is encoded again.
var decoders = map[string]map[string]func([]byte) ([]byte, error){
	"element": {
		"Blinded":   decoder(oprf.ParseBlinded, func(v *oprf.Blinded) []byte { b := v.Bytes(); return b[:] }),
		"Evaluated": decoder(oprf.ParseEvaluated, func(v *oprf.Evaluated) []byte { b := v.Bytes(); return b[:] }),
		"PublicKey": decoder(oprf.ParsePublicKey, func(v *oprf.PublicKey) []byte { b := v.Bytes(); return b[:] }),
	},
	"public-key": {
		"PublicKey": decoder(oprf.ParsePublicKey, func(v *oprf.PublicKey) []byte { b := v.Bytes(); return b[:] }),
	},
	"private-key": {
		"PrivateKey": decoder(oprf.ParsePrivateKey, func(v *oprf.PrivateKey) []byte { b := encodingOf(v); return b[:] }),
	},
	"proof": {
		"Proof": decoder(oprf.ParseProof, func(v *oprf.Proof) []byte { b := v.Bytes(); return b[:] }),
	},
}

func decoder[T any](parse func([]byte) (*T, error), encode func(*T) []byte) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			if v != nil {
				panic("a value beside an error")
			}
			return nil, err
		}
		return encode(v), nil
	}
}
