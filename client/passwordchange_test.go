package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/key"
	"keepsake.example/vaultapi"
)

// Every step at which setting a password can be cut off leaves the old password or
// the new one good, and the next command knows which.
func TestCrashInChange(t *testing.T) {
	for _, step := range []string{"announced", "proposed", "confirmed"} {
		t.Run(step, func(t *testing.T) {
			p := newPerson(t)
			p.enable(right)
			p.crash = step
			_, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
			wants(t, err, errCrash)
			p.crash = ""
			again, err := p.device().CheckPassword(typed(other))
			if err != nil || !again.Right || !again.Unsettled {
				t.Errorf("the new password in between: %+v, %v", again, err)
			}
			if r := p.status(); !r.Live || !r.Mine {
				t.Errorf("%+v", r)
			}
			holds, fails := right, other
			if step == "confirmed" {
				holds, fails = other, right
			}
			if r, err := p.device().CheckPassword(typed(holds)); err != nil || !r.Right || r.Unsettled != (step == "proposed") {
				t.Errorf("the device is not sure of %q: %+v, %v", holds, r, err)
			}
			if p.restores(fails) || !p.restores(holds) {
				t.Errorf("not %q opens the backup", holds)
			}
		})
	}
}

// The last answer of a change is lost: it is not known, and said so, until the next
// command.
func TestUnsettledChange(t *testing.T) {
	for name, fault := range map[string]clienttest.Fault{"never arrived": clienttest.Lost, "answer lost": clienttest.Unanswered} {
		p := newPerson(t)
		p.enable(right)
		p.server.Fault = faultOn(vaultapi.Confirm, fault)
		_, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
		wants(t, err, client.ErrUnsettled)
		p.server.Fault = nil
		p.status()
		if want := map[string]string{"never arrived": right, "answer lost": other}[name]; !p.restores(want) {
			t.Errorf("%s: %q does not open the backup", name, want)
		}
	}
}

func TestChangePassword(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	done, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{})
	if err != nil || done.Limit != 10 {
		t.Fatalf("%+v, %v", done, err)
	}
	if p.restores(right) || !p.restores(other) {
		t.Error("not the new password opens the backup")
	}
}

// What another device put there is not replaced without its word or the cool-down.
func TestTakeOverWaits(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	phone.cloud += "2"
	_, err := phone.tryEnable(other)
	wants(t, err, client.ErrForeignRecord)
	if p.server.Asked(vaultapi.Propose) != 1 {
		t.Error("a change was begun")
	}
	c := phone.ownBackup()
	_, err = c.SetPassword(ctx, phone.access(), typed(other), client.ProtectOptions{})
	wants(t, err, client.ErrForeignRecord)
	_, err = c.SetPassword(ctx, phone.access(), typed(other), client.ProtectOptions{TakeOver: true})
	wait, ok := errors.AsType[*client.ChangeWaitsError](err)
	if !ok || time.Until(wait.Until) < 6*24*time.Hour {
		t.Fatal(err)
	}
	if r := p.status(); r.Change != "replacement" || r.ChangeMine {
		t.Errorf("the owner is told %+v", r)
	}
	_, err = c.SetPassword(ctx, phone.access(), typed(other), client.ProtectOptions{TakeOver: true})
	wants(t, err, client.ErrChangeWaits)
	p.server.Advance(7*24*time.Hour + time.Minute)
	if _, err := c.SetPassword(ctx, phone.access(), typed(other), client.ProtectOptions{TakeOver: true}); err != nil {
		t.Fatal(err)
	}
	if n := p.server.Asked(vaultapi.Propose); n != 2 {
		t.Errorf("proposed %d times: the wait began anew", n)
	}
}

func TestCancelChange(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	c := phone.ownBackup()
	_, err := c.SetPassword(ctx, phone.access(), typed(other), client.ProtectOptions{TakeOver: true})
	wants(t, err, client.ErrChangeWaits)
	if _, err := c.CancelChange(ctx, phone.access()); !errors.Is(err, client.ErrForeignRecord) {
		t.Errorf("cancelled by the other device: %v", err)
	}
	for _, want := range []bool{true, false} {
		if had, err := p.device().CancelChange(ctx, p.access()); err != nil || had != want {
			t.Errorf("%v, %v", had, err)
		}
	}
	if r := p.status(); r.Change != "" {
		t.Errorf("%+v", r)
	}
}

// From password to digits and back: nothing is uploaded again.
func TestSwitchBetweenPasswordAndDigits(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	before := objects(t, p.cloud)
	var digits string
	c := p.device()
	wants(t, c.Rotate(ctx, func(*key.Key) error { return nil }), client.ErrPasswordSet)
	err := c.RemovePassword(ctx, p.access(), func(*key.Key) error { return errCrash })
	wants(t, err, errCrash)
	if !p.restores(right) {
		t.Error("declined, and the password is gone")
	}
	if err := c.RemovePassword(ctx, p.access(), func(k *key.Key) error { digits = k.Digits(); return nil }); !errors.Is(err, client.ErrForeignRecord) {
		t.Fatalf("the phone that restored is the one with authority now: %v", err)
	}
	if _, err := c.TryPassword(ctx, p.access(), typed(right)); err != nil {
		t.Fatal(err)
	}
	if err := c.RemovePassword(ctx, p.access(), func(k *key.Key) error { digits = k.Digits(); return nil }); err != nil {
		t.Fatal(err)
	}
	k, err := key.Parse([]byte(digits))
	if err != nil || !c.Holds(k) || c.BehindPassword() {
		t.Errorf("%v", err)
	}
	wants(t, c.RemovePassword(ctx, p.access(), func(*key.Key) error { return nil }), client.ErrNoPassword)
	if p.restores(right) || p.status().Live {
		t.Error("the record is still there")
	}
	if _, err := c.SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
	if !p.restores(other) {
		t.Error("not back behind a password")
	}
	if after := objects(t, p.cloud); after != before {
		t.Errorf("the cloud changed:\n%s\n%s", before, after)
	}
}

func objects(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		list = append(list, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

func TestDisableDeletesTheRecord(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	a := p.access()
	r, err := p.device().Disable(ctx, client.DisableOptions{Vault: &a})
	if err != nil || !r.RecordDeleted || r.RecordError != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if p.restores(right) {
		t.Error("the record is still there")
	}
	for _, name := range []string{"vault.json", "vault.key", "attempt"} {
		if _, err := os.Stat(filepath.Join(p.profile, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if len(p.keyring) != 0 {
		t.Errorf("the keyring still has %d secrets", len(p.keyring))
	}
}

func TestDisableSaysThatTheRecordIsLeft(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	a := p.access()
	p.server.Fault = faultOn(vaultapi.Delete, clienttest.Lost)
	r, err := p.device().Disable(ctx, client.DisableOptions{Vault: &a})
	if err != nil || r.RecordDeleted || !errors.Is(r.RecordError, client.ErrNotCounted) {
		t.Fatalf("%+v, %v", r, err)
	}
	p.server.Fault = nil
	if !p.restores(right) {
		t.Error("the record is gone all the same")
	}
}
