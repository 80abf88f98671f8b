package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/vaultapi"
)

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
	for name, anew := range fleets {
		for _, step := range []string{"seeded", "answered", "opened"} {
			t.Run(name+" "+step, func(t *testing.T) {
				p := anew(t)
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
}

// Another password after a crash is another attempt.
func TestAnotherPasswordAfterACrash(t *testing.T) {
	for name, anew := range fleets {
		t.Run(name, func(t *testing.T) {
			p := anew(t)
			p.enable(right)
			p.crash = "answered"
			if _, err := p.recover(other); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			p.crash = ""
			if r, err := p.recover(right); err != nil || len(r.Past) != 1 || !r.Past[0].Mine {
				t.Fatalf("%+v, %v", r, err)
			}
		})
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
