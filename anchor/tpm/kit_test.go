package tpm_test

import (
	"context"
	"path/filepath"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/internal/mounttest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var custodian = must(anchor.NewSecret([]byte("custodian's own 32-byte password")))

// box is a machine with a chip.
type box struct {
	testing.TB
	chip    *swtpm.Chip
	memory  string // the chip's
	options tpm.Options
}

// newBox starts a chip that nobody prepared.
func newBox(t testing.TB) *box {
	t.Helper()
	if !swtpm.Installed() {
		mounttest.Missing(t, "swtpm is not installed")
	}
	b := &box{TB: t, memory: t.TempDir()}
	b.options.Dir = filepath.Join(t.TempDir(), "tpm")
	b.power()
	return b
}

// power starts the chip.
func (b *box) power() {
	b.Helper()
	chip, err := swtpm.Start(b.memory)
	check(b, err)
	b.chip, b.options.Path = chip, chip.Path()
	b.Cleanup(func() { check(b, chip.Kill()) })
}

// prepared is newBox, prepared.
func prepared(t testing.TB) *box {
	t.Helper()
	b := newBox(t)
	check(t, tpm.Prepare(context.Background(), b.options, custodian))
	return b
}

func (b *box) open() *tpm.Device {
	b.Helper()
	d, err := tpm.Open(context.Background(), b.options)
	check(b, err)
	return d
}
