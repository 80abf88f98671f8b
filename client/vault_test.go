package client_test

import (
	"errors"
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
