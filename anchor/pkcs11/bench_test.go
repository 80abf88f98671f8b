//go:build cgo

package pkcs11_test

import (
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

func benchmarkStep(b *testing.B, step func(d anchor.Device, n uint64) error) {
	d := open(b, token(b))
	check(b, d.Found(b.Context(), state(1), keyOf(1)))
	n := uint64(1)
	for b.Loop() {
		n++
		check(b, step(d, n))
	}
}

func BenchmarkAdvance(b *testing.B) {
	benchmarkStep(b, func(d anchor.Device, n uint64) error { return d.Advance(b.Context(), state(n)) })
}

func BenchmarkRotate(b *testing.B) {
	benchmarkStep(b, func(d anchor.Device, n uint64) error { return d.Rotate(b.Context(), state(n), keyOf(byte(n))) })
}

func BenchmarkEvaluate(b *testing.B) {
	d := open(b, token(b))
	must(d.MakeFleetKey(b.Context(), store.Custodian()))
	k := must(d.FleetKey(b.Context()))
	question := must(p256.Public(&[32]byte{31: 7}))
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			must(k.Evaluate(b.Context(), question))
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				must(k.Evaluate(b.Context(), question))
			}
		})
	})
}
