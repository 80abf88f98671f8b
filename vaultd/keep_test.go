package vaultd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

const day = 24 * time.Hour

// keep lets time pass, and the keeper do what it does every minute.
func (w *world) keep(d time.Duration) {
	w.t.Helper()
	w.clock.advance(d)
	if err := w.server.Keep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// A key gets a successor after seven days and is destroyed after twenty-one: a
// request that was sealed to it does not open any more, and the client, told by
// 404, finds the current key in the new bundle.
func TestChannelKeysRotate(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	first := w.bundle()
	old := p.question(&vaultapi.StatusBody{})
	w.keep(6 * day)
	if b := w.bundle(); b.Serial != first.Serial || len(b.Keys) != 1 {
		t.Errorf("after six days: serial %d, %d keys", b.Serial, len(b.Keys))
	}
	seen := first
	for week := range 2 {
		w.keep(7 * day)
		b := w.bundle()
		if len(b.Keys) != week+2 {
			t.Errorf("after %d weeks %d keys", week+1, len(b.Keys))
		}
		if err := b.Follows(seen.Serial, seen.Digest()); err != nil || b.Serial == seen.Serial {
			t.Errorf("serial %d after %d: %v", b.Serial, seen.Serial, err)
		}
		seen = b
	}
	if status, _, _ := w.post(old.bytes); status != http.StatusOK {
		t.Errorf("a valid key after two weeks: HTTP %d", status)
	}
	w.clock.advance(day + time.Hour) // past the end, before the keeper looks
	if status, _, _ := w.post(old.bytes); status != http.StatusNotFound {
		t.Errorf("an expired key: HTTP %d, want 404", status)
	}
	w.keep(0)
	if w.server.KeyCount() != len(w.bundle().Keys) {
		t.Errorf("%d keys are ready, the bundle has %d", w.server.KeyCount(), len(w.bundle().Keys))
	}
	for _, k := range w.bundle().Keys {
		if k.NotAfter <= w.now() {
			t.Error("the bundle has an expired key")
		}
	}
	if err := first.Follows(seen.Serial, seen.Digest()); !errors.Is(err, fleet.ErrStale) {
		t.Errorf("a client takes the first bundle again: %v", err)
	}
	wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
}

// The keeper and a start, or two keepers, at once: one of them makes the key.
func TestKeepingAtOnceMakesOneKey(t *testing.T) {
	w := newWorld(t)
	w.clock.advance(8 * day)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := w.server.Keep(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.server.KeyCount(); n != 2 {
		t.Errorf("%d keys after eight days, want 2", n)
	}
}

// A vault that slept for longer than its keys are valid makes a new one before it serves.
func TestKeysAfterALongSleep(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.clock.advance(25 * day)
	w.restartOnly()
	b := w.bundle()
	if _, err := b.Current(w.now()); err != nil || len(b.Keys) != 1 {
		t.Errorf("%d keys after the sleep, %v", len(b.Keys), err)
	}
}

// restartOnly opens what was stopped.
func (w *world) restartOnly() {
	w.t.Helper()
	w.openAnchor()
	w.config.Anchor = w.anchor
	w.start()
}

// One serial has one content, whoever signs it and when.
func TestBundleIsTheSameAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.keep(8 * day)
	before := string(w.server.Bundle())
	w.restart()
	if string(w.server.Bundle()) != before {
		t.Error("the same serial has other bytes after a restart")
	}
}

// spec §11.4: within a run the host's date changes nothing, neither way: not the
// time that is told, not which tokens and keys are good.
func TestHostDateChangesNothing(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	before := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK).Time
	q := p.question(&vaultapi.StatusBody{})
	for _, wall := range []time.Time{begin.AddDate(-5, 0, 0), begin.AddDate(5, 0, 0)} {
		w.clock.set(wall)
		if a := wants(t, w.deliver(q), vaultapi.OK); a.Time < before || a.Time > before+60_000 {
			t.Errorf("the host's date %v took the vault's time from %d to %d", wall, before, a.Time)
		}
		if err := w.server.Keep(t.Context()); err != nil || w.server.KeyCount() != 1 {
			t.Errorf("the host's date %v made %d keys, %v", wall, w.server.KeyCount(), err)
		}
	}
}

// A date set back over a restart ends no wait early: time never goes back.
func TestDateSetBackOverARestart(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	for range 4 {
		wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	}
	a := wants(t, p.ask(newGuess("wrong").body), vaultapi.Wait)
	w.stop()
	w.clock.set(begin.AddDate(-1, 0, 0))
	w.restartOnly()
	got := must(time.Parse(time.RFC3339, w.server.Status(t.Context()).Time))
	if got.Before(time.UnixMilli(int64(a.Time)).Truncate(time.Second)) {
		t.Errorf("the vault's time is %v, it was %d ms", got, a.Time)
	}
}

// A date far ahead is not believed without being told so: it could not be taken back.
func TestDateFarAhead(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.clock.advance(40 * day)
	w.openAnchor()
	defer w.anchor.Close()
	w.config.Anchor = w.anchor
	_, err := vaultd.New(t.Context(), w.config)
	if _, ok := errors.AsType[*vaultd.ClockError](err); !ok {
		t.Fatalf("New: %v, want a ClockError", err)
	}
	w.config.MaxClockJump = 41 * day
	s, err := vaultd.New(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A checkpoint by the clock that failed is made at the next look, not a whole period later.
func TestCheckpointThatFailedIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.registered("alice", "right")
	w.clock.advance(day)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	keep := w.server.KeepCheckpoints()
	var err error
	for try := 0; err == nil; try++ { // a request that nobody waits for may be heard all the same
		if try == 100 {
			t.Fatal("nothing failed: the test shows nothing")
		}
		w.clock.advance(day)
		w.registered(fmt.Sprint("bob", try), "right")
		err = keep(gone)
	}
	if err := keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.server.LogBytes(); n != 0 {
		t.Errorf("%d bytes are still in the log", n)
	}
}
