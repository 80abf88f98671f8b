package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/cloud"
)

// do makes attempts until one ends in something that waiting does not mend.
// again says that there was an attempt before, which may have done its work.
func (s *Store) do(ctx context.Context, attempt func(again bool) error) error {
	p := spell{s: s}
	for {
		err := p.attempt(ctx, func() error { return attempt(p.failures > 0) })
		if !passes(err) {
			return err
		}
		if err := p.wait(ctx, err); err != nil {
			return err
		}
	}
}

// passes says of an error that the same request may succeed later.
func passes(err error) bool {
	return errors.Is(err, cloud.ErrUnreachable) || errors.Is(err, cloud.ErrThrottled)
}

// A spell is the failures of one request since it last got further.
type spell struct {
	s        *Store
	since    time.Time // of the first failure
	failures int
	took     time.Duration // by the last attempt
}

// attempt makes one, not before the store wants it.
func (p *spell) attempt(ctx context.Context, request func() error) error {
	if err := p.s.hold(ctx); err != nil {
		return err
	}
	began := p.s.o.Now()
	err := request()
	p.took = p.s.o.Now().Sub(began)
	if !errors.Is(err, cloud.ErrUnreachable) && ctx.Err() == nil {
		p.s.answered.Store(true)
	}
	if !passes(err) && p.failures > 0 {
		p.s.o.Resumed()
	}
	return err
}

// further ends the spell: the request has got somewhere.
func (p *spell) further() { p.failures = 0 }

// wait returns nil when the request is to be made again, else its error.
func (p *spell) wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := p.s.o.Now()
	if p.failures == 0 {
		p.since = now
	}
	tried := now.Sub(p.since)
	left := p.s.patience() - tried
	pause, asked := p.s.pause(p.failures, err)
	switch {
	case left <= 0:
		return givenUp(err, tried)
	case asked > left:
		return fmt.Errorf("%w (it asks to come back in %v)", err, asked)
	}
	p.failures++
	p.s.ask(now.Add(asked))
	pause = min(pause, left)
	p.s.o.Waiting(Wait{Err: err, Failed: p.failures, Took: p.took, Tried: tried, After: pause, Left: left})
	return p.s.o.Sleep(ctx, pause)
}

func givenUp(err error, tried time.Duration) error {
	if tried < time.Second {
		return err
	}
	return fmt.Errorf("%w (tried again for %v)", err, tried.Round(time.Second))
}

func (s *Store) patience() time.Duration {
	if s.answered.Load() {
		return s.o.Patience
	}
	return s.o.Connect
}

// pause is how long to wait after so many failures before, and how much of it
// the store asked for. Chance is added to what was asked too: everybody who was
// refused was told the same.
func (s *Store) pause(failures int, err error) (pause, asked time.Duration) {
	limit := longestWait
	if failures < 6 { // firstWait<<6 is longer than longestWait
		limit = firstWait << failures
	}
	if d, ok := errors.AsType[*cloud.DelayError](err); ok && d.After > 0 {
		asked = d.After
		limit = firstWait
	}
	return asked + s.o.Jitter(limit), asked
}

// ask keeps every request back until then.
func (s *Store) ask(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.notBefore) {
		s.notBefore = until
	}
}

// hold waits until the store wants requests again.
func (s *Store) hold(ctx context.Context) error {
	s.mu.Lock()
	until := s.notBefore
	s.mu.Unlock()
	if d := until.Sub(s.o.Now()); d > 0 {
		return s.o.Sleep(ctx, d+s.o.Jitter(firstWait))
	}
	return nil
}
