// Package retry makes of a cloud.Store one that tries again. What passes by
// itself (a network that is down, a server that asks to slow down) is waited
// for; what a person must do something about (no room, no permission) is not.
//
// Waits grow twofold, and each is drawn anew between nothing and the whole
// ("full jitter": Exponential Backoff And Jitter, AWS Architecture Blog, 2015),
// so that the requests that failed together do not come back together. A store
// that says how long to wait (cloud.DelayError) is believed by all requests.
//
// What a repetition must not do is what makes this more than a loop: a Put
// whose answer was lost is not a Put that somebody else made first, a Delete
// whose answer was lost has deleted, a listing that starts again names nothing
// twice, and a download that broke goes on at the byte where it broke.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/cloud"
)

// Defaults of Options.
const (
	DefaultPatience = 15 * time.Minute
	DefaultConnect  = time.Minute
)

// The first wait is up to firstWait, the longest up to longestWait.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// Options say how long to try and whom to tell. The zero value is what a person
// with a network that comes and goes would choose.
type Options struct {
	// Patience is how long a request is tried again without getting further;
	// a byte of a download is further. 0 means DefaultPatience, a negative one
	// that nothing is tried again.
	Patience time.Duration
	// Connect is the patience until the store has answered for the first time:
	// shorter, for a wrong name does not become right by waiting. 0 means
	// DefaultConnect.
	Connect time.Duration

	// Waiting is told before each wait, Resumed when a request that had waited
	// was answered. Both may be nil, and may be called concurrently.
	Waiting func(Wait)
	Resumed func()

	// Now, Sleep and Jitter are the clock and chance of a test: Sleep returns
	// ctx.Err() early when ctx ends, Jitter draws from [0, d). Nil means the
	// real ones. The real clock stands still while the machine sleeps, so
	// that a lid that was closed overnight has cost no patience.
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
	Jitter func(d time.Duration) time.Duration
}

// Wait is what Options.Waiting is told.
type Wait struct {
	Err    error         // why; wraps cloud.ErrUnreachable or cloud.ErrThrottled
	Failed int           // attempts so far, one at least
	Took   time.Duration // by the last of them
	Tried  time.Duration // since the first of them failed
	After  time.Duration // until the next attempt
	Left   time.Duration // until the request is given up, if nothing changes
}

// Store is a cloud.Store that tries again. It may be used concurrently.
type Store struct {
	under    cloud.Store
	o        Options
	answered atomic.Bool // the store has been reached once

	mu        sync.Mutex
	notBefore time.Time // the store asked for no request before
}

var _ cloud.Store = (*Store)(nil)

// New returns a store that asks under, again where that helps.
func New(under cloud.Store, o Options) *Store {
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Connect == 0 {
		o.Connect = DefaultConnect
	}
	o.Connect = min(o.Connect, o.Patience)
	if o.Waiting == nil {
		o.Waiting = func(Wait) {}
	}
	if o.Resumed == nil {
		o.Resumed = func() {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = func(d time.Duration) time.Duration { return rand.N(d) }
	}
	return &Store{under: under, o: o}
}

// Do makes attempts as a Store would that has never been reached, until one ends in
// something that waiting does not mend: what comes before there is a store.
func Do(ctx context.Context, o Options, attempt func() error) error {
	return New(nil, o).do(ctx, func(bool) error { return attempt() })
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Traits are those of the store underneath.
func (s *Store) Traits() cloud.Traits { return cloud.TraitsOf(s.under) }

// Stat is cloud.Store's.
func (s *Store) Stat(ctx context.Context, name string) (info cloud.Info, err error) {
	err = s.do(ctx, func(bool) error {
		info, err = s.under.Stat(ctx, name)
		return err
	})
	return info, err
}

// Delete is cloud.Store's. An object that is not there when an attempt is
// repeated was deleted by the one before: objects of one name do not come twice.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.do(ctx, func(again bool) error {
		err := s.under.Delete(ctx, name)
		if again && errors.Is(err, cloud.ErrNotExist) {
			return nil
		}
		return err
	})
}
