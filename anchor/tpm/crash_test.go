package tpm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
)

var errCut = errors.New("cut")

// cutting lets n commands through, and then none any more: the process died. With
// after, the one at which it died reached the chip.
func cutting(n int, after bool, reached *bool) between {
	return func(command []byte, chip transport.TPM) ([]byte, error) {
		n--
		if n >= 0 {
			return chip.Send(command)
		}
		*reached = true
		if n == -1 && after {
			_, _ = chip.Send(command)
		}
		return nil, errCut
	}
}

// cuts runs f on a machine of its own until the process dies at each of its commands in
// turn, before and after the chip got it, until f ends without; then it calls check.
func cuts(t *testing.T, machine func() *box, f func(*box) error, check func(b *box, what string)) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			reached, b := false, machine()
			err := f(b.interposed(cutting(n, after, &reached)))
			// (Hanging up may fail unseen.)
			if err != nil && !errors.Is(err, errCut) {
				t.Fatalf("command %d, reached the chip %v: %v", n, after, err)
			}
			check(b, fmt.Sprintf("command %d, reached the chip %v", n, after))
			if !reached {
				break
			}
		}
	}
}

// one is the same machine each time, which the test moves on.
func one(b *box) func() *box { return func() *box { return b } }

func using(f func(*tpm.Device) error) func(*box) error {
	return func(b *box) error {
		d, err := tpm.Open(context.Background(), b.options)
		if err != nil {
			return err
		}
		err = f(d)
		if err != nil {
			// Who does not die of it must open again.
			if again := f(d); again == nil || errors.Is(again, anchor.ErrStale) {
				return fmt.Errorf("went on after %w", err)
			}
		}
		_ = d.Close()
		return err
	}
}

// Wherever the process dies, the machine is before the step or after it, with the key
// that belongs there, and goes on.
func TestDiesInAdvance(t *testing.T) { diesIn(t, false) }
func TestDiesInRotate(t *testing.T)  { diesIn(t, true) }

func diesIn(t *testing.T, rotate bool) {
	t.Run("plain", func(t *testing.T) { diesInOne(t, founded(t), rotate) })
	t.Run("orderly", func(t *testing.T) { diesInOne(t, orderly(t), rotate) })
}

func diesInOne(t *testing.T, b *box, rotate bool) {
	n, key := uint64(3), byte(0xa1)
	var old, kept int
	cuts(t, one(b), using(func(d *tpm.Device) error {
		if rotate {
			return d.Rotate(context.Background(), state(n+1), keyOf(key+1))
		}
		return d.Advance(context.Background(), state(n+1))
	}), func(b *box, what string) {
		b.with(func(d *tpm.Device) {
			switch got := counter(t, d); {
			case got == n+1:
				kept++
				n++
				if rotate {
					key++
				}
			case got == n:
				old++
			default:
				t.Fatalf("%s: at %d, was at %d", what, got, n)
			}
		})
		b.at(n, key)
		b.advance(n + 1)
		n++
	})
	if old == 0 || kept < 3 {
		t.Errorf("%d times before the step, %d times after: the test does not reach what it is for", old, kept)
	}
}

func TestDiesInFound(t *testing.T) {
	var old, kept int
	cuts(t, func() *box { return prepared(t) }, using(func(d *tpm.Device) error {
		return d.Found(context.Background(), state(1), keyOf(1))
	}), func(b *box, what string) {
		b.with(func(d *tpm.Device) {
			_, _, err := d.Read(context.Background())
			if errors.Is(err, anchor.ErrEmpty) {
				old++
				err = d.Found(context.Background(), state(1), keyOf(1))
			} else {
				kept++
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		})
		b.at(1, 1)
		b.advance(2)
		check(t, b.chip.Kill())
	})
	if old == 0 || kept < 3 {
		t.Errorf("%d times before the step, %d times after: the test does not reach what it is for", old, kept)
	}
}

// half leaves the machine between the two commands of a step.
func (b *box) half(n uint64) {
	b.Helper()
	armed := false
	d := b.interposed(func(command []byte, chip transport.TPM) ([]byte, error) {
		if armed && commandCode(command) == tpm2.TPMCCNVIncrement {
			return nil, errCut
		}
		return chip.Send(command)
	}).open()
	armed = true
	if err := d.Advance(context.Background(), state(n)); !errors.Is(err, errCut) {
		b.Fatalf("counted without the counter: %v", err)
	}
	check(b, d.Close())
}

// The process dies again while it finishes what the one before it left.
func TestDiesInOpen(t *testing.T) {
	for _, b := range []*box{founded(t), orderly(t)} {
		n := uint64(3)
		cuts(t, func() *box { n++; b.half(n); return b }, func(b *box) error {
			d, err := tpm.Open(context.Background(), b.options)
			if err != nil {
				return err
			}
			return d.Close()
		}, func(b *box, what string) { b.at(n, 0xa1) })
	}
}

// A Prepare that was interrupted is repeated.
func TestDiesInPrepare(t *testing.T) {
	cuts(t, func() *box { return newBox(t) }, func(b *box) error { return tpm.Prepare(context.Background(), b.options, custodian) }, func(b *box, what string) {
		b.options.Replace = true
		if err := tpm.Prepare(context.Background(), b.options, custodian); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b.with(func(d *tpm.Device) { check(t, d.Found(context.Background(), state(1), keyOf(1))) })
		check(t, b.chip.Kill())
	})
}

// A machine that dies while it makes or takes a fleet key has it or not.
func TestDiesInCustody(t *testing.T) {
	donor, newcomer := prepared(t), prepared(t)
	fresh := image(t, donor.options.Dir)
	var public [anchor.PointSize]byte
	cuts(t, func() *box { put(t, fresh, donor.options.Dir); return donor }, using(func(d *tpm.Device) error {
		_, err := d.MakeFleetKey(context.Background(), custodian)
		return err
	}), func(b *box, what string) {
		b.with(func(d *tpm.Device) {
			_, err := d.MakeFleetKey(context.Background(), custodian)
			if err != nil && !errors.Is(err, anchor.ErrHasFleetKey) {
				t.Fatalf("%s: %v", what, err)
			}
			public = evaluates(t, d)
		})
	})
	var request, wrapped []byte
	newcomer.with(func(d *tpm.Device) { request = must(d.FleetKeyRequest(context.Background())) })
	cuts(t, one(donor), using(func(d *tpm.Device) (err error) {
		_, err = d.WrapFleetKey(context.Background(), custodian, request)
		return err
	}), func(b *box, _ string) {
		b.with(func(d *tpm.Device) {
			evaluates(t, d)
			wrapped = must(d.WrapFleetKey(context.Background(), custodian, request))
			evaluates(t, d)
		})
	})
	fresh = image(t, newcomer.options.Dir)
	cuts(t, func() *box { put(t, fresh, newcomer.options.Dir); return newcomer }, using(func(d *tpm.Device) error {
		_, err := d.InstallFleetKey(context.Background(), wrapped)
		return err
	}), func(b *box, what string) {
		b.with(func(d *tpm.Device) {
			_, err := d.InstallFleetKey(context.Background(), wrapped)
			if err != nil && !errors.Is(err, anchor.ErrHasFleetKey) {
				t.Fatalf("%s: %v", what, err)
			}
			if evaluates(t, d) != public {
				t.Errorf("%s: another key", what)
			}
		})
	})
}

// A slot that was torn, of a step that the chip knows nothing of, is nothing.
func TestTornSlot(t *testing.T) {
	b := founded(t)
	path := filepath.Join(b.options.Dir, tpm.StateName)
	before := must(os.ReadFile(path))
	commands := 0
	count := func(command []byte, chip transport.TPM) ([]byte, error) { commands++; return chip.Send(command) }
	check(t, must(tpm.Open(context.Background(), b.interposed(count).options)).Close())
	reached := false
	// All commands of an Open but the last, which hangs up: the next is the step's first.
	check(t, func() error {
		err := using(func(d *tpm.Device) error { return d.Advance(context.Background(), state(4)) })(b.interposed(cutting(commands-1, false, &reached)))
		if !errors.Is(err, errCut) {
			return fmt.Errorf("not cut: %w", err)
		}
		return nil
	}())
	after := must(os.ReadFile(path))
	if bytes.Equal(before, after) {
		t.Fatal("the slot was not written before the chip was asked")
	}
	for at := range after {
		if before[at] == after[at] || at%16 != 0 {
			continue
		}
		check(t, os.WriteFile(path, append(bytes.Clone(after[:at]), before[at:]...), 0o600))
		b.with(func(d *tpm.Device) {
			if n := counter(t, d); n != 3 {
				t.Fatalf("torn at byte %d: at %d", at, n)
			}
		})
	}
	check(t, os.WriteFile(path, after, 0o600))
	b.at(3, 0xa1)
	b.advance(4)
}

// A power cut is nothing to a chip that counts in its flash memory.
func TestPowerCut(t *testing.T) {
	b := founded(t)
	for n := uint64(4); n < 8; n++ {
		b.advance(n)
		check(t, b.chip.Kill())
		b.power()
		b.at(n, 0xa1)
	}
}

// The power goes while the machine runs: it stops, and says that there is no chip.
func TestPowerCutAtWork(t *testing.T) {
	b := founded(t)
	d := b.open()
	check(t, b.chip.Kill())
	for range 2 {
		if err := d.Advance(context.Background(), state(4)); !errors.Is(err, anchor.ErrAbsent) {
			t.Errorf("got %v", err)
		}
	}
	_ = d.Close() // hanging up fails too
	b.power()
	b.at(3, 0xa1)
}

// orderly is founded, with the count in the chip's RAM.
func orderly(t *testing.T) *box {
	b := newBox(t)
	b.options.Orderly = true
	check(t, tpm.Prepare(context.Background(), b.options, custodian))
	b.with(func(d *tpm.Device) {
		check(t, d.Found(context.Background(), state(1), keyOf(0xa0)))
		check(t, d.Rotate(context.Background(), state(2), keyOf(0xa1)))
	})
	b.advance(3)
	return b
}

func TestOrderlyStop(t *testing.T) {
	b := orderly(t)
	for n := uint64(4); n < 7; n++ {
		b.advance(n)
		check(t, b.chip.Stop())
		b.power()
		b.at(n, 0xa1)
	}
}

// A power cut ends a machine that counts in RAM, and the text says what to do, which works.
func TestOrderlyPowerCut(t *testing.T) {
	b := orderly(t)
	check(t, b.chip.Kill())
	b.power()
	for range 2 {
		b.refuses(anchor.ErrForeign, "join as a new member")
	}
	b.options.Replace = true
	check(t, tpm.Prepare(context.Background(), b.options, custodian))
	b.with(func(d *tpm.Device) { check(t, d.Found(context.Background(), state(1), keyOf(1))) })
	b.at(1, 1)
}
