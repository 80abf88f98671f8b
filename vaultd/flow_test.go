package vaultd_test

import (
	"errors"
	"testing"
	"time"

	"keepsake.example/vaultapi"
)

// A password is set, entered wrongly, entered rightly, changed and removed.
func TestRegisterAndRecover(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	wrong := newGuess("wrong")
	a := wants(t, p.ask(wrong.body), vaultapi.OK)
	if a.Left != 9 || a.Limit != 10 {
		t.Errorf("%d of %d attempts left, want 9 of 10", a.Left, a.Limit)
	}
	if err := p.finish(wrong, a); !errors.Is(err, errWrong) {
		t.Errorf("a wrong password: %v", err)
	}
	right := newGuess("right")
	if err := p.finish(right, wants(t, p.ask(right.body), vaultapi.OK)); err != nil {
		t.Error(err)
	}
	history := wants(t, p.ask(p.prove(right)), vaultapi.OK).Body.(*vaultapi.History)
	if len(history.Past) != 1 || history.Past[0].Attempt != wrong.body.Attempt {
		t.Errorf("history %+v, want the wrong attempt", history.Past)
	}
	st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
	if st.Left != 10 || st.Body.(*vaultapi.StatusReport).Record != p.record {
		t.Errorf("status after the proof: %d left, %+v", st.Left, st.Body)
	}
}

// Ten wrong passwords destroy the record, the right one no longer works, and a
// new registration begins anew.
func TestTenWrongDestroy(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	last := p.exhaust("wrong")
	w.clock.advance(2 * time.Hour) // past the grace of the last attempt
	right := newGuess("right")
	for _, body := range []vaultapi.Body{right.body, last.body, &vaultapi.StatusBody{}} {
		a := wants(t, p.ask(body), vaultapi.Destroyed)
		if d, ok := a.Body.(*vaultapi.Destruction); !ok || d.When == 0 || a.Left != 0 {
			t.Errorf("%v: destroyed without a date: %+v", body.Type(), a)
		}
	}
	w.restart()
	wants(t, p.ask(newGuess("right").body), vaultapi.Destroyed)
	p.register("new")
	again := newGuess("new")
	if err := p.finish(again, wants(t, p.ask(again.body), vaultapi.OK)); err != nil {
		t.Error(err)
	}
}

// A restart loses nothing and forgives nothing.
func TestRestartKeepsCounts(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	serial := w.bundle().Serial
	for left := 9; left >= 7; left-- {
		if a := wants(t, p.ask(newGuess("wrong").body), vaultapi.OK); int(a.Left) != left {
			t.Fatalf("%d left, want %d", a.Left, left)
		}
		w.restart()
	}
	if b := w.bundle(); b.Serial != serial {
		t.Errorf("the bundle's serial went from %d to %d without a new key", serial, b.Serial)
	}
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 7 {
		t.Errorf("%d left after the last restart, want 7", st.Left)
	}
}

// Two clients race for the last attempt: one is evaluated, the other destroyed.
func TestRaceForTheLastAttempt(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	for range 9 {
		a := wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
		if a.Next > a.Time {
			w.clock.advance(time.Duration(a.Next-a.Time) * time.Millisecond)
		}
	}
	const racers = 3
	questions := make([]question, racers)
	for i := range questions {
		questions[i] = p.question(newGuess("wrong").body)
	}
	codes := make(chan vaultapi.Code, racers)
	for _, q := range questions {
		go func() { codes <- w.deliver(q).Code }()
	}
	count := map[vaultapi.Code]int{}
	for range racers {
		count[<-codes]++
	}
	if count[vaultapi.OK] != 1 || count[vaultapi.Destroyed] != racers-1 {
		t.Errorf("outcomes of the race: %v", count)
	}
}
