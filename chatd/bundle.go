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

	mu       sync.Mutex
	fetching chan struct{} // closed when the fetch that runs has ended; nil: none runs
	ended    time.Time     // the fetch before it

	last atomic.Pointer[fetched] // nil: never; who only looks waits for no fetch
	old  atomic.Bool             // to be fetched at the next get
}

// fetched is a bundle, and when it was asked for.
type fetched struct {
	data []byte
	at   time.Time
}

const (
	// bundlePause is the time from the end of a fetch to the next one, however many ask.
	bundlePause = time.Second
	// bundlePatience is how long callers wait for a fetch with a bundle at hand: longer than
	// one takes while a vaultd answers, and far shorter than one that finds none.
	bundlePatience = time.Second
)

// get gives the bundle, fetched anew when it is too old; an older one when that
// fails or takes too long, an error when there is none. Callers wait for one fetch together, each
// until ctx ends.
func (b *bundleCache) get(ctx context.Context) ([]byte, error) {
	fetching := b.renew(ctx)
	if fetching == nil {
		return b.have()
	}
	var enough <-chan time.Time
	if b.last.Load() != nil {
		enough = time.After(bundlePatience)
	}
	select {
	case <-fetching:
	case <-enough:
	case <-ctx.Done():
	}
	return b.have()
}

// renew begins a fetch if one is due and none runs, and gives the one that runs.
func (b *bundleCache) renew(ctx context.Context) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, last := b.now(), b.last.Load()
	fresh := !b.old.Load() && last != nil && now.Sub(last.at).Abs() < b.every
	if b.fetching != nil || fresh || !b.ended.IsZero() && now.Sub(b.ended).Abs() < bundlePause {
		return b.fetching
	}
	b.old.Store(false)
	b.fetching = make(chan struct{})
	// The fetch serves all who wait, so that it does not end with who came first.
	go b.run(context.WithoutCancel(ctx), now)
	return b.fetching
}

// run is a fetch, asked for at the time now.
func (b *bundleCache) run(ctx context.Context, now time.Time) {
	data, err := b.fetch(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.last.Store(&fetched{data, now})
	}
	b.ended = b.now()
	close(b.fetching)
	b.fetching = nil
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
