//go:build cgo

package pkcs11_test

import (
	"errors"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/oprf/p256"
)

var errCut = errors.New("cut")

// A cutter ends a process's calls to the module after some of them, as its death would.
type cutter struct {
	armed bool
	after int // calls that are still done
	cut   bool
}

func (c *cutter) call(name string, do func() error) error {
	if !c.armed {
		return do()
	}
	if c.after == 0 {
		c.cut = true
		return errCut
	}
	c.after--
	return do()
}

// crash does f on a token, cut off after so many calls, and reports whether f was done before that.
func crash(t *testing.T, opts pkcs11.Options, after int, f func(anchor.Device) error) (done bool) {
	t.Helper()
	c := &cutter{after: after}
	opts.Tap(c.call, nil)
	d, err := pkcs11.Open(t.Context(), opts)
	check(t, err)
	c.armed = true
	err = f(d)
	if err != nil && !errors.Is(err, errCut) {
		t.Errorf("after %d calls: %v", after, err)
	}
	c.armed, c.after = true, 0
	check(t, d.Close())
	return err == nil
}

// After any call of a step the token is found at the old state or at the new one, at the
// new one if the step was done, and nothing is left over.
func TestCutInStep(t *testing.T) {
	opts := founded(t)
	n, key := uint64(3), byte(2)
	for name, step := range map[string]func(d anchor.Device) error{
		"Advance": func(d anchor.Device) error { return d.Advance(t.Context(), state(n+1)) },
		"Rotate":  func(d anchor.Device) error { return d.Rotate(t.Context(), state(n+1), keyOf(key+1)) },
	} {
		outcomes := map[uint64]int{}
		for after, done := 0, false; !done; after++ {
			done = crash(t, opts, after, step)
			got, k, err := counter(t.Context(), opts)
			if err != nil {
				t.Fatalf("%s cut after %d calls: %v", name, after, err)
			}
			if name == "Rotate" && got == n+1 {
				key++
			}
			if got != n && got != n+1 || done && got != n+1 || !k.Equal(keyOf(key)) {
				t.Fatalf("%s cut after %d calls: at %d, was at %d; right key: %v", name, after, got, n, k.Equal(keyOf(key)))
			}
			outcomes[got-n]++
			n = got
			attack(t, opts).tidy()
		}
		if outcomes[0] == 0 || outcomes[1] < 2 {
			t.Errorf("%s: the state before %d times, after %d times: it was not cut on both sides", name, outcomes[0], outcomes[1])
		}
	}
}

func TestCutInFound(t *testing.T) {
	opts := token(t)
	empty, done := 0, false
	for after := 0; !done; after++ {
		done = crash(t, opts, after, func(d anchor.Device) error { return d.Found(t.Context(), state(1), keyOf(1)) })
		n, k, err := counter(t.Context(), opts)
		switch {
		case errors.Is(err, anchor.ErrEmpty) && !done:
			empty++
		case err != nil || n != 1 || !k.Equal(keyOf(1)):
			t.Fatalf("cut after %d calls: at %d, %v", after, n, err)
		default:
			attack(t, opts).tidy()
			attack(t, opts).remove("keepsake state") // begin again, with the old key as a stray
		}
	}
	if empty == 0 {
		t.Error("never cut before it was founded")
	}
}

// Opening writes too: it may be cut anywhere, and the next one finds the state.
func TestCutInOpen(t *testing.T) {
	opts := founded(t)
	for after, done := 0, false; !done; after++ {
		c := &cutter{armed: true, after: after}
		cut := opts
		cut.Tap(c.call, nil)
		d, err := pkcs11.Open(t.Context(), cut)
		if done = err == nil; done {
			check(t, d.Close())
		} else if !errors.Is(err, errCut) {
			t.Fatalf("cut after %d calls: %v", after, err)
		}
		if n, k, err := counter(t.Context(), opts); n != 3 || !k.Equal(keyOf(2)) {
			t.Fatalf("cut after %d calls: at %d, %v", after, n, err)
		}
		attack(t, opts).tidy()
	}
}

// The machine's key is whole or not there: a later call gives one, and always the same.
func TestCutInExchanger(t *testing.T) {
	opts := token(t)
	for after, done := 0, false; !done; after++ {
		done = crash(t, opts, after, func(d anchor.Device) error { _, err := d.Exchanger(t.Context()); return err })
	}
	d := open(t, opts)
	first := must(d.Exchanger(t.Context()))
	check(t, d.Close())
	if again := must(open(t, opts).Exchanger(t.Context())); !again.PublicKey().Equal(first.PublicKey()) {
		t.Error("another key")
	}
}

func TestCutInMakeFleetKey(t *testing.T) {
	opts := token(t)
	whole := 0
	for after, done := 0, false; !done; after++ {
		done = crash(t, opts, after, func(d anchor.Device) error { _, err := d.MakeFleetKey(t.Context(), store.Custodian()); return err })
		if usable(t, opts) {
			whole++
			attack(t, opts).remove("keepsake fleet")
		} else if done {
			t.Error("done, but there is no key")
		}
	}
	if whole < 2 {
		t.Errorf("a whole key %d times: it was not cut after the key was made", whole)
	}
}

func TestCutInInstallFleetKey(t *testing.T) {
	opts := token(t)
	donor := open(t, token(t))
	must(donor.MakeFleetKey(t.Context(), store.Custodian()))
	var wrapped []byte
	request := func() {
		d := open(t, opts)
		var err error
		wrapped, err = donor.WrapFleetKey(t.Context(), store.Custodian(), must(d.FleetKeyRequest(t.Context())))
		check(t, err)
		check(t, d.Close())
	}
	request()
	whole := 0
	for after, done := 0, false; !done; after++ {
		done = crash(t, opts, after, func(d anchor.Device) error { _, err := d.InstallFleetKey(t.Context(), wrapped); return err })
		if usable(t, opts) {
			whole++
			attack(t, opts).remove("keepsake fleet")
			request() // the pair that the last one was for may be gone
		} else if done {
			t.Error("done, but there is no key")
		}
	}
	if whole < 2 {
		t.Errorf("a whole key %d times: it was not cut after the key was there", whole)
	}
}

// usable reports whether a token has a fleet key, which then is whole.
func usable(t *testing.T, opts pkcs11.Options) bool {
	t.Helper()
	d := open(t, opts)
	defer d.Close()
	k, err := d.FleetKey(t.Context())
	if errors.Is(err, anchor.ErrNoFleetKey) {
		return false
	}
	check(t, err)
	evaluates(t, k)
	return true
}

// evaluates checks h·B for B = 7·G.
func evaluates(t testing.TB, k anchor.FleetKey) {
	t.Helper()
	seven := [32]byte{31: 7}
	want := must(p256.Evaluate(&seven, k.Public()))
	got, err := k.Evaluate(t.Context(), must(p256.Public(&seven)))
	if err != nil || got != want {
		t.Errorf("h·B is %x (%v), want %x", got, err, want)
	}
}

// The same with a process that really ends: the module keeps nothing back in its memory that
// counts (what the kernel keeps back is a matter of a power cut: doc/hsm-pkcs11.md).
func TestKilled(t *testing.T) {
	opts := founded(t)
	n, key := uint64(3), byte(2)
	for after, done := 0, false; !done; after++ {
		_, done = spawn(t, "rotate", opts, after, int(n+1), int(key+1))
		got, k, err := counter(t.Context(), opts)
		if err != nil {
			t.Fatalf("killed after %d calls: %v", after, err)
		}
		if got == n+1 {
			n, key = n+1, key+1
		} else if done {
			t.Errorf("done, but at %d", got)
		}
		if got != n || !k.Equal(keyOf(key)) {
			t.Fatalf("killed after %d calls: at %d, want %d; right key: %v", after, got, n, k.Equal(keyOf(key)))
		}
		attack(t, opts).tidy()
	}
}
