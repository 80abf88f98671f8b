package p256_test

import (
	"testing"

	"keepsake.example/oprf/p256"
)

func BenchmarkBlind(b *testing.B) {
	for b.Loop() {
		must(p256.Blind(&reader{}, []byte("password")))
	}
}

func BenchmarkEvaluate(b *testing.B) {
	question := must(p256.Blind(&reader{}, []byte("password"))).Blinded()
	for b.Loop() {
		must(p256.Evaluate(keyOf(1234567), question))
	}
}

func BenchmarkFinalize(b *testing.B) {
	blinding := must(p256.Blind(&reader{}, []byte("password")))
	z := must(p256.Evaluate(keyOf(1234567), blinding.Blinded()))
	for b.Loop() {
		must(blinding.Finalize(z))
	}
}

func BenchmarkRecover(b *testing.B) {
	k, question := keyOf(1234567), must(p256.Blind(&reader{}, []byte("password"))).Blinded()
	z, sum := must(p256.Evaluate(k, question)), must(p256.Evaluate(k, must(p256.AddBase(question))))
	public := must(p256.Public(k))
	for b.Loop() {
		must(p256.AddBase(question))
		must(p256.Recover(question, (*[32]byte)(z[1:]), (*[32]byte)(sum[1:]), public))
	}
}
