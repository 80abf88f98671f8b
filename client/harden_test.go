package client_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"keepsake.example/client"
	"keepsake.example/oprf/p256"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// newHardened is a person whose fleet has a key in its hardware.
func newHardened(t *testing.T) *person {
	t.Helper()
	p := newPerson(t)
	p.server.Harden(hardware(1))
	return p
}

// fleets are those that a person may meet: without a key in its hardware, and with one.
var fleets = map[string]func(*testing.T) *person{"plain": newPerson, "hardened": newHardened}

func hardware(b byte) *[32]byte { return &[32]byte{1: b, 31: 7} }

func TestHardenedFleet(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	if n := p.server.Asked(vaultapi.Harden); n != 2 {
		t.Errorf("%d Hardens for one password", n)
	}
	phone := p.onPhone("new")
	if _, err := phone.recover(other); left(err) != 9 {
		t.Fatalf("a wrong password: %v", err)
	}
	r, err := phone.recover(right)
	if err != nil || r.Unproved != nil || len(r.Past) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if p.server.Asked(vaultapi.Attempt) != 0 || p.server.Asked(vaultapi.HardenedAttempt) != 2 || p.server.Asked(vaultapi.Harden) != 2 {
		t.Error("an attempt without the hardware, or a Harden for a recovery")
	}
	if s := phone.status(); s.Left != 10 || !s.Hardened || len(s.State.FleetKey) != 66 {
		t.Errorf("%+v", s)
	}
	if !p.restores(right) || p.restores(other) {
		t.Error("not what the password opens")
	}
}

func TestHardenedChangeOfPassword(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	done, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
	if err != nil || !done.Hardened {
		t.Fatalf("%+v, %v", done, err)
	}
	if p.restores(right) || !p.restores(other) {
		t.Error("not the new password's")
	}
}

var errBusy = errors.New("busy")

// A device that is busy, or gone for a while: the same bytes again, at no cost.
func TestHardwareBusyCostsNothing(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	phone := p.onPhone("new")
	var seen [][33]byte
	p.server.Device = func(h *[32]byte, b [33]byte) ([33]byte, error) {
		if seen = append(seen, b); len(seen) < 4 {
			return b, errBusy
		}
		return p256.Evaluate(h, b)
	}
	r, err := phone.recover(right)
	if err != nil || len(r.Past) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n := p.server.Asked(vaultapi.HardenedAttempt); n != 4 || len(slices.Compact(seen)) != 1 {
		t.Errorf("asked %d times for %d questions", n, len(slices.Compact(seen)))
	}
	if s := p.status(); s.Left != 10 {
		t.Errorf("%d left", s.Left)
	}
}

// For as long as it is gone nothing more is counted, whatever is tried, and it is not
// called a wrong password. When it is back, the same password is the same attempt.
func TestHardwareGoneCostsOneAttemptAtMost(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	phone := p.onPhone("new")
	p.server.Device = func(*[32]byte, [33]byte) ([33]byte, error) { return [33]byte{}, errBusy }
	for range 3 {
		_, err := phone.recover(right)
		wants(t, err, client.ErrNotCounted)
		if errors.Is(err, client.ErrWrongPassword) {
			t.Fatal(err)
		}
	}
	if s := p.status(); s.Left != 9 {
		t.Errorf("%d left after one attempt that was repeated", s.Left)
	}
	_, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
	wants(t, err, client.ErrNotCounted)
	p.server.Device = nil
	if r, err := phone.recover(right); err != nil || len(r.Past) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if s := p.status(); s.Left != 10 {
		t.Errorf("%d left after the proof", s.Left)
	}
}

// A vault that answers with a key of its own, or a broken device, is found out before
// a record is proposed that would open for nobody, or by guessing offline.
func TestHardenWithAnotherKeyIsFoundOut(t *testing.T) {
	for name, device := range map[string]func(h *[32]byte, b [33]byte) ([33]byte, error){
		"another key": func(_ *[32]byte, b [33]byte) ([33]byte, error) { return p256.Evaluate(hardware(2), b) },
		"reflected":   func(_ *[32]byte, b [33]byte) ([33]byte, error) { return b, nil },
		"no point":    func(*[32]byte, [33]byte) ([33]byte, error) { return [33]byte{}, nil },
	} {
		p := newHardened(t)
		p.server.Device = device
		_, err := p.tryEnable(right)
		wants(t, err, password.ErrDishonest)
		if n := p.server.Asked(vaultapi.Propose); n != 0 {
			t.Errorf("%s: a record was proposed", name)
		}
	}
}

// What is no answer is a lie, and no wrong password.
func TestHardenedLies(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	p.server.Device = func(*[32]byte, [33]byte) ([33]byte, error) { return [33]byte{4}, nil }
	_, err := p.recover(right)
	wants(t, err, password.ErrDishonest)
	if n := p.server.Asked(vaultapi.HardenedAttempt); n != 1 || errors.Is(err, client.ErrWrongPassword) {
		t.Errorf("asked %d times: %v", n, err)
	}
	p.server.Device = nil
	if r, err := p.recover(right); err != nil || len(r.Past) != 0 {
		t.Errorf("the same attempt, answered as it should be: %+v, %v", r, err)
	}
}

// A bundle that has lost its key, or has another: a device that has seen it says so
// before it asks anything, and a new one says so after its attempt. Neither calls it a
// wrong password, nor puts a key behind less than before.
func TestFleetKeyLostOrChanged(t *testing.T) {
	for name, h := range map[string]*[32]byte{"lost": nil, "changed": hardware(2)} {
		t.Run(name, func(t *testing.T) {
			p := newHardened(t)
			p.enable(right)
			p.server.Harden(h)
			before := p.server.Asked(vaultapi.Status)
			_, err := p.recover(right)
			wants(t, err, client.ErrFleetKey)
			_, err = p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
			wants(t, err, client.ErrFleetKey)
			if errors.Is(err, password.ErrDishonest) || p.server.Asked(vaultapi.HardenedAttempt)+p.server.Asked(vaultapi.Attempt) != 0 || p.server.Asked(vaultapi.Status) != before {
				t.Errorf("asked all the same: %v", err)
			}
			phone := p.onPhone("new")
			for range 3 { // the same attempt each time
				_, err = phone.recover(right)
				wants(t, err, client.ErrFleetKey)
				if errors.Is(err, client.ErrWrongPassword) || errors.Is(err, password.ErrDishonest) {
					t.Fatal(err)
				}
			}
			p.server.Harden(hardware(1)) // and it is there again
			if s := p.status(); s.Left != 9 {
				t.Errorf("%d left", s.Left)
			}
			if r, err := p.onPhone("newer").recover(right); err != nil || len(r.Past) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// A record from before the fleet had a key opens with one attempt, and the next
// password is of suite 2.
func TestRecordFromBeforeTheFleetKey(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.server.Harden(hardware(1))
	if r, err := p.recover(right); err != nil || len(r.Past) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.server.Asked(vaultapi.Harden) != 2 || !p.restores(other) {
		t.Error("not of suite 2")
	}
}

// A vault that does not know the requests is another version, and no lie.
func TestHardenUnsupported(t *testing.T) {
	p := newHardened(t)
	p.server.Lie = func(to vaultapi.Type, a *vaultapi.Answer) {
		if to == vaultapi.Harden {
			a.Code, a.Body = vaultapi.Unsupported, nil
		}
	}
	_, err := p.tryEnable(right)
	wants(t, err, password.ErrUnsupported)
}

// A fleet without a key sees the requests that it always saw, and vault.json has not
// a byte more. (The bytes of requests and records are in the vectors of suite 1.)
func TestWithoutFleetKeyNothingIsAdded(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	if _, err := p.onPhone("new").recover(right); err != nil {
		t.Fatal(err)
	}
	if p.server.Asked(vaultapi.Harden)+p.server.Asked(vaultapi.HardenedAttempt) != 0 || p.server.Asked(vaultapi.Attempt) != 1 {
		t.Error("requests of suite 2")
	}
	data, err := os.ReadFile(filepath.Join(p.profile, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil || all["fleet_key"] != nil || len(all) == 0 {
		t.Errorf("%s, %v", data, err)
	}
	if s := p.status(); s.Hardened {
		t.Error("said to be hardened")
	}
}

// A relay that counts requests does not see how an attempt ended.
func TestHardenedAttemptsLookAlike(t *testing.T) {
	p := newHardened(t)
	p.enable(right)
	phone := p.onPhone("new")
	if _, err := phone.recover(right); err != nil { // logs in
		t.Fatal(err)
	}
	asked := func(text string) (n int) {
		for kind := vaultapi.Propose; kind <= vaultapi.LastType; kind++ {
			n -= p.server.Asked(kind)
		}
		if _, err := phone.recover(text); (err == nil) != (text == right) {
			t.Fatal(err)
		}
		for kind := vaultapi.Propose; kind <= vaultapi.LastType; kind++ {
			n += p.server.Asked(kind)
		}
		return n
	}
	if good, bad := asked(right), asked(other); good != bad {
		t.Errorf("%d requests for a wrong password, %d for the right one", bad, good)
	}
}
