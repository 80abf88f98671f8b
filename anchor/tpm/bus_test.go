package tpm_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"keepsake.example/anchor"
	"keepsake.example/anchor/tpm"
)

type transportTPM = transport.TPM

// recorder is a listener on the bus.
type recorder struct{ bytes.Buffer }

func (r *recorder) between(command []byte, chip transportTPM) ([]byte, error) {
	r.Write(command)
	response, err := chip.Send(command)
	r.Write(response)
	return response, err
}

// Everything that passes between processor and chip in the life of two machines holds
// none of their secrets.
func TestBusHasNoSecrets(t *testing.T) {
	ctx, heard := t.Context(), &recorder{}
	a, b := newBox(t).interposed(heard.between), newBox(t).interposed(heard.between)
	secrets := map[string][]byte{
		"custodian's": owner, "epoch key 1": bytes.Repeat([]byte{0xa0}, 32), "epoch key 2": bytes.Repeat([]byte{0xa1}, 32),
		"sealed": []byte("a sealed secret of the machine"),
	}
	for _, m := range []*box{a, b} {
		check(t, tpm.Prepare(ctx, m.options, custodian))
	}
	var request, wrapped []byte
	b.with(func(d *tpm.Device) {
		request = must(d.FleetKeyRequest(ctx))
		secrets["password of b"] = bytes.Clone(tpm.NewThief(d, nil).Auth())
	})
	a.with(func(d *tpm.Device) {
		secrets["password of a"] = bytes.Clone(tpm.NewThief(d, nil).Auth())
		check(t, d.Found(ctx, state(1), keyOf(0xa0)))
		check(t, d.Rotate(ctx, state(2), keyOf(0xa1)))
		check(t, d.Advance(ctx, state(3)))
		counter(t, d)
		must(d.Open(ctx, "label", must(d.Seal(ctx, "label", secrets["sealed"]))))
		other := must(ecdh.P256().GenerateKey(rand.Reader))
		secrets["agreed"] = must(must(d.Exchanger(ctx)).ECDH(other.PublicKey()))
		secrets["asked of the exchanger"] = other.PublicKey().Bytes()[1:33]
		must(d.MakeFleetKey(ctx, custodian))
		wrapped = must(d.WrapFleetKey(ctx, custodian, request))
	})
	b.with(func(d *tpm.Device) {
		must(d.InstallFleetKey(ctx, wrapped))
		k := must(d.FleetKey(ctx))
		blinded := [33]byte(must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes()[:33])
		blinded[0] = 2
		product := must(k.Evaluate(ctx, blinded))
		secrets["asked of the fleet key"], secrets["its answer"] = blinded[1:], product[1:]
	})
	for name, secret := range secrets {
		for n := 0; n+8 <= len(secret); n += 8 {
			if bytes.Contains(heard.Bytes(), secret[n:n+8]) {
				t.Errorf("%s passed the bus (bytes %d to %d)", name, n, n+8)
			}
		}
	}
	// What passes in the clear is there: the recorder hears.
	if !bytes.Contains(heard.Bytes(), request[11:]) {
		t.Error("not even the storage key's public half was heard")
	}
}

// Who is between and swallows an increment, answering with what he heard before, or
// with what he makes up, is found out, and the machine stops.
func TestSwallowedIncrement(t *testing.T) {
	b := founded(t)
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCNVIncrement, tpm2.TPMCCNVExtend} {
		var heard []byte
		swallow := false
		d := b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
			if commandCode(command) == code && swallow {
				return heard, nil
			}
			response, err := chip.Send(command)
			if commandCode(command) == code {
				heard = bytes.Clone(response)
			}
			return response, err
		}).open()
		n := counter(t, d)
		check(t, d.Advance(t.Context(), state(n+1)))
		swallow = true
		for range 2 {
			if err := d.Advance(t.Context(), state(n+2)); err == nil || !strings.Contains(err.Error(), "not authentic") {
				t.Errorf("%#x swallowed: %v", code, err)
			}
		}
		check(t, d.Close())
		// What had been extended is finished, what had not is not begun.
		want := n + 1
		if code == tpm2.TPMCCNVIncrement {
			want++
		}
		b.at(want, 0xa1)
	}
}

// A byte changed in any answer that a step or a start rests on is found out.
func TestChangedAnswer(t *testing.T) {
	b := founded(t)
	for _, code := range []tpm2.TPMCC{tpm2.TPMCCNVRead, tpm2.TPMCCNVIncrement, tpm2.TPMCCNVExtend, tpm2.TPMCCUnseal} {
		for at := range 70 {
			if at < 10 && at != 9 {
				continue // the header; byte 9 turns success into an error
			}
			changed := false
			d, err := tpm.Open(t.Context(), b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
				response, err := chip.Send(command)
				if commandCode(command) == code && !changed && at < len(response) {
					changed = true
					response = slices.Clone(response)
					response[at] ^= 1
				}
				return response, err
			}).options)
			if err == nil {
				var n uint64
				if n, err = countAndRead(d); err == nil {
					err = d.Advance(t.Context(), state(n+1))
				}
				check(t, d.Close())
			}
			if changed && err == nil {
				t.Errorf("command %#x: byte %d of the answer changed unseen", uint32(code), at)
			}
		}
	}
}

func countAndRead(d *tpm.Device) (uint64, error) {
	s, k, err := d.Read(context.Background())
	k.Wipe()
	return s.Counter, err
}

// A chip that asks to be asked again is asked again.
func TestChipThatIsBusy(t *testing.T) {
	b, asked := founded(t), 0
	d := b.interposed(func(command []byte, chip transportTPM) ([]byte, error) {
		if asked++; asked%3 != 0 {
			code := []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCNVRate}[asked%2]
			return []byte{0x80, 1, 0, 0, 0, 10, 0, 0, byte(code >> 8), byte(code)}, nil
		}
		return chip.Send(command)
	}).open()
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Close())
	b.at(4, 0xa1)
}

// A session that the chip has lost is made again.
func TestLostSession(t *testing.T) {
	b := founded(t)
	b.with(func(d *tpm.Device) {
		thief := tpm.NewThief(d, nil)
		must(d.MakeFleetKey(t.Context(), custodian))
		for n, f := range []func() error{
			func() error { return d.Advance(t.Context(), state(4)) },
			func() error { return d.Rotate(t.Context(), state(5), keyOf(9)) },
			func() error { _, k, err := d.Read(t.Context()); k.Wipe(); return err },
			func() error { evaluates(t, d); return nil },
			func() error { _, err := d.Seal(t.Context(), "label", nil); return err },
		} {
			check(t, thief.LoseSession())
			if err := f(); err != nil {
				t.Errorf("%d: %v", n, err)
			}
		}
	})
	b.at(5, 9)
}

// A fleet key that the chip has lost, because the machine slept, is loaded again.
func TestLostFleetKey(t *testing.T) {
	prepared(t).with(func(d *tpm.Device) {
		must(d.MakeFleetKey(t.Context(), custodian))
		evaluates(t, d)
		check(t, tpm.NewThief(d, nil).LoseFleetKey())
		evaluates(t, d)
	})
}

// Many at once: each step is taken once, and each evaluation is right.
func TestAtOnce(t *testing.T) {
	b := founded(t)
	b.with(func(d *tpm.Device) {
		must(d.MakeFleetKey(t.Context(), custodian))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { evaluates(t, d) })
			wg.Go(func() {
				if err := d.Advance(context.Background(), state(4)); err != nil && !errors.Is(err, anchor.ErrStale) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
	b.at(4, 0xa1)
}
