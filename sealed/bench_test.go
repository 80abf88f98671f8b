package sealed_test

import (
	"crypto/hpke"
	"testing"

	"keepsake.example/sealed"
)

func BenchmarkSealRequest(b *testing.B) {
	p := keyOf(1).Public()
	for b.Loop() {
		if _, _, err := p.Seal([]byte("status")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenRequest(b *testing.B) {
	k := keyOf(1)
	request := begin(b, k, []byte("status")).request
	for b.Loop() {
		if _, _, err := k.Open(request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenPrimitive is crypto/hpke alone on a message of the same size.
func BenchmarkOpenPrimitive(b *testing.B) {
	k := must(hpke.MLKEM768X25519().GenerateKey())
	block := must(hpke.Seal(k.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, make([]byte, sealed.MaxRequest+2)))
	for b.Loop() {
		must(hpke.Open(k, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, block))
	}
}

func BenchmarkSealAnswer(b *testing.B) {
	x := begin(b, keyOf(1), nil)
	for b.Loop() {
		must(x.answerer.Seal([]byte("none")))
	}
}

func BenchmarkOpenAnswer(b *testing.B) {
	x := begin(b, keyOf(1), nil)
	answer := must(x.answerer.Seal([]byte("none")))
	for b.Loop() {
		must(x.pending.Open(answer))
	}
}
