package peer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Codes of answers.
const (
	codeAnswered = iota
	codeFailed
)

// caller sends calls to one member.
type caller struct {
	places chan struct{} // one for each call in work

	mu      sync.Mutex
	line    *line // nil: not connected
	failed  bool  // the last attempt to connect failed
	changed chan struct{}
}

// line is the calls of one connection.
type line struct {
	c        *conn
	requests chan frame

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan frame
}

func newCaller(n int) *caller {
	return &caller{places: make(chan struct{}, n), changed: make(chan struct{})}
}

// set tells those who wait for a connection what came of it.
func (r *caller) set(l *line, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line, r.failed = l, failed
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *caller) call(ctx context.Context, request []byte) ([]byte, error) {
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: too many calls: %w", ErrUnreachable, ctx.Err())
	}
	l, err := r.connected(ctx)
	if err != nil {
		return nil, err
	}
	return l.call(ctx, request)
}

// connected waits for a connection while there is hope.
func (r *caller) connected(ctx context.Context) (*line, error) {
	for {
		r.mu.Lock()
		l, failed, changed := r.line, r.failed, r.changed
		r.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case failed:
			return nil, ErrUnreachable
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
	}
}

func (l *line) call(ctx context.Context, request []byte) ([]byte, error) {
	f := frame{kind: kindRequest, left: milliseconds(ctx), body: request}
	answer := make(chan frame, 1)
	f.number = l.enter(answer)
	defer l.leave(f.number)
	select {
	case l.requests <- f:
	case <-l.c.ctx.Done():
		return nil, ErrUnreachable
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	}
	select {
	case f = <-answer:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.c.ctx.Done():
		select {
		case f = <-answer: // both have happened
		default:
			return nil, ErrLost
		}
	}
	if f.code != codeAnswered {
		return nil, ErrFailed
	}
	return f.body, nil
}

// milliseconds is how long the other side need not give up, rounded up.
func milliseconds(ctx context.Context) uint32 {
	end, _ := ctx.Deadline() // Call has set one
	return uint32(min(max(time.Until(end).Milliseconds()+1, 1), math.MaxUint32))
}

func (l *line) enter(answer chan frame) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.waiting[l.last] = answer
	return l.last
}

func (l *line) leave(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, number)
}

// deliver gives an answer to whoever waits; that nobody does any more is no fault.
func (l *line) deliver(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answer := l.waiting[f.number]; answer != nil {
		delete(l.waiting, f.number) // once
		answer <- f
	}
}

// run sends requests on a connection and takes their answers, until it ends.
func (r *caller) run(k *link, c *conn) error {
	l := &line{c: c, requests: make(chan frame), waiting: map[uint64]chan frame{}}
	k.l.all.Go(func() {
		c.hear(k.l.limits.Call, func(f frame) error {
			switch f.kind {
			case kindBeat:
			case kindAnswer:
				l.deliver(f)
			default:
				return errFrame
			}
			return nil
		})
	})
	r.set(l, false)
	defer r.set(nil, false) // it may be back soon
	tick := time.NewTicker(k.l.limits.Beat)
	defer tick.Stop()
	for err := k.beat(c); err == nil; {
		select {
		case f := <-l.requests:
			err = c.send(f)
		case <-tick.C:
			err = k.beat(c)
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
	}
	c.cancel(errors.New("peer: writing failed"))
	return context.Cause(c.ctx)
}

// serve answers calls, so many at once; when there are more, it stops reading.
func (k *link) serve(c *conn) {
	echo := k.answerBeats(c)
	c.hear(k.l.limits.Call, func(f frame) error {
		switch f.kind {
		case kindBeat:
			echo(f)
		case kindRequest:
			select {
			case k.serves <- struct{}{}:
			case <-c.ctx.Done():
				return context.Cause(c.ctx)
			}
			k.l.all.Go(func() {
				defer func() { <-k.serves }()
				k.answer(c, f)
			})
		default:
			return errFrame
		}
		return nil
	})
}

func (k *link) answer(c *conn, f frame) {
	left := min(time.Duration(f.left)*time.Millisecond, k.l.limits.CallTime)
	ctx, cancel := context.WithTimeout(c.ctx, left)
	defer cancel()
	back := frame{kind: kindAnswer, number: f.number, code: codeFailed}
	body, err := k.l.handle(ctx, k.peer.Number, f.body)
	if err == nil && len(body) > k.l.limits.Call {
		err = errors.New("peer: the answer is larger than a call's may be")
	}
	if err == nil {
		back.code, back.body = codeAnswered, body
	} else {
		k.l.log.Debug("call failed", "member", k.peer.Number, "error", err)
	}
	if err := c.send(back); err != nil {
		c.cancel(err)
	}
}

func (l *Links) handle(ctx context.Context, from uint64, request []byte) ([]byte, error) {
	if l.c.Serve == nil {
		return nil, errors.New("peer: no calls are served here")
	}
	return l.c.Serve(ctx, from, request)
}
