package retry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/retry"
)

func always(err error) func(string, int) error { return func(string, int) error { return err } }

// reached has the store answer once.
func reached(t *testing.T, w *world, s *retry.Store) {
	t.Helper()
	w.before = nil
	if _, err := s.Stat(t.Context(), "data/absent"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestBackoff(t *testing.T) {
	w := newWorld()
	s := w.store(func(o *retry.Options) { o.Patience = 100 * time.Second })
	reached(t, w, s)
	w.before = always(unreachable("no route"))
	_, err := s.Stat(t.Context(), "data/a")
	if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "tried again for 1m40s") {
		t.Errorf("Stat = %v, want to be given up after 100 s", err)
	}
	ms := time.Millisecond
	want := []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 16000 * ms, 30000 * ms, 30000 * ms, 8500 * ms}
	if !slices.Equal(w.slept, want) {
		t.Errorf("waited %v, want %v", w.slept, want)
	}
	for i, wait := range w.waits {
		if wait.Failed != i+1 || wait.Tried != sum(want[:i]) || wait.After != want[i] || wait.Left < wait.After || !errors.Is(wait.Err, cloud.ErrUnreachable) {
			t.Errorf("told of %+v", wait)
		}
	}
	if w.resume != 0 {
		t.Error("told that it goes on")
	}
}

func sum(all []time.Duration) (s time.Duration) {
	for _, d := range all {
		s += d
	}
	return s
}

// The whole of a wait is drawn, not a part of it.
func TestJitterIsFull(t *testing.T) {
	w := newWorld()
	var drawn []time.Duration
	s := w.store(func(o *retry.Options) {
		o.Jitter = func(d time.Duration) time.Duration { drawn = append(drawn, d); return 0 }
	})
	w.before = times(3, "Stat", cloud.ErrThrottled)
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatal(err)
	}
	if !slices.Equal(w.slept, []time.Duration{0, 0, 0}) || len(drawn) != 3 {
		t.Errorf("waited %v, drew from %v", w.slept, drawn)
	}
}

// Until it has been reached once, there is less patience. A store that asks to
// slow down has been reached.
func TestConnect(t *testing.T) {
	for _, c := range []struct {
		fault error
		want  string
	}{{unreachable("no such host"), "tried again for 20s"}, {cloud.ErrThrottled, "tried again for 1m40s"}} {
		w := newWorld()
		w.before = always(c.fault)
		s := w.store(func(o *retry.Options) { o.Patience, o.Connect = 100*time.Second, 20*time.Second })
		if _, err := s.Stat(t.Context(), "data/a"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Stat = %v, want %q", err, c.want)
		}
	}
}

func TestNoPatience(t *testing.T) {
	w := newWorld()
	w.before = always(cloud.ErrThrottled)
	s := w.store(func(o *retry.Options) { o.Patience = -1 })
	if _, err := s.Stat(t.Context(), "data/a"); err != cloud.ErrThrottled || w.asked["Stat"] != 1 {
		t.Errorf("Stat = %v after %d attempts", err, w.asked["Stat"])
	}
}

// Each success ends the spell: ten failures now and then are not one long outage.
func TestPatienceIsForOneRequest(t *testing.T) {
	w := newWorld()
	s := w.store(func(o *retry.Options) { o.Patience = 2 * time.Second })
	reached(t, w, s)
	w.before = func(_ string, n int) error {
		if n%3 > 0 {
			return unreachable("flaky")
		}
		return nil
	}
	for range 10 {
		if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
			t.Fatalf("Stat = %v", err)
		}
	}
}

// Retry-After is waited for, by requests that were not refused themselves too.
func TestDelay(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	w.before = times(1, "Stat", &cloud.DelayError{After: 10 * time.Second, Err: cloud.ErrThrottled})
	start := w.now
	var other time.Time
	w.waits = nil
	s2 := make(chan error, 1)
	s = w.store(func(o *retry.Options) {
		o.Waiting = func(wait retry.Wait) {
			if wait.After != 10*time.Second+500*time.Millisecond {
				t.Errorf("waits %v, want what was asked for and some chance", wait.After)
			}
			s2 <- s.Delete(t.Context(), "data/other") // held back, though nobody refused it
			other = w.now
		}
	})
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatal(err)
	}
	if err := <-s2; !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Delete = %v", err)
	}
	if got := other.Sub(start); got < 10*time.Second {
		t.Errorf("another request came %v after the store asked for 10s", got)
	}
}

// However often it was refused before, what the store asks for is what counts.
func TestDelaysDoNotGrow(t *testing.T) {
	w := newWorld()
	w.before = times(5, "Stat", &cloud.DelayError{After: 10 * time.Second, Err: cloud.ErrThrottled})
	if _, err := w.store(nil).Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatal(err)
	}
	if want := slices.Repeat([]time.Duration{10*time.Second + 500*time.Millisecond}, 5); !slices.Equal(w.slept, want) {
		t.Errorf("waited %v, want %v", w.slept, want)
	}
}

// Nobody waits for what is longer than his patience.
func TestDelayTooLong(t *testing.T) {
	w := newWorld()
	w.before = always(&cloud.DelayError{After: 24 * time.Hour, Err: cloud.ErrThrottled})
	_, err := w.store(nil).Stat(t.Context(), "data/a")
	if !errors.Is(err, cloud.ErrThrottled) || !strings.Contains(err.Error(), "come back in 24h0m0s") || w.slept != nil {
		t.Errorf("Stat = %v after waiting %v", err, w.slept)
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	w := newWorld()
	w.before = always(cloud.ErrThrottled)
	ctx, cancel := context.WithCancel(t.Context())
	s := w.store(func(o *retry.Options) { o.Waiting = func(retry.Wait) { cancel() } })
	if _, err := s.Stat(ctx, "data/a"); err != context.Canceled {
		t.Errorf("Stat = %v, want context.Canceled", err)
	}
}

// Who has cancelled is told of no wait.
func TestCancelledWhileAsking(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	w.before = func(string, int) error { cancel(); return unreachable("cut") }
	if _, err := w.store(nil).Stat(ctx, "data/a"); err != context.Canceled || w.waits != nil {
		t.Errorf("Stat = %v after %d waits, want context.Canceled", err, len(w.waits))
	}
}

// The clock that is used when nobody brings one.
func TestRealClock(t *testing.T) {
	w := newWorld()
	w.before = times(1, "Stat", cloud.ErrThrottled)
	s := retry.New(w, retry.Options{Jitter: func(time.Duration) time.Duration { return time.Millisecond }})
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Error(err)
	}
	w.before = always(&cloud.DelayError{After: time.Minute, Err: cloud.ErrThrottled})
	ctx, cancel := context.WithCancel(t.Context())
	s = retry.New(w, retry.Options{Waiting: func(retry.Wait) { cancel() }})
	if _, err := s.Stat(ctx, "data/a"); err != context.Canceled {
		t.Errorf("Stat = %v, want context.Canceled", err)
	}
}

func TestDo(t *testing.T) {
	w := newWorld()
	o := retry.Options{Now: func() time.Time { return w.now }, Connect: time.Minute, Sleep: func(_ context.Context, d time.Duration) error { w.pass(d); return nil }}
	attempts := 0
	err := retry.Do(t.Context(), o, func() error {
		if attempts++; attempts < 3 {
			return unreachable("no route")
		}
		return cloud.ErrDenied
	})
	if err != cloud.ErrDenied || attempts != 3 || len(w.slept) != 2 {
		t.Errorf("Do = %v after %d attempts", err, attempts)
	}
	err = retry.Do(t.Context(), o, func() error { return unreachable("no route") })
	if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "tried again for 1m0s") {
		t.Errorf("Do = %v, want to give up after a minute", err)
	}
}

// How long an attempt took in vain is told.
func TestTook(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	attempts := 0
	w.before = func(string, int) error {
		if attempts++; attempts > 1 {
			return nil
		}
		w.mu.Lock()
		w.now = w.now.Add(90 * time.Second)
		w.mu.Unlock()
		return unreachable("it says nothing")
	}
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatal(err)
	}
	if len(w.waits) != 1 || w.waits[0].Took != 90*time.Second {
		t.Errorf("told of %+v", w.waits)
	}
}
