package vaultd

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/vaultapi"
)

// Limits are the bounds of one vaultd. DefaultLimits gives the ones that
// doc/vaultd.md explains; a zero field takes its default, but for Quantum.
type Limits struct {
	// Connections is how many chatd may have open at once, and ConnectionsPerAddress how many of
	// them from one address (a /64 of IPv6); the next is closed before its TLS begins. A chatd opens
	// one, another for every 250 requests under way, and few while it connects anew.
	Connections, ConnectionsPerAddress int
	// Concurrent is how many requests are worked at once. One costs 0.2 to 0.6 ms
	// of processor time and otherwise waits for the disk, together with others.
	Concurrent int
	// Queue is how many requests wait for one of those places; the next is
	// turned away unopened. One holds about 40 KiB, buffers of TLS included.
	Queue int
	// QueueWait is how long a request waits for a place before it is turned away.
	QueueWait time.Duration
	// PerAccount is how many requests of one account are worked at once; the next
	// is answered busy. It keeps one account from filling the log.
	PerAccount int
	// Commit is how long an answer waits for its commit, over elections and
	// repetitions, before it is busy. The commit may come about all the same: the same
	// request is answered then. chatd waits a second longer before it asks another member.
	Commit time.Duration
	// Drain is how long Close waits for the requests that are being worked.
	Drain time.Duration
	// Quantum is what the time of every answer is rounded up to a multiple of
	// (spec/vault-protocol.md §12). Zero rounds nothing: for tests and benchmarks.
	Quantum time.Duration
	// KeyRotation is the age at which a channel key gets a successor, and
	// KeyValidity how long a key is valid (§7.1).
	KeyRotation, KeyValidity time.Duration
	// Checkpoint is the longest time between two checkpoints; after one nothing
	// that was erased before can be read from the disk. It is not made because
	// something was erased: that would tell when.
	Checkpoint time.Duration
}

// DefaultLimits are the limits of a vaultd that was told none.
func DefaultLimits() Limits {
	return Limits{
		Connections: 500, ConnectionsPerAddress: 100,
		Concurrent: 512, Queue: 2048, QueueWait: 2 * time.Second, PerAccount: 4,
		Commit: 4 * time.Second, Drain: 10 * time.Second, Quantum: 20 * time.Millisecond,
		KeyRotation: 7 * 24 * time.Hour, KeyValidity: 21 * 24 * time.Hour,
		Checkpoint: 6 * time.Hour,
	}
}

// filled puts the default in the place of every zero but the quantum's.
func (l Limits) filled() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ is, or *int }{{&l.Connections, &d.Connections}, {&l.ConnectionsPerAddress, &d.ConnectionsPerAddress}, {&l.Concurrent, &d.Concurrent}, {&l.Queue, &d.Queue}, {&l.PerAccount, &d.PerAccount}} {
		if *f.is == 0 {
			*f.is = *f.or
		}
	}
	for _, f := range []struct{ is, or *time.Duration }{
		{&l.QueueWait, &d.QueueWait}, {&l.Commit, &d.Commit}, {&l.Drain, &d.Drain}, {&l.KeyRotation, &d.KeyRotation}, {&l.KeyValidity, &d.KeyValidity},
		{&l.Checkpoint, &d.Checkpoint},
	} {
		if *f.is == 0 {
			*f.is = *f.or
		}
	}
	return l
}

// Check refuses a limit out of its range; the upper bounds keep a typing slip from being taken for
// a number. What is zero is the default.
func (l Limits) Check() error { return l.filled().check() }

func (l Limits) check() error {
	for _, r := range []struct {
		name     string
		is, to   int64
		from     int64
		isPeriod bool
	}{
		{"connections", int64(l.Connections), 1 << 16, 1, false},
		{"connections_per_address", int64(l.ConnectionsPerAddress), 1 << 16, 1, false},
		{"concurrent", int64(l.Concurrent), 1 << 16, 1, false},
		{"queue", int64(l.Queue), 1 << 20, 1, false},
		{"per_account", int64(l.PerAccount), 1024, 1, false},
		{"queue_wait", int64(l.QueueWait), int64(time.Minute), int64(time.Millisecond), true},
		{"commit", int64(l.Commit), int64(time.Minute), int64(10 * time.Millisecond), true},
		{"drain", int64(l.Drain), int64(10 * time.Minute), int64(time.Millisecond), true},
		{"quantum", int64(l.Quantum), int64(time.Second), 0, true},
		{"checkpoint", int64(l.Checkpoint), int64(7 * 24 * time.Hour), int64(time.Minute), true},
		{"key_rotation", int64(l.KeyRotation), int64(30 * 24 * time.Hour), int64(time.Hour), true},
		{"key_validity", int64(l.KeyValidity), int64(90 * 24 * time.Hour), int64(2 * time.Hour), true},
	} {
		if r.is < r.from || r.is > r.to {
			if r.isPeriod {
				return fmt.Errorf("vaultd: limit %s is %v, not from %v to %v", r.name, time.Duration(r.is), time.Duration(r.from), time.Duration(r.to))
			}
			return fmt.Errorf("vaultd: limit %s is %d, not from %d to %d", r.name, r.is, r.from, r.to)
		}
	}
	return l.checkKeys()
}

// maxKeys is how many channel keys a bundle can hold (§7.1).
const maxKeys = 8

func (l Limits) checkKeys() error {
	if l.KeyValidity < 2*l.KeyRotation {
		return fmt.Errorf("vaultd: key_validity %v is under twice key_rotation %v: a client that was away for one rotation would have no key", l.KeyValidity, l.KeyRotation)
	}
	if l.KeyValidity > (maxKeys-1)*l.KeyRotation {
		return fmt.Errorf("vaultd: key_validity %v is over %d times key_rotation %v: a bundle has room for %d keys", l.KeyValidity, maxKeys-1, l.KeyRotation, maxKeys)
	}
	return nil
}

// gate lets so many in at once, lets so many more wait, and turns the rest away.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
}

func newGate(l Limits) *gate {
	return &gate{slots: make(chan struct{}, l.Concurrent), queue: int64(l.Queue), wait: l.QueueWait}
}

// enter gives a place or ErrOverloaded. Who got one calls leave.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.queue {
		return ErrOverloaded
	}
	ctx, cancel := context.WithTimeout(ctx, g.wait)
	defer cancel()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ErrOverloaded
	}
}

func (g *gate) leave() { <-g.slots }

func (g *gate) inFlight() int { return len(g.slots) }

// accounts counts the requests of each account that are being worked. The map
// holds those only: it is no larger than the gate is wide.
type accounts struct {
	mu    sync.Mutex
	count map[vaultapi.Account]int
	most  int
}

func newAccounts(most int) *accounts {
	return &accounts{count: map[vaultapi.Account]int{}, most: most}
}

func (a *accounts) enter(account vaultapi.Account) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[account] >= a.most {
		return false
	}
	a.count[account]++
	return true
}

func (a *accounts) leave(account vaultapi.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[account]--; a.count[account] == 0 {
		delete(a.count, account)
	}
}
