package watch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/client/schedule"
	"keepsake.example/client/watch"
)

func TestRunsEachDay(t *testing.T) {
	w := newWorld(t, "Europe/Berlin", "2026-11-20 12:00", "03:30, 18:00")
	w.watch("2026-11-21 12:00")
	w.logged(
		"11-20 12:00 CET next 11-20 18:00 CET",
		"11-20 18:00 CET done after 1",
		"11-20 18:00 CET next 11-21 03:30 CET",
		"11-21 03:30 CET done after 1",
		"11-21 03:30 CET next 11-21 18:00 CET",
	)
}

// Weeks about both changes of the clock: one run each day, at the time or, where the day leaves it out, at the
// change.
func TestOneRunEachDay(t *testing.T) {
	for _, test := range []struct{ start, end, change, then string }{
		{"2026-03-15 00:00", "2026-04-12 00:00", "2026-03-29", "03:00"},
		{"2026-10-11 00:00", "2026-11-08 00:00", "2026-10-25", "02:30"},
	} {
		w := newWorld(t, "Europe/Berlin", test.start, "02:30")
		day := w.now
		w.watch(test.end)
		if len(w.runs) != 28 {
			t.Errorf("from %s: %d runs", test.start, len(w.runs))
		}
		for i, at := range w.runs {
			want := day.AddDate(0, 0, i).Format(time.DateOnly) + " 02:30"
			if want[:10] == test.change {
				want = test.change + " " + test.then
			}
			if got := at.Format("2006-01-02 15:04"); got != want {
				t.Errorf("run %d at %s, not %s", i+1, got, want)
			}
		}
	}
}

func TestCatchesUpAfterSleep(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 12:00", "03:30")
	slept := false
	w.event = func() {
		if !slept && w.now.Hour() == 23 {
			w.now, slept = w.now.Add(9*time.Hour+17*time.Minute), true // the lid was closed
		}
	}
	w.watch("2026-11-22 12:00")
	w.logged(
		"11-20 12:00 UTC next 11-21 03:30 UTC",
		"11-21 08:17 UTC done after 1",
		"11-21 08:17 UTC next 11-22 03:30 UTC",
		"11-22 03:30 UTC done after 1",
		"11-22 03:30 UTC next 11-23 03:30 UTC",
	)
}

// Days of downtime are one backup.
func TestCatchesUpAtStart(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 12:00", "03:30, 09:00")
	w.chose, w.good = w.now.AddDate(0, -1, 0), w.now.AddDate(0, 0, -9)
	w.watch("2026-11-20 20:00")
	w.logged("11-20 12:00 UTC done after 1", "11-20 12:00 UTC next 11-21 03:30 UTC")
}

func TestClockJumps(t *testing.T) {
	for name, test := range map[string]struct {
		jump time.Duration
		runs int
	}{
		"none":               {0, 5},
		"an hour back":       {-time.Hour, 5},
		"an hour on":         {time.Hour, 5},
		"four years on":      {4 * 365 * 24 * time.Hour, 6}, // the missed ones are one
		"four years back":    {-4 * 365 * 24 * time.Hour, 6},
		"two days back":      {-48 * time.Hour, 6},
		"a second back":      {-time.Second, 5},
		"past the next slot": {24 * time.Hour, 6},
	} {
		w := newWorld(t, "UTC", "2026-11-20 12:00", "03:30")
		stay := 5 * 24 * 60 // minutes awake
		w.event = func() {
			if stay--; stay == 3*24*60+8*60+29 { // just after the second run
				w.now = w.now.Add(test.jump)
			}
			if stay == 0 {
				w.stop(errStopped)
			}
		}
		w.watch("2099-01-01 00:00")
		if len(w.runs) != test.runs {
			t.Errorf("%s: %d runs: %v", name, len(w.runs), w.runs)
		}
	}
}

// A daemon that is carried to another zone goes by the wall there.
func TestMovedZone(t *testing.T) {
	w := newWorld(t, "Europe/Berlin", "2026-11-20 12:00", "03:30")
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	w.event = func() {
		if w.now.Hour() == 14 {
			w.now = w.now.In(tokyo)
		}
	}
	w.watch("2026-11-21 04:00")
	w.logged("11-20 12:00 CET next 11-21 03:30 CET", "11-20 22:00 JST next 11-21 03:30 JST", "11-21 03:30 JST done after 1", "11-21 03:30 JST next 11-22 03:30 JST")
}

func TestWaitsWhileHindered(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.hindered = func() []string {
		switch {
		case w.now.Hour() < 4:
			return []string{"mains power", "an unmetered network"}
		case w.now.Hour() < 6:
			return []string{"mains power"}
		}
		return nil
	}
	w.watch("2026-11-20 12:00")
	w.logged(
		"11-20 03:00 UTC next 11-20 03:30 UTC",
		"11-20 03:30 UTC waits for mains power and an unmetered network, 12h0m0s at most",
		"11-20 04:00 UTC waits for mains power, 11h30m0s at most",
		"11-20 06:00 UTC done after 1",
		"11-20 06:00 UTC next 11-21 03:30 UTC",
	)
}

func TestGivesUpWaiting(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.hindered = func() []string {
		if w.now.Day() == 20 {
			return []string{"mains power"}
		}
		return nil
	}
	w.watch("2026-11-21 12:00")
	w.logged(
		"11-20 03:00 UTC next 11-20 03:30 UTC",
		"11-20 03:30 UTC waits for mains power, 12h0m0s at most",
		"11-20 15:30 UTC gave up after 0: watch: waited 12 h for mains power",
		"11-20 15:30 UTC next 11-21 03:30 UTC",
		"11-21 03:30 UTC done after 1",
		"11-21 03:30 UTC next 11-22 03:30 UTC",
	)
}

// A laptop that is opened for ten minutes every few hours is not given up before it has looked for long.
func TestSleepIsNotWaiting(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:29", "03:30")
	pauses := 0
	w.event = func() {
		if pauses++; pauses%10 == 0 {
			w.now = w.now.Add(3 * time.Hour)
		}
	}
	w.hindered = func() []string {
		if len(w.log) < 3 && w.now.Day() < 23 {
			return []string{"mains power"}
		}
		return nil
	}
	w.watch("2026-11-23 03:00")
	if len(w.runs) != 1 || w.runs[0].Day() != 23 || slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, "gave up") }) {
		t.Errorf("ran %v\n%s", w.runs, strings.Join(w.log, "\n"))
	}
}

func TestTriesAgain(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.outcome = func(run int) error {
		if run <= 4 {
			return errPasses
		}
		return nil
	}
	w.watch("2026-11-20 12:00")
	w.logged(
		"11-20 03:00 UTC next 11-20 03:30 UTC",
		"11-20 03:30 UTC failed 1: cloud is down; again 11-20 03:31 UTC",
		"11-20 03:31 UTC failed 2: cloud is down; again 11-20 03:36 UTC",
		"11-20 03:36 UTC failed 3: cloud is down; again 11-20 03:51 UTC",
		"11-20 03:51 UTC failed 4: cloud is down; again 11-20 04:36 UTC",
		"11-20 04:36 UTC done after 5",
		"11-20 04:36 UTC next 11-21 03:30 UTC",
	)
}

func TestGivesUpTrying(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.outcome = func(int) error { return errPasses }
	w.watch("2026-11-21 03:00")
	if last := w.log[len(w.log)-2:]; last[0] != "11-20 14:36 UTC gave up after 10: cloud is down" || last[1] != "11-20 14:36 UTC next 11-21 03:30 UTC" {
		t.Errorf("ended with %q", last)
	}
	if len(w.runs) != 10 {
		t.Errorf("%d runs", len(w.runs))
	}
}

func TestDoesNotTryWhatLasts(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.outcome = func(int) error { return errLasts }
	w.watch("2026-11-21 04:00")
	w.logged(
		"11-20 03:00 UTC next 11-20 03:30 UTC",
		"11-20 03:30 UTC gave up after 1: the key is wrong",
		"11-20 03:30 UTC next 11-21 03:30 UTC",
		"11-21 03:30 UTC gave up after 1: the key is wrong",
		"11-21 03:30 UTC next 11-22 03:30 UTC",
	)
}

func TestWaitsAsLongAsAsked(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.outcome = func(run int) error {
		if run == 1 {
			return errSlow
		}
		return nil
	}
	w.watch("2026-11-20 07:00")
	w.logged("11-20 03:00 UTC next 11-20 03:30 UTC", "11-20 03:30 UTC failed 1: cloud asks to wait; again 11-20 06:30 UTC",
		"11-20 06:30 UTC done after 2", "11-20 06:30 UTC next 11-21 03:30 UTC")
}

// Asleep through the pause, it tries at the waking.
func TestPauseEndsAsleep(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:29", "03:30")
	w.outcome = func(run int) error {
		if run == 1 {
			return errSlow
		}
		return nil
	}
	w.event = func() {
		if w.now.Format("15:04") == "03:40" {
			w.now = w.now.Add(8 * time.Hour)
		}
	}
	w.watch("2026-11-20 12:00")
	if len(w.runs) != 2 || w.runs[1].Format("15:04") != "11:40" {
		t.Errorf("ran %v", w.runs)
	}
}

// Another command holds the profile for an hour. If it was a backup, it counts.
func TestAnotherCommand(t *testing.T) {
	for _, made := range []bool{false, true} {
		w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
		w.outcome = func(int) error {
			if w.now.Hour() < 4 {
				return errBusy
			}
			return nil
		}
		w.event = func() {
			if made && w.now.Format("15:04") == "03:59" {
				w.good = w.now
			}
		}
		w.watch("2026-11-20 05:00")
		end := []string{"11-20 04:00 UTC done after 1", "11-20 04:00 UTC next 11-21 03:30 UTC"}
		if made {
			end = []string{"11-20 03:59 UTC made by another", "11-20 03:59 UTC next 11-21 03:30 UTC"}
		}
		w.logged(append([]string{"11-20 03:00 UTC next 11-20 03:30 UTC", "11-20 03:30 UTC waits for a backup to end, 12h0m0s at most"}, end...)...)
	}
}

func TestGivesUpOnAnotherCommand(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.outcome = func(int) error { return errBusy }
	w.watch("2026-11-20 20:00")
	w.logged("11-20 03:00 UTC next 11-20 03:30 UTC", "11-20 03:30 UTC waits for a backup to end, 12h0m0s at most",
		"11-20 15:30 UTC gave up after 0: another command", "11-20 15:30 UTC next 11-21 03:30 UTC")
}

func TestScheduleChangesUnderway(t *testing.T) {
	w := newWorld(t, "UTC", "2026-11-20 03:00", "03:30")
	w.event = func() {
		switch w.now.Format("15:04") {
		case "03:10":
			w.times, w.chose = schedule.Times{4 * 60}, w.now
		case "05:00":
			w.times = nil
		}
	}
	w.end = w.now.AddDate(0, 0, 3)
	if err := watch.New(w.config()).Watch(t.Context()); !errors.Is(err, errOff) {
		t.Errorf("ended with %v", err)
	}
	w.logged("11-20 03:00 UTC next 11-20 03:30 UTC", "11-20 03:10 UTC next 11-20 04:00 UTC", "11-20 04:00 UTC done after 1", "11-20 04:00 UTC next 11-21 04:00 UTC")
}

// Turned off while a run waits or failed: that ends it, and is no failure.
func TestTurnedOffUnderway(t *testing.T) {
	for name, outcome := range map[string]func(int) error{"waits": nil, "fails": func(int) error { return errPasses }} {
		w := newWorld(t, "UTC", "2026-11-20 03:29", "03:30")
		w.outcome = outcome
		if outcome == nil {
			w.hindered = func() []string { return []string{"mains power"} }
		}
		w.event = func() {
			if w.now.Hour() == 4 {
				w.times, w.hindered = nil, nil
			}
		}
		if err := watch.New(w.config()).Watch(t.Context()); !errors.Is(err, errOff) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, "gave up") }) {
			t.Errorf("%s: %q", name, w.log)
		}
	}
}

// A signal ends it wherever it is, and nothing is told as a failure.
func TestSignal(t *testing.T) {
	for name, set := range map[string]func(w *world){
		"idle": func(w *world) { w.end = w.now.Add(time.Minute) },
		"hindered": func(w *world) {
			w.hindered = func() []string { return []string{"mains power"} }
			w.end = w.now.Add(5 * time.Minute)
		},
		"pausing": func(w *world) { w.outcome = func(int) error { return errPasses }; w.end = w.now.Add(40 * time.Minute) },
		"running": func(w *world) { w.outcome = func(int) error { w.stop(errStopped); return context.Canceled } },
		"ran":     func(w *world) { w.outcome = func(int) error { w.stop(errStopped); return nil } },
	} {
		w := newWorld(t, "UTC", "2026-11-20 03:28", "03:30")
		set(w)
		ctx, stop := context.WithCancelCause(t.Context())
		w.stop = stop
		if err := watch.New(w.config()).Watch(ctx); !errors.Is(err, errStopped) {
			t.Errorf("%s: ended with %v", name, err)
		}
		if slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, "gave up") }) {
			t.Errorf("%s: %q", name, w.log)
		}
	}
}

func TestOnce(t *testing.T) {
	for _, test := range []struct {
		start   string
		outcome error
		want    string
	}{
		{"2026-11-20 03:31", nil, "11-20 03:31 UTC done after 1"},
		{"2026-11-20 03:29", nil, "11-20 03:29 UTC next 11-20 03:30 UTC"},
		{"2026-11-20 03:31", errLasts, "11-20 03:31 UTC gave up after 1: the key is wrong"},
	} {
		w := newWorld(t, "UTC", test.start, "03:30")
		w.chose = w.now.AddDate(0, 0, -1).Add(time.Hour)
		w.good = time.Date(2026, 11, 19, 3, 31, 0, 0, time.UTC)
		w.outcome = func(int) error { return test.outcome }
		if err := watch.New(w.config()).Once(t.Context()); !errors.Is(err, test.outcome) {
			t.Errorf("%s: %v", test.start, err)
		}
		w.logged(test.want)
	}
}

// Without a seam, pauses are stretched, never shortened, by a quarter at most.
func TestJitter(t *testing.T) {
	for range 100 {
		w := newWorld(t, "UTC", "2026-11-20 03:31", "03:30")
		w.chose = w.now.AddDate(0, 0, -2)
		w.outcome = func(run int) error {
			if run <= 4 {
				return errPasses
			}
			return nil
		}
		c := w.config()
		c.Jitter = nil
		if err := watch.New(c).Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if last := w.runs[4].Sub(w.runs[3]); last < 45*time.Minute || last > 45*time.Minute*5/4+time.Second {
			t.Fatalf("a pause of %v", last)
		}
	}
}
