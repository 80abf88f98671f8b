package tpm_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
)

func steps(b *testing.B, orderly bool, take func(*tpm.Device, uint64) error) {
	machine := newBox(b)
	machine.options.Orderly = orderly
	check(b, tpm.Prepare(context.Background(), machine.options, custodian))
	machine.with(func(d *tpm.Device) {
		check(b, d.Found(context.Background(), state(1), keyOf(1)))
		n := uint64(1)
		for b.Loop() {
			n++
			check(b, take(d, n))
		}
	})
}

func BenchmarkAdvance(b *testing.B) {
	steps(b, false, func(d *tpm.Device, n uint64) error { return d.Advance(context.Background(), state(n)) })
}

func BenchmarkAdvanceOrderly(b *testing.B) {
	steps(b, true, func(d *tpm.Device, n uint64) error { return d.Advance(context.Background(), state(n)) })
}

func BenchmarkRotate(b *testing.B) {
	steps(b, false, func(d *tpm.Device, n uint64) error { return d.Rotate(context.Background(), state(n), keyOf(1)) })
}

func BenchmarkEvaluate(b *testing.B) {
	prepared(b).with(func(d *tpm.Device) {
		must(d.MakeFleetKey(context.Background(), custodian))
		k := must(d.FleetKey(context.Background()))
		var blinded [anchor.PointSize]byte
		copy(blinded[1:], must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes()[1:])
		blinded[0] = 2
		for b.Loop() {
			must(k.Evaluate(context.Background(), blinded))
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	machine := founded(b)
	for b.Loop() {
		check(b, machine.open().Close())
	}
}
