//go:build cgo

package pkcs11_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
)

// Rotate destroys the old epoch key: what it sealed does not open with anything that is on the token today.
func TestRotateDestroysTheOldKey(t *testing.T) {
	opts := founded(t)
	old := attack(t, opts).state()
	d := open(t, opts)
	check(t, d.Rotate(t.Context(), state(4), keyOf(3)))
	r := attackLoggedIn(t, opts)
	if keys := r.epochKeys(); len(keys) != 1 {
		t.Fatalf("%d epoch keys", len(keys))
	}
	now := r.state()
	if bytes.Equal(now[56:72], old[56:72]) {
		t.Error("the state is sealed under the same key")
	}
	keys := r.all(p11.CKO_SECRET_KEY)
	if len(keys) != 2 { // the epoch key and the seal key
		t.Errorf("%d secret keys", len(keys))
	}
	opened := 0
	for _, key := range keys {
		if _, err := r.unseal(key, old); err == nil {
			t.Error("the old state opens")
		}
		if _, err := r.unseal(key, now); err == nil {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("the state of today opens with %d keys: this test looks in the wrong place", opened)
	}
}

func (r *raw) all(class uint) []p11.ObjectHandle {
	r.Helper()
	check(r, r.FindObjectsInit(r.session, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class)}))
	handles, _, err := r.FindObjects(r.session, 100)
	check(r, err)
	check(r, r.FindObjectsFinal(r.session))
	return handles
}

// unseal opens a state with a key.
func (r *raw) unseal(key p11.ObjectHandle, value []byte) ([]byte, error) {
	p := p11.NewGCMParams(value[72:84], value[:72], 128)
	defer p.Free()
	if err := r.DecryptInit(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, p)}, key); err != nil {
		return nil, err
	}
	return r.Decrypt(r.session, value[84:])
}

// A state from before a Rotate, put back by somebody with the PIN, is refused: its key is gone.
func TestStateBeforeRotateIsRefused(t *testing.T) {
	opts := founded(t)
	old := attack(t, opts).state()
	d := open(t, opts)
	check(t, d.Rotate(t.Context(), state(4), keyOf(3)))
	check(t, d.Close())
	attack(t, opts).put(old)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrForeign)
}

// What PKCS#11 cannot see: whoever has the PIN puts a state of this epoch back. The disk of that day beside it
// passes. No token has a counter that would help (doc/hsm-pkcs11.md).
func TestWhoHasThePINPutsTheCountBackUnseen(t *testing.T) {
	opts := founded(t)
	old := attack(t, opts).state()
	d := open(t, opts)
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Advance(t.Context(), state(5)))
	check(t, d.Close())
	attack(t, opts).put(old)
	if n, _, err := counter(t.Context(), opts); n != 3 || err != nil {
		t.Errorf("at %d, %v: it is seen after all; say so in doc/hsm-pkcs11.md", n, err)
	}
}

// SoftHSM is files: its folder put back is a token of that day, with the keys that were destroyed since. A hardware token's
// memory is not a folder; nShield's is (doc/hsm-pkcs11.md).
func TestRestoredTokenDirectoryIsNotSeen(t *testing.T) {
	opts := founded(t)
	tokens := filepath.Join(filepath.Dir(store.CustodianFile()), "tokens")
	copied := filepath.Join(t.TempDir(), "copy")
	check(t, os.CopyFS(copied, os.DirFS(tokens)))
	d := open(t, opts)
	check(t, d.Rotate(t.Context(), state(4), keyOf(3)))
	check(t, d.Close())
	check(t, os.RemoveAll(tokens))
	check(t, os.CopyFS(tokens, os.DirFS(copied)))
	if n, k, err := counter(t.Context(), opts); n != 3 || !k.Equal(keyOf(2)) {
		t.Errorf("at %d, %v: it is seen after all; say so in doc/hsm-pkcs11.md", n, err)
	}
}

// A machine that was cloned with its SoftHSM tokens is two machines, neither of which sees the other.
func TestClonedTokenDirectoryIsNotSeen(t *testing.T) {
	opts := founded(t)
	home := filepath.Dir(store.CustodianFile())
	clone := filepath.Join(t.TempDir(), "clone")
	check(t, os.CopyFS(clone, os.DirFS(home)))
	d := open(t, opts)
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Close())
	other := must(softhsm.New(clone))
	check(t, os.Chmod(other.Options(opts.Token).PINFile, 0o600))
	n, _, err := counter(t.Context(), other.Options(opts.Token))
	if n != 3 || err != nil {
		t.Errorf("at %d, %v: it is seen after all; say so in doc/hsm-pkcs11.md", n, err)
	}
	store = must(softhsm.New(home))
}

// Two machines with one token, as when a machine was cloned and the token is on the network: the one that opened it
// last has it, and the other notices at its next step.
func TestTwoMachinesOnOneToken(t *testing.T) {
	opts := founded(t)
	clone := opts
	clone.PINFile = filepath.Join(t.TempDir(), "pin")
	check(t, os.WriteFile(clone.PINFile, must(os.ReadFile(opts.PINFile)), 0o600))
	first := open(t, opts)
	check(t, first.Advance(t.Context(), state(4)))
	second := open(t, clone)
	is(t, first.Advance(t.Context(), state(5)), anchor.ErrInUse)
	is(t, first.Rotate(t.Context(), state(5), keyOf(9)), anchor.ErrInUse)
	check(t, second.Advance(t.Context(), state(5)))
	check(t, second.Rotate(t.Context(), state(6), keyOf(3)))
	attackLoggedIn(t, opts).tidy()
	check(t, errors.Join(first.Close(), second.Close()))
	if n, k, err := counter(t.Context(), opts); n != 6 || !k.Equal(keyOf(3)) {
		t.Errorf("at %d, %v", n, err)
	}
}

// The other one opens the token between any two calls of a step. Either the step was done, and the other one has
// it, or it fails. Never is a step acknowledged that the other one does not know.
func TestOtherMachineOpensDuringStep(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		opts := founded(t)
		clone := opts
		clone.PINFile = filepath.Join(t.TempDir(), "pin")
		check(t, os.WriteFile(clone.PINFile, must(os.ReadFile(opts.PINFile)), 0o600))
		left := -1
		var second anchor.Device
		var opening error
		opts.Tap(func(name string, do func() error) error {
			if left == 0 {
				second, opening = pkcs11.Open(t.Context(), clone)
			}
			left--
			return do()
		}, nil)
		outcomes := map[uint64]int{}
		for after := 0; ; after++ {
			d := open(t, opts)
			before, _, err := d.Read(t.Context())
			check(t, err)
			next := state(before.Counter + 1)
			left, second = after, nil
			if rotate {
				err = d.Rotate(t.Context(), next, keyOf(byte(next.Counter)))
			} else {
				err = d.Advance(t.Context(), next)
			}
			reached := left < 0
			left = -1
			check(t, d.Close())
			if !reached {
				break
			}
			check(t, opening)
			seen, _, reading := second.Read(t.Context())
			check(t, errors.Join(reading, second.Close()))
			outcomes[next.Counter-seen.Counter]++
			if err == nil && seen != next || err != nil && !errors.Is(err, anchor.ErrInUse) && !rotate {
				t.Errorf("opened before call %d: the step says %v, the other one is at %d, want %d", after, err, seen.Counter, next.Counter)
			}
			if now, _, err := counter(t.Context(), opts); now != seen.Counter || err != nil {
				t.Errorf("opened before call %d: at %d after the other one was at %d: %v", after, now, seen.Counter, err)
			}
			attack(t, opts).tidy()
		}
		if outcomes[0] == 0 || outcomes[1] == 0 {
			t.Errorf("the other one saw the step %d times, and not %d times: it was not opened on both sides", outcomes[0], outcomes[1])
		}
	}
}

// And the other way round: the first takes a step between any two calls of the other one's opening.
func TestStepDuringOtherMachinesOpening(t *testing.T) {
	opts := founded(t)
	clone := opts
	clone.PINFile = filepath.Join(t.TempDir(), "pin")
	check(t, os.WriteFile(clone.PINFile, must(os.ReadFile(opts.PINFile)), 0o600))
	left := -1
	var step func()
	clone.Tap(func(name string, do func() error) error {
		if left == 0 {
			left--
			step()
		}
		left--
		return do()
	}, nil)
	outcomes := map[bool]int{}
	for after := 0; ; after++ {
		first := open(t, opts)
		before, _, err := first.Read(t.Context())
		check(t, err)
		next := state(before.Counter + 1)
		var stepping error
		stepped := false
		step = func() {
			stepped = true
			if after%2 == 0 {
				stepping = first.Advance(t.Context(), next)
			} else {
				stepping = first.Rotate(t.Context(), next, keyOf(byte(next.Counter)))
			}
		}
		left = after
		second, err := pkcs11.Open(t.Context(), clone)
		left = -1
		if !stepped {
			check(t, errors.Join(err, first.Close(), second.Close()))
			break
		}
		outcomes[stepping == nil]++
		opened, seen := err == nil, before
		if opened {
			seen, _, err = second.Read(t.Context())
			check(t, errors.Join(err, second.Close()))
		}
		check(t, first.Close())
		now, _, err := counter(t.Context(), opts)
		check(t, err)
		if stepping == nil && now != next.Counter || stepping != nil && !errors.Is(stepping, anchor.ErrInUse) {
			t.Errorf("stepped before call %d: the step says %v; at %d, then at %d, want %d", after, stepping, seen.Counter, now, next.Counter)
		}
		if opened && stepping == nil && seen != next {
			t.Errorf("stepped before call %d: the step was acknowledged, and the other one does not know it", after)
		}
		attack(t, opts).tidy()
	}
	if outcomes[true] == 0 || outcomes[false] == 0 {
		t.Errorf("the step was done %d times, refused %d times: not taken on both sides", outcomes[true], outcomes[false])
	}
}

// On one machine the PIN file is the lock.
func TestSecondProcess(t *testing.T) {
	opts := founded(t)
	d := open(t, opts)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrInUse)
	if said, _ := spawn(t, "open", opts, 0, 0, 0); said != "in use" {
		t.Errorf("another process: %q", said)
	}
	// One with a PIN file of its own is another machine to it.
	clone := opts
	clone.PINFile = filepath.Join(t.TempDir(), "pin")
	check(t, os.WriteFile(clone.PINFile, must(os.ReadFile(opts.PINFile)), 0o600))
	if said, done := spawn(t, "open", clone, 0, 0, 0); said != "" || !done {
		t.Errorf("another process with its own PIN file: %q", said)
	}
	is(t, d.Advance(t.Context(), state(4)), anchor.ErrInUse)
}

// A state in which anything was changed, cut or added is refused, and not taken for an empty token.
func TestMangle(t *testing.T) {
	opts := founded(t)
	r := attack(t, opts)
	whole := r.state()
	if len(whole) != pkcs11.StateSize {
		t.Fatalf("a state of %d bytes", len(whole))
	}
	refused := func(what string, at int, value []byte) {
		t.Helper()
		r.put(value)
		_, err := pkcs11.Open(t.Context(), opts)
		if !errors.Is(err, anchor.ErrForeign) {
			t.Fatalf("%s at byte %d: %v", what, at, err)
		}
	}
	for at := range whole {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		refused("changed", at, bad)
		if at%4 == 1 {
			refused("cut", at, whole[:at])
		}
	}
	refused("continued", len(whole), append(bytes.Clone(whole), 0))
	r.put(whole)
	if n, _, err := counter(t.Context(), opts); n != 3 || err != nil {
		t.Errorf("as it was: %d, %v", n, err)
	}
}

// Older states and epoch keys that a crash left, and states that are none, are swept when the token is opened.
func TestStraysAreSwept(t *testing.T) {
	opts := founded(t)
	r := attack(t, opts)
	older := r.state()
	d := open(t, opts)
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Close())
	r = attack(t, opts)
	r.add(older)
	r.add([]byte("no state"))
	id := bytes.Repeat([]byte{7}, 16)
	must(r.GenerateKey(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, "keepsake epoch"), p11.NewAttribute(p11.CKA_ID, id), p11.NewAttribute(p11.CKA_VALUE_LEN, 32),
	}))
	if n, _, err := counter(t.Context(), opts); n != 4 || err != nil {
		t.Fatalf("at %d, %v", n, err)
	}
	attack(t, opts).tidy()
}

// A newest state whose key is gone is not passed over for an older one: that would be a rollback.
func TestOlderStateIsNotFallenBackTo(t *testing.T) {
	opts := founded(t)
	older := attack(t, opts).state()
	d := open(t, opts)
	check(t, d.Advance(t.Context(), state(4)))
	check(t, d.Close())
	r := attack(t, opts)
	newest := bytes.Clone(r.state())
	newest[56] ^= 1 // the id of its key
	r.put(newest)
	r.add(older)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrForeign)
}

func TestTwoFoundingsAreRefused(t *testing.T) {
	opts := founded(t)
	other := founded(t)
	r := attack(t, opts)
	value := bytes.Clone(r.state())
	value[24] ^= 1 // another head, of the same count
	r.add(value)
	_, err := pkcs11.Open(t.Context(), opts)
	is(t, err, anchor.ErrForeign)
	if n, _, err := counter(t.Context(), other); n != 3 || err != nil {
		t.Errorf("the other token: %d, %v", n, err)
	}
}
