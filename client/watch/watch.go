// Package watch runs backups by a schedule: when to begin, what to wait for, when to
// try again, when to give up. It knows neither what is run nor the system it runs on:
// the clock, the pauses, the run and its hindrances are handed to it.
//
// # Waiting
//
// A run that is due waits while it is hindered: the device is on its battery, the network is
// metered, another command holds the profile. It tries again after a failure that may
// pass, with growing pauses. Both together take [Patience] at most; then it gives up, says so,
// and goes on with the next slot. Time asleep is not counted: a laptop that is opened for
// an hour a day would give up without having looked.
//
// # The clock
//
// No pause is longer than a minute, and after each the clock is looked at anew: the timers of
// processes stand still while a device sleeps, clocks are set, and devices are carried to other
// zones. What is due is decided by package schedule.
//
// One goroutine does everything, in the order of the calls.
package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"keepsake.example/client/schedule"
)

// Patience is how long, awake, one slot is served at most.
const Patience = 12 * time.Hour

// tick is the longest pause between two looks at the clock.
const tick = time.Minute

// pauses are those between tries. The first is for a network that is not up yet after the
// device woke; the last repeats until [Patience] ends.
var pauses = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 45 * time.Minute, 2 * time.Hour}

// Plan is what is to be done, as the profile says now.
type Plan struct {
	Times schedule.Times
	// Done are the times after which nothing is missed: when the schedule was chosen, when
	// the last good run was.
	Done []time.Time
}

// Verdict is what a failure of a run means.
type Verdict struct {
	// Passes says that the next try may succeed without anybody's doing.
	Passes bool
	// After is how long to wait before that at least; 0: as long as is usual.
	After time.Duration
	// For is not empty when the run has not begun, because it has to wait for that:
	// "keepsake prune (process 4711) to end".
	For string
}

// Kind says what happened.
type Kind int

// What can happen.
const (
	// Next: nothing is due until Event.At.
	Next Kind = iota
	// Waits: a run is due, and waits for Event.For, for Event.Left at most.
	Waits
	// Failed: a run failed with Event.Err; the next try is at Event.At.
	Failed
	// GaveUp: the slot is given up, after Event.Tries tries, with Event.Err.
	GaveUp
	// Done: a run was good, after Event.Tries tries.
	Done
	// Superseded: somebody else made the backup meanwhile.
	Superseded
)

// Event is one thing that happened, for the log.
type Event struct {
	Kind  Kind
	Slot  time.Time // what was due; zero for Next
	At    time.Time
	For   []string
	Left  time.Duration
	Tries int
	Err   error
}

// HinderedError says that a run waited in vain.
type HinderedError struct {
	For    []string
	Waited time.Duration // awake
}

func (e *HinderedError) Error() string {
	return fmt.Sprintf("watch: waited %d h for %s", int(e.Waited.Round(time.Hour)/time.Hour), strings.Join(e.For, " and "))
}

// Config is what a Watcher works with. All but Jitter must be set.
type Config struct {
	// Plan reads the schedule anew. Its error ends the watch.
	Plan func() (Plan, error)
	// Run makes one backup.
	Run func(context.Context) error
	// Hindered names what a run has to wait for now: "mains power"; empty: nothing.
	Hindered func(context.Context) []string
	// Judge says what an error of Run means.
	Judge func(error) Verdict
	// Tell is told what happens, when it changes.
	Tell func(Event)
	// Now gives the time in the zone that the device is in.
	Now func() time.Time
	// Pause waits for at most a minute, or until ctx ends.
	Pause func(context.Context, time.Duration) error
	// Jitter stretches a pause between tries, so that devices that failed together do not
	// come back together; nil: by a random part of up to a quarter.
	Jitter func(time.Duration) time.Duration
}

// Watcher runs backups by a schedule.
type Watcher struct {
	c Config
	// ended is when this process last came to an end with a slot, good or not: it is
	// served once, whatever the clock does meanwhile.
	ended time.Time
}

// New makes a Watcher. It touches nothing.
func New(c Config) *Watcher {
	if c.Jitter == nil {
		c.Jitter = func(d time.Duration) time.Duration { return d + rand.N(d/4+1) }
	}
	return &Watcher{c: c}
}

// Watch serves every slot until ctx ends or Plan fails, and returns why. A run that was under way when
// ctx ended has ended.
func (w *Watcher) Watch(ctx context.Context) error {
	var told time.Time
	for {
		slot, due, next, err := w.look()
		if err != nil {
			return err
		}
		if due {
			if err := w.serve(ctx, slot); ended(ctx) {
				return err
			}
			continue
		}
		if !next.Equal(told) {
			told = next
			w.c.Tell(Event{Kind: Next, At: next})
		}
		if err := w.c.Pause(ctx, min(tick, next.Sub(w.c.Now()))); err != nil {
			return context.Cause(ctx)
		}
	}
}

// Once serves the slot that is due, if one is, and returns how that ended.
func (w *Watcher) Once(ctx context.Context) error {
	slot, due, next, err := w.look()
	if err != nil {
		return err
	}
	if !due {
		w.c.Tell(Event{Kind: Next, At: next})
		return nil
	}
	return w.serve(ctx, slot)
}

func ended(ctx context.Context) bool { return ctx.Err() != nil }

func (w *Watcher) look() (slot time.Time, due bool, next time.Time, err error) {
	plan, err := w.c.Plan()
	if err == nil {
		err = plan.Times.Check()
	}
	if err != nil {
		return slot, false, next, err
	}
	now := w.c.Now()
	done := append([]time.Time{w.ended}, plan.Done...)
	slot, due = plan.Times.Missed(now, done...)
	return slot, due, plan.Times.Next(now), nil
}

// service is one slot being served.
type service struct {
	w     *Watcher
	slot  time.Time
	left  time.Duration // of the patience
	tries int
	told  string // what the wait was said to be for
}

func (w *Watcher) serve(ctx context.Context, slot time.Time) error {
	s := &service{w: w, slot: slot, left: Patience}
	err := s.run(ctx)
	if ended(ctx) {
		return context.Cause(ctx)
	}
	w.ended = w.c.Now()
	if _, _, _, err := w.look(); err != nil {
		return err // the schedule was turned off meanwhile: no failure of a run
	}
	if err != nil {
		w.c.Tell(Event{Kind: GaveUp, Slot: slot, Tries: s.tries, Err: err})
	}
	return err
}

// run returns nil when the backup was made, by this run or by another command.
func (s *service) run(ctx context.Context) error {
	for {
		if err := s.unhindered(ctx); err != nil {
			return err
		}
		_, due, _, err := s.w.look()
		if err != nil {
			return err
		}
		if !due {
			s.w.c.Tell(Event{Kind: Superseded, Slot: s.slot})
			return nil
		}
		if err = s.w.c.Run(ctx); err == nil {
			s.tries++
			s.w.c.Tell(Event{Kind: Done, Slot: s.slot, Tries: s.tries})
			return nil
		}
		if err := s.after(ctx, err); err != nil {
			return err
		}
	}
}

// after waits until the next try after a failure, or returns why there is none.
func (s *service) after(ctx context.Context, failure error) error {
	if ended(ctx) {
		return context.Cause(ctx)
	}
	v := s.w.c.Judge(failure)
	if v.For != "" {
		if s.left <= 0 {
			return failure
		}
		s.waits([]string{v.For})
		return s.pause(ctx, tick)
	}
	s.tries++
	s.told = ""
	pause := max(v.After, s.w.c.Jitter(pauses[min(s.tries, len(pauses))-1]))
	if !v.Passes || pause > s.left {
		return failure
	}
	s.w.c.Tell(Event{Kind: Failed, Slot: s.slot, At: s.w.c.Now().Add(pause), Tries: s.tries, Err: failure})
	return s.pause(ctx, pause)
}

// unhindered waits until nothing stands against a run.
func (s *service) unhindered(ctx context.Context) error {
	for {
		hindered := s.w.c.Hindered(ctx)
		if ended(ctx) {
			return context.Cause(ctx)
		}
		if len(hindered) == 0 {
			return nil
		}
		if s.left <= 0 {
			return &HinderedError{For: hindered, Waited: Patience}
		}
		s.waits(hindered)
		if err := s.pause(ctx, tick); err != nil {
			return err
		}
	}
}

func (s *service) waits(hindered []string) {
	if text := strings.Join(hindered, " and "); text != s.told {
		s.told = text
		s.w.c.Tell(Event{Kind: Waits, Slot: s.slot, For: hindered, Left: s.left})
	}
}

// pause waits for d awake, or until the clock says that it is over: a device that slept
// through the pause tries again at its waking.
func (s *service) pause(ctx context.Context, d time.Duration) error {
	until := s.w.c.Now().Add(d)
	for d > 0 && s.w.c.Now().Before(until) {
		step := min(d, tick)
		if err := s.w.c.Pause(ctx, step); err != nil {
			return context.Cause(ctx)
		}
		d -= step
		s.left -= step
	}
	return nil
}
