package chatd

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// bundleCache has the fleet's bundle as it was fetched last. It is as trusted
// as the relay: clients check the signature, the fleet and the serial.
type bundleCache struct {
	fetch func(context.Context) ([]byte, error)
	every time.Duration
	now   func() time.Time

	mu    sync.Mutex // held while a fetch runs, which can take seconds
	tried time.Time

	last atomic.Pointer[fetched] // nil: never; who only looks waits for no fetch
	old  atomic.Bool             // to be fetched at the next get
}

// fetched is a bundle, and when it was asked for.
type fetched struct {
	data []byte
	at   time.Time
}

// get gives the bundle, fetched anew when it is too old; an older one while that
// fails, an error when there is none. Callers wait for a fetch that runs.
func (b *bundleCache) get(ctx context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	// One fetch a second, however many ask.
	last := b.last.Load()
	if !b.old.Load() && last != nil && now.Sub(last.at).Abs() < b.every || !b.tried.IsZero() && now.Sub(b.tried).Abs() < time.Second {
		return b.have()
	}
	b.tried = now
	b.old.Store(false)
	// The fetch serves all who wait, so that it does not end with who came first.
	data, err := b.fetch(context.WithoutCancel(ctx))
	if err == nil {
		b.last.Store(&fetched{data, now})
	}
	return b.have()
}

// have gives the bundle that was fetched last. It asks nobody and waits for
// nothing.
func (b *bundleCache) have() ([]byte, error) {
	last := b.last.Load()
	if last == nil {
		return nil, errNoBundle
	}
	return last.data, nil
}

// keep fetches the bundle whenever a vaultd answered and the last one is too old,
// until ctx ends: before the first client comes, and without one.
func (b *bundleCache) keep(ctx context.Context, answered <-chan struct{}) {
	for {
		select {
		case <-answered:
			b.get(ctx) // counted, and tried again with the next answer
		case <-ctx.Done():
			return
		}
	}
}

// stale makes the next get fetch: a client came with a key that is no more.
func (b *bundleCache) stale() { b.old.Store(true) }

// age is how old the bundle is, below zero when there is none.
func (b *bundleCache) age() time.Duration {
	last := b.last.Load()
	if last == nil {
		return -1
	}
	return b.now().Sub(last.at)
}
