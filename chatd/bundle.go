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

	mu    sync.Mutex
	data  []byte
	got   time.Time
	tried time.Time

	old atomic.Bool // to be fetched at the next get
}

// get gives the bundle, fetched anew when it is too old; an older one while that
// fails, an error when there is none. Callers wait for a fetch that runs.
func (b *bundleCache) get(ctx context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	// One fetch a second, however many ask.
	if !b.old.Load() && !b.got.IsZero() && now.Sub(b.got).Abs() < b.every || !b.tried.IsZero() && now.Sub(b.tried).Abs() < time.Second {
		return b.have()
	}
	b.tried = now
	b.old.Store(false)
	// The fetch serves all who wait, so that it does not end with who came first.
	data, err := b.fetch(context.WithoutCancel(ctx))
	if err == nil {
		b.data, b.got = data, now
	}
	return b.have()
}

func (b *bundleCache) have() ([]byte, error) {
	if b.data == nil {
		return nil, errNoVault
	}
	return b.data, nil
}

// stale makes the next get fetch: a client came with a key that is no more.
func (b *bundleCache) stale() { b.old.Store(true) }

// age is how old the bundle is, below zero when there is none.
func (b *bundleCache) age() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		return -1
	}
	return b.now().Sub(b.got)
}
