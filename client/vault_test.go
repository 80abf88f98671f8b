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
	"keepsake.example/fleet"
	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

const right, other = "blue sofa on a tuesday", "green sofa on a monday"

// A phone is lost, and the password alone brings the chats back on a new one.
func TestPasswordAloneBringsTheChatsBack(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	if !p.device().BehindPassword() {
		t.Error("the profile does not know that a password protects it")
	}
	phone := p.onPhone("new")
	r, err := phone.recover(right)
	if err != nil || r.Unproved != nil || r.Renewed || len(r.Past) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := phone.device().Enable(ctx, client.EnableOptions{Source: p.chats, Cloud: p.cloud, Join: r.Key}); err != nil {
		t.Fatal(err)
	}
	if !p.restores(right) {
		t.Error("not restored")
	}
	if p.codes != 1 {
		t.Errorf("the code was asked for %d times", p.codes)
	}
}

// Ten wrong passwords destroy the record; waits cost nothing, and are told apart.
func TestTenWrongPasswords(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	for n := 1; n <= 10; n++ {
		_, err := p.recover(other)
		if wait, ok := errors.AsType[*client.WaitError](err); ok {
			if wait.Left != 11-n || !wait.Next.After(time.Now()) || errors.Is(err, client.ErrWrongPassword) {
				t.Errorf("attempt %d: %+v", n, wait)
			}
			p.server.Advance(48 * time.Hour)
			_, err = p.recover(other)
		}
		if n == 10 {
			wants(t, err, client.ErrDestroyed)
			break
		}
		if left(err) != 10-n {
			t.Fatalf("attempt %d: %v, %d left", n, err, left(err))
		}
	}
	p.server.Advance(2 * time.Hour)
	_, err := p.recover(right)
	gone, ok := errors.AsType[*client.DestroyedError](err)
	if !ok || gone.When.IsZero() {
		t.Fatalf("the right password after destruction: %v", err)
	}
	if r := p.status(); r.Live || r.Gone.IsZero() {
		t.Errorf("status says %+v", r)
	}
}

// burn has a thief try ten wrong passwords.
func (p *person) burn() {
	p.t.Helper()
	thief := p.onPhone("thief")
	for range 10 {
		_, err := thief.recover(other)
		if errors.Is(err, client.ErrDestroyed) {
			return
		}
		if !errors.Is(err, client.ErrWrongPassword) {
			p.t.Fatal(err)
		}
		p.server.Advance(48 * time.Hour)
	}
	p.t.Fatal("not destroyed")
}

// The owner, who still has K, need not wait for the grace of the last answer.
func TestOwnerReplacesADestroyedRecordAtOnce(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.burn()
	if _, err := p.device().SetPassword(ctx, p.access(), typed(other), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
	if r := p.status(); !r.Live || r.Left != 10 {
		t.Errorf("status says %+v", r)
	}
}

// ownBackup makes this person's phone back up to a cloud of its own, under a key of its own.
func (p *person) ownBackup() *client.Client {
	p.t.Helper()
	p.cloud += "2"
	c := p.device()
	if _, err := c.Enable(ctx, client.EnableOptions{Source: p.chats, Cloud: p.cloud, Deliver: func(*key.Key) error { return nil }}); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// Somebody else with the account does wait: the last answer may be on its way to
// the owner, who can prove it until then.
func TestAnotherDeviceWaitsForTheGrace(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.burn()
	phone := p.onPhone("second")
	c := phone.ownBackup()
	_, err := c.SetPassword(ctx, phone.access(), typed(right), client.ProtectOptions{})
	wants(t, err, client.ErrChangeWaits)
	p.server.Advance(2 * time.Hour)
	if _, err := c.SetPassword(ctx, phone.access(), typed(right), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// regressions.md: a lost answer burns a guess.
func TestLostAnswerBurnsAGuess(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	p.server.Fault = faultOn(vaultapi.Attempt, clienttest.Unanswered)
	_, err := phone.recover(right)
	lost, ok := errors.AsType[*client.NotCountedError](err)
	if !ok || !lost.Sent || errors.Is(err, client.ErrWrongPassword) {
		t.Fatalf("no answer: %v", err)
	}
	if r := p.status(); r.Left != 9 {
		t.Errorf("%d left while the answer is lost", r.Left)
	}
	p.server.Fault = nil
	r, err := phone.recover(right) // another process, the same attempt
	if err != nil || len(r.Past) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r := p.status(); r.Left != 10 {
		t.Errorf("%d left after the proof", r.Left)
	}
}

func faultOn(t vaultapi.Type, f clienttest.Fault) func(vaultapi.Type) clienttest.Fault {
	return func(got vaultapi.Type) clienttest.Fault {
		if got == t {
			return f
		}
		return clienttest.None
	}
}

// A crash at any step of a recovery leaves no attempt spent twice.
func TestCrashInRecovery(t *testing.T) {
	for _, step := range []string{"seeded", "answered", "opened"} {
		t.Run(step, func(t *testing.T) {
			p := newPerson(t)
			p.enable(right)
			phone := p.onPhone("new")
			phone.crash = step
			if _, err := phone.recover(right); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			phone.crash = ""
			r, err := phone.recover(right)
			if err != nil || len(r.Past) > 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			if n := p.status().Left; n != 10 {
				t.Errorf("%d left", n)
			}
		})
	}
}

// Another password after a crash is another attempt.
func TestAnotherPasswordAfterACrash(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.crash = "answered"
	if _, err := p.recover(other); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	p.crash = ""
	if r, err := p.recover(right); err != nil || len(r.Past) != 1 || !r.Past[0].Mine {
		t.Fatalf("%+v, %v", r, err)
	}
}

// regressions.md: count not reset where the last step was not answered.
func TestCountNotResetWhereTheLastStepWasNotAnswered(t *testing.T) {
	for name, fault := range map[string]clienttest.Fault{"never arrived": clienttest.Lost, "answer lost": clienttest.Unanswered} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.enable(right)
			p.recover(other)
			phone := p.onPhone("new")
			p.server.Fault = faultOn(vaultapi.Prove, fault)
			r, err := phone.recover(right)
			if err != nil || !errors.Is(r.Unproved, client.ErrNotCounted) {
				t.Fatalf("%+v, %v", r, err)
			}
			p.server.Fault = nil
			report, err := phone.device().VaultStatus(ctx, phone.access())
			if err != nil || report.Left != 10 || !report.Mine {
				t.Fatalf("%+v, %v", report, err)
			}
			if len(phone.warnings) == 0 || !strings.Contains(phone.warnings[0], "last right: 1") {
				t.Errorf("warned %q", phone.warnings)
			}
		})
	}
}

// A proof that waits is sent before the next attempt is made, so that the count
// begins at zero.
func TestProofGoesBeforeTheNextAttempt(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	p.server.Fault = faultOn(vaultapi.Prove, clienttest.Lost)
	if r, err := phone.recover(right); err != nil || r.Unproved == nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err := phone.device().CheckPassword(typed(right)); err != nil || !r.Right {
		t.Errorf("the device does not remember the password: %+v, %v", r, err)
	}
	p.server.Fault = nil
	if _, err := phone.recover(other); left(err) != 9 {
		t.Errorf("%v, %d left", err, left(err))
	}
}

// spendAllButOne tries nine wrong passwords, and waits until the tenth may be tried.
func (p *person) spendAllButOne() {
	p.t.Helper()
	for range 9 {
		p.server.Advance(48 * time.Hour)
		if _, err := p.recover(other); left(err) < 1 {
			p.t.Fatal(err)
		}
	}
	p.server.Advance(48 * time.Hour)
}

// The last attempt was right and its proof was lost: K is in hand, the device knows that
// the record is used up, and a new password mends it.
func TestLastAttemptWithoutProof(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.spendAllButOne()
	phone := p.onPhone("new")
	p.server.Fault = faultOn(vaultapi.Prove, clienttest.Lost)
	r, err := phone.recover(right)
	if err != nil || r.Unproved == nil || r.Renewed {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := phone.device().Enable(ctx, client.EnableOptions{Source: p.chats, Cloud: p.cloud, Join: r.Key}); err != nil {
		t.Fatal(err)
	}
	p.server.Fault = nil
	if !phone.device().BehindPassword() {
		t.Error("the device does not know that a password protects its key")
	}
	report, err := phone.device().VaultStatus(ctx, phone.access())
	if err != nil || report.Live || !report.State.Again {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := phone.device().SetPassword(ctx, phone.access(), typed(right), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
	if st, err := phone.device().VaultState(); err != nil || st.Again || !p.restores(right) {
		t.Errorf("%+v, %v", st, err)
	}
}

// Unreachable, garbled, busy: none of them is a wrong password, and none is asked
// for without end.
func TestServerUnreachableIsNotWrongPassword(t *testing.T) {
	for name, fault := range map[string]clienttest.Fault{"lost": clienttest.Lost, "garbled": clienttest.Garbled, "unavailable": clienttest.Unavailable} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.enable(right)
			p.server.Fault = faultOn(vaultapi.Attempt, fault)
			_, err := p.recover(other)
			wants(t, err, client.ErrNotCounted)
			if errors.Is(err, client.ErrWrongPassword) || errors.Is(err, password.ErrDishonest) {
				t.Errorf("%v", err)
			}
			if n := p.server.Asked(vaultapi.Attempt); n < 2 || n > 10 {
				t.Errorf("asked %d times", n)
			}
		})
	}
	p := newPerson(t)
	p.enable(right)
	p.access()
	card := p.access()
	p.server.HTTP.Close()
	_, err := p.device().Recover(ctx, card, typed(right), client.RecoverOptions{})
	lost, ok := errors.AsType[*client.NotCountedError](err)
	if !ok || lost.Sent {
		t.Errorf("nobody listens: %v", err)
	}
}

// regressions.md: keys fetched at first use and trusted. The bundle of another fleet
// than the pinned one is refused before anything is asked.
func TestKeysFetchedAtFirstUse(t *testing.T) {
	p, mallory := newPerson(t), clienttest.New(t)
	p.server.Bundle = func([]byte) []byte { return mallory.SignedBundle() }
	_, err := p.tryEnable(right)
	wants(t, err, password.ErrDishonest)
	wants(t, err, fleet.ErrForeign)
	p.server.Bundle = func(good []byte) []byte { good[len(good)-1] ^= 1; return good }
	_, err = p.tryEnable(right)
	wants(t, err, fleet.ErrSignature)
	if p.codes != 0 || p.server.Asked(vaultapi.Propose) != 0 {
		t.Error("something was asked")
	}
}

// regressions.md: version minimums not enforced; the serial never goes down.
func TestStaleBundle(t *testing.T) {
	p := newPerson(t)
	old := p.server.SignedBundle()
	p.server.Rotate()
	p.enable(right)
	p.server.Bundle = func([]byte) []byte { return old }
	_, err := p.recover(right)
	wants(t, err, fleet.ErrStale)
	wants(t, err, password.ErrDishonest)
	p.server.Bundle = nil
	if _, err := p.recover(right); err != nil {
		t.Errorf("with the current one: %v", err)
	}
}

// A channel key that is gone is fetched anew, once.
func TestChannelKeyRotates(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	rotated := false
	p.server.Fault = func(t vaultapi.Type) clienttest.Fault {
		if t == vaultapi.Attempt && !rotated {
			rotated = true
			return clienttest.Stale
		}
		return clienttest.None
	}
	if _, err := p.recover(right); err != nil {
		t.Error(err)
	}
	p.server.Fault = faultOn(vaultapi.Attempt, clienttest.Stale)
	_, err := p.recover(right)
	wants(t, err, client.ErrNotCounted)
}

// A server that knows no such path is not one whose keys have changed: it refuses.
func TestAnotherServersNotFound(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.server.Fault = faultOn(vaultapi.Attempt, clienttest.Misplaced)
	_, err := p.recover(right)
	if refused, ok := errors.AsType[*client.RefusedError](err); !ok || refused.Status != 404 || p.server.Asked(vaultapi.Attempt) != 1 {
		t.Errorf("asked %d times: %v", p.server.Asked(vaultapi.Attempt), err)
	}
}

// Two devices type the right password, and the one that was answered first proves it last: its
// proof is a conflict by then, and costs nobody anything.
func TestProofAfterAnotherDevices(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	first, second := p.onPhone("first"), p.onPhone("second")
	p.server.Fault = faultOn(vaultapi.Prove, clienttest.Lost)
	got, err := first.recover(right)
	if err != nil || got.Unproved == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	p.server.Fault = nil
	if _, err := second.recover(right); err != nil {
		t.Fatal(err)
	}
	report, err := first.device().VaultStatus(ctx, first.access())
	if err != nil || report.Left != 10 || report.Mine || report.State.Proof != nil || len(first.warnings) != 0 {
		t.Fatalf("%+v, %v, warned %q", report, err, first.warnings)
	}
	// The same within one command: the other device's proof passes between the two requests.
	first.during = func() {
		if _, err := second.recover(right); err != nil {
			t.Error(err)
		}
	}
	if got, err = first.recover(right); err != nil || got.Unproved != nil || got.Key == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInsecureVaultHasToBeAccepted(t *testing.T) {
	p := newPerson(t)
	policy := fleet.DefaultPolicy()
	policy.Insecure = true
	p.server = clienttest.NewPolicy(t, policy)
	_, err := p.tryEnable(right)
	wants(t, err, client.ErrInsecureVault)
	a := p.access()
	a.AcceptInsecure = true
	if _, err := p.device().Login(ctx, a); err != nil {
		t.Fatal(err)
	}
	p.enable(right) // accepted once
	if r := p.status(); len(r.Unsafe) != 1 {
		t.Errorf("not told: %q", r.Unsafe)
	}
}

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

// The right password in the last attempt gives K, uses the record up, and is set anew.
func TestLastAttemptRenews(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.spendAllButOne()
	phone := p.onPhone("new")
	r, err := phone.recover(right)
	if err != nil || !r.Renewed || r.NotRenewed != nil || len(r.Past) != 9 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, a := range r.Past {
		if a.Mine {
			t.Error("the lost phone's attempt is taken for the new one's")
		}
	}
	report, err := phone.device().VaultStatus(ctx, phone.access())
	if err != nil || !report.Live || !report.Mine || report.Left != 10 {
		t.Errorf("%+v, %v", report, err)
	}
	if !p.restores(right) {
		t.Error("the renewed record does not open")
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

// A vault that lies is not asked again, and is not called a wrong password.
func TestDishonestVaultIsNotAskedAgain(t *testing.T) {
	lies := map[string]func(*vaultapi.Evaluation){
		"proof":   func(e *vaultapi.Evaluation) { e.Proof[0] ^= 1 },
		"attempt": func(e *vaultapi.Evaluation) { e.Attempt[0] ^= 1 },
		"fleet":   func(e *vaultapi.Evaluation) { e.Envelope[13] ^= 1 },
		"floor":   func(e *vaultapi.Evaluation) { copy(e.Envelope[2:], []byte{0, 0, 0, 8}) },
	}
	for name, lie := range lies {
		p := newPerson(t)
		p.enable(right)
		p.server.Lie = func(_ vaultapi.Type, a *vaultapi.Answer) {
			if e, ok := a.Body.(*vaultapi.Evaluation); ok {
				e.Envelope = append([]byte(nil), e.Envelope...)
				lie(e)
			}
		}
		_, err := p.recover(right)
		wants(t, err, password.ErrDishonest)
		if errors.Is(err, client.ErrWrongPassword) || p.server.Asked(vaultapi.Attempt) != 1 {
			t.Errorf("%s: asked %d times: %v", name, p.server.Asked(vaultapi.Attempt), err)
		}
	}
}

// The password of this account gives the key of another backup: said, not passed over.
func TestOtherKey(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	c := phone.ownBackup()
	_, err := c.TryPassword(ctx, phone.access(), typed(right))
	wants(t, err, client.ErrOtherKey)
}

func TestCheckPasswordCostsNoGuess(t *testing.T) {
	p := newPerson(t)
	_, err := p.device().CheckPassword(typed(right))
	wants(t, err, client.ErrNoVault)
	p.enable(right)
	before := p.server.Asked(vaultapi.Attempt)
	for text, want := range map[string]bool{right: true, other: false} {
		if r, err := p.device().CheckPassword(typed(text)); err != nil || r.Right != want || r.Unsettled {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	if p.server.Asked(vaultapi.Attempt) != before {
		t.Error("the vault was asked")
	}
	phone := p.onPhone("new")
	if _, err := phone.device().Login(ctx, phone.access()); err != nil {
		t.Fatal(err)
	}
	_, err = phone.device().CheckPassword(typed(right))
	wants(t, err, client.ErrNoVerifier)
}

// A relay that counts requests does not see how an attempt ended.
func TestAttemptsLookAlike(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	if _, err := phone.recover(right); err != nil { // logs in
		t.Fatal(err)
	}
	total := func() (n int) {
		for kind := vaultapi.Propose; kind <= vaultapi.LastType; kind++ {
			n += p.server.Asked(kind)
		}
		return n
	}
	asked := func(typed string) int {
		before := total()
		_, err := phone.recover(typed)
		if typed == right && err != nil || typed != right && err == nil {
			t.Fatal(err)
		}
		return total() - before
	}
	good := asked(right)
	for range 5 { // the last of them is told to wait
		if n := asked(other); n != good {
			t.Errorf("%d requests for a wrong password, %d for the right one", n, good)
		}
	}
}
