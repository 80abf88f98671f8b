package rclone

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"golang.org/x/oauth2"

	"keepsake.example/cloud"
)

// do calls a back end, and once more after signing in anew when that is what
// the cloud wants. Errors are classified.
func (s *Store) do(ctx context.Context, fn func(context.Context, fs.Fs) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := s.current()
	err := s.call(ctx, f, fn)
	if err != nil && isExpired(err) {
		renewed, why := s.renew(ctx, f)
		switch {
		case renewed:
			err = s.call(ctx, s.current(), fn)
		case why != nil:
			err = why
		}
	}
	if err != nil {
		return s.classify(ctx, err)
	}
	s.mu.Lock()
	s.dirty = false
	s.mu.Unlock()
	return nil
}

func (s *Store) call(ctx context.Context, f fs.Fs, fn func(context.Context, fs.Fs) error) error {
	s.calls.Add(1)
	// rclone's options travel in the context.
	ctx, c := fs.AddConfig(ctx)
	c.LowLevelRetries = s.kind.retries
	ctx, stop := held(ctx)
	defer stop()
	_, err := await(ctx, func() (struct{}, error) { return struct{}{}, fn(ctx, f) }, nil)
	return because(ctx, err)
}

// await calls fn, but waits no longer for it than ctx: rclone's back ends
// sleep, when the cloud asked them to, with no eye on it. What fn gives after
// that is given to late. A back end that panics on an odd answer is a cloud
// that cannot be understood, no reason to end the process.
func await[T any](ctx context.Context, fn func() (T, error), late func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("%w: an answer that rclone cannot read: %v", cloud.ErrUnreachable, p)
			}
			done <- r
		}()
		r.value, r.err = fn()
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	if late != nil {
		go func() {
			if r := <-done; r.err == nil {
				late(r.value)
			}
		}()
	}
	var none T
	return none, ctx.Err()
}

// lingering is how long a method that changes the cloud waits, after its
// context ended, for rclone to let go, so that it can say what came of it.
const lingering = 5 * time.Second

// linger gives a context that ends some time after ctx.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(lingering, cancel) })
	return late, func() { stop(); cancel() }
}

// change is do for what changes the cloud: when ctx ends it waits for what
// came of the request, for a while.
func (s *Store) change(ctx context.Context, fn func(context.Context, fs.Fs) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	late, cancel := linger(ctx)
	defer cancel()
	err := s.do(late, func(held context.Context, f fs.Fs) error {
		bounded, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(held, cancel)()
		inner, c := fs.AddConfig(bounded)
		c.LowLevelRetries = s.kind.retries
		return fn(inner, f)
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// own gives the object of f for one that belongs to a session that ended.
func (s *Store) own(ctx context.Context, f fs.Fs, o fs.Object) (fs.Object, error) {
	if o.Fs() == fs.Info(f) || s.kind.inPlace {
		return o, nil // where objects are written in place there are no sessions
	}
	return f.NewObject(ctx, o.Remote())
}

// expireToken marks the token of an account as expired, so that the back end
// refreshes what the cloud no longer takes.
func expireToken(m configmap.Mapper) bool {
	text, ok := m.Get("token")
	var token oauth2.Token
	if !ok || json.Unmarshal([]byte(text), &token) != nil || token.RefreshToken == "" {
		return false
	}
	token.Expiry = time.Now().Add(-time.Hour)
	changed, err := json.Marshal(&token)
	if err != nil {
		return false
	}
	m.Set("token", string(changed))
	return true
}

// names lets one change of a name happen at a time, so that of the Puts of
// one Store exactly one succeeds.
type names struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

func (n *names) lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		n.mu.Lock()
		wait, taken := n.busy[name]
		if !taken {
			break
		}
		n.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer n.mu.Unlock()
	if n.busy == nil {
		n.busy = make(map[string]chan struct{})
	}
	mine := make(chan struct{})
	n.busy[name] = mine
	return func() {
		n.mu.Lock()
		delete(n.busy, name)
		n.mu.Unlock()
		close(mine)
	}, nil
}
