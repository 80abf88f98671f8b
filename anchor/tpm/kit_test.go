package tpm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

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

// with opens the device for as long as f runs.
func (b *box) with(f func(*tpm.Device)) {
	b.Helper()
	d := b.open()
	defer func() { check(b, d.Close()) }()
	f(d)
}

// refuses checks that the device is not opened, and why.
func (b *box) refuses(want error, text string) {
	b.Helper()
	d, err := tpm.Open(context.Background(), b.options)
	if err == nil {
		b.Errorf("opened at %d", counter(b, d))
		d.Close()
	} else if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		b.Errorf("got %v, want %v with %q", err, want, text)
	}
}

func state(n uint64) anchor.State { return anchor.State{Counter: n, Head: [32]byte{byte(n), 7}} }

func keyOf(b byte) *anchor.Key { return anchor.KeyFromBytes([32]byte(bytes.Repeat([]byte{b}, 32))) }

func counter(t testing.TB, d *tpm.Device) uint64 {
	t.Helper()
	s, k, err := d.Read(context.Background())
	check(t, err)
	k.Wipe()
	if s != state(s.Counter) {
		t.Errorf("at %d with the head of another", s.Counter)
	}
	return s.Counter
}

// at checks where the device stands, with which key, and that it goes on from there.
func (b *box) at(counter uint64, key byte) {
	b.Helper()
	b.with(func(d *tpm.Device) {
		s, k, err := d.Read(context.Background())
		check(b, err)
		if s != state(counter) || !k.Equal(keyOf(key)) {
			b.Errorf("at %d, want %d; right key: %v", s.Counter, counter, k.Equal(keyOf(key)))
		}
	})
}

// founded is prepared, at 3, with a key of a1s that was one of a0s before.
func founded(t testing.TB) *box {
	t.Helper()
	b := prepared(t)
	b.with(func(d *tpm.Device) {
		check(t, d.Found(context.Background(), state(1), keyOf(0xa0)))
		check(t, d.Rotate(context.Background(), state(2), keyOf(0xa1)))
		check(t, d.Advance(context.Background(), state(3)))
	})
	return b
}

// advance takes the steps up to n.
func (b *box) advance(n uint64) {
	b.Helper()
	b.with(func(d *tpm.Device) {
		for at := counter(b, d); at < n; at++ {
			check(b, d.Advance(context.Background(), state(at+1)))
		}
	})
}

// image is a copy of a folder.
func image(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	put(t, dir, to)
	return to
}

// put makes the folder to what from was.
func put(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.RemoveAll(to))
	check(t, os.MkdirAll(to, 0o700))
	for _, e := range must(os.ReadDir(from)) {
		if e.Type().IsRegular() {
			check(t, os.WriteFile(filepath.Join(to, e.Name()), must(os.ReadFile(filepath.Join(from, e.Name()))), 0o600))
		}
	}
}

// between is what is put between adapter and chip.
type between func(command []byte, chip transport.TPM) ([]byte, error)

type interposer struct {
	transport.TPM
	f between
}

// Send implements [transport.TPM].
func (i interposer) Send(command []byte) ([]byte, error) { return i.f(command, i.TPM) }

// interposed is the same machine with f between.
func (b *box) interposed(f between) *box {
	o := *b
	o.options = b.options.Wrapped(func(chip transport.TPM) transport.TPM { return interposer{chip, f} })
	return &o
}

func commandCode(command []byte) tpm2.TPMCC {
	return tpm2.TPMCC(binary.BigEndian.Uint32(command[6:]))
}
