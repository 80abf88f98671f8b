package watch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones, wherever the test runs

	"keepsake.example/client/schedule"
	"keepsake.example/client/watch"
)

var (
	errPasses  = errors.New("cloud is down")
	errLasts   = errors.New("the key is wrong")
	errBusy    = errors.New("another command")
	errSlow    = errors.New("cloud asks to wait")
	errStopped = errors.New("a signal came")
	errOff     = errors.New("turned off")
)

// world is a device whose time passes only where the watcher pauses.
type world struct {
	t     *testing.T
	now   time.Time
	good  time.Time // the last good run
	times schedule.Times
	chose time.Time

	hindered func() []string
	outcome  func(run int) error
	// event is asked after every pause; it may change everything.
	event func()

	runs []time.Time
	log  []string
	stop context.CancelCauseFunc
	end  time.Time // when a signal ends the watch
}

func newWorld(t *testing.T, zone, start, times string) *world {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	now, err := time.ParseInLocation("2006-01-02 15:04", start, z)
	if err != nil {
		t.Fatal(err)
	}
	list, err := schedule.Parse(times)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, now: now, times: list, chose: now}
}

func (w *world) config() watch.Config {
	return watch.Config{
		Plan: func() (watch.Plan, error) {
			if w.times == nil {
				return watch.Plan{}, errOff
			}
			return watch.Plan{Times: w.times, Done: []time.Time{w.chose, w.good}}, nil
		},
		Run:      w.run,
		Hindered: w.hindrances,
		Judge: func(err error) watch.Verdict {
			return map[error]watch.Verdict{
				errPasses: {Passes: true}, errBusy: {For: "a backup to end"}, errSlow: {Passes: true, After: 3 * time.Hour},
			}[err]
		},
		Tell:   func(e watch.Event) { w.log = append(w.log, w.line(e)) },
		Now:    func() time.Time { return w.now },
		Pause:  w.pause,
		Jitter: func(d time.Duration) time.Duration { return d },
	}
}

func (w *world) run(ctx context.Context) error {
	w.runs = append(w.runs, w.now)
	if w.outcome != nil {
		if err := w.outcome(len(w.runs)); err != nil {
			return err
		}
	}
	w.good = w.now
	w.now = w.now.Add(10 * time.Second)
	return ctx.Err()
}

func (w *world) hindrances(context.Context) []string {
	if w.hindered == nil {
		return nil
	}
	return w.hindered()
}

func (w *world) pause(ctx context.Context, d time.Duration) error {
	if d > time.Minute {
		w.t.Fatalf("a pause of %v", d)
	}
	w.now = w.now.Add(d)
	if w.event != nil {
		w.event()
	}
	if !w.end.IsZero() && !w.now.Before(w.end) {
		w.stop(errStopped)
	}
	return ctx.Err()
}

const form = "01-02 15:04 MST"

func (w *world) line(e watch.Event) string {
	at := w.now.Format(form) + " "
	switch e.Kind {
	case watch.Next:
		return at + "next " + e.At.Format(form)
	case watch.Waits:
		return at + fmt.Sprintf("waits for %s, %v at most", strings.Join(e.For, " and "), e.Left)
	case watch.Failed:
		return at + fmt.Sprintf("failed %d: %v; again %s", e.Tries, e.Err, e.At.Format(form))
	case watch.GaveUp:
		return at + fmt.Sprintf("gave up after %d: %v", e.Tries, e.Err)
	case watch.Done:
		return at + fmt.Sprintf("done after %d", e.Tries)
	case watch.Superseded:
		return at + "made by another"
	}
	return at + "what?"
}

// watch runs until a moment, as a person has it on for days.
func (w *world) watch(end string) {
	w.t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", end, w.now.Location())
	if err != nil {
		w.t.Fatal(err)
	}
	w.end = at
	ctx, stop := context.WithCancelCause(w.t.Context())
	w.stop = stop
	if err := watch.New(w.config()).Watch(ctx); !errors.Is(err, errStopped) {
		w.t.Errorf("ended with %v", err)
	}
}

func (w *world) logged(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.log, want) {
		w.t.Errorf("logged\n%s\nwant\n%s", strings.Join(w.log, "\n"), strings.Join(want, "\n"))
	}
}
