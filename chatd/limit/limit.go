// Package limit bounds how often each of many does something: a token bucket
// (golang.org/x/time/rate) per key, in a table of bounded size.
//
// When the table is full the key that was seen longest ago is forgotten, and
// its bucket is full again if it comes back. Somebody who wants that for
// himself must come under as many other keys as the table has places.
package limit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Key names one of many. Callers hash what they know about whom they limit,
// so that the table holds no names and a key costs the same for everybody.
type Key [16]byte

// A Rate is how often: Burst at once, and one more every Every. The zero Rate
// has no bound.
type Rate struct {
	Burst int
	Every time.Duration
}

// A Table has a bucket for each key. It is safe for concurrent use. A nil
// Table allows everything.
type Table struct {
	rate Rate
	size int

	mu     sync.Mutex
	places map[Key]*list.Element
	order  *list.List // of *place, the one seen last in front
}

type place struct {
	key    Key
	bucket *rate.Limiter
}

// New makes a table of size places; some 300 bytes each when full. It is nil
// for the zero Rate.
func New(r Rate, size int) *Table {
	if r.Burst <= 0 || r.Every <= 0 {
		return nil
	}
	return &Table{rate: r, size: max(size, 1), places: make(map[Key]*list.Element), order: list.New()}
}

// Allow takes one from the bucket of key at the time now. If there is none it
// tells how long until there is.
func (t *Table) Allow(key Key, now time.Time) (wait time.Duration, ok bool) {
	if t == nil {
		return 0, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.bucket(key).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

func (t *Table) bucket(key Key) *rate.Limiter {
	if e, ok := t.places[key]; ok {
		t.order.MoveToFront(e)
		return e.Value.(*place).bucket
	}
	if t.order.Len() >= t.size {
		oldest := t.order.Remove(t.order.Back()).(*place)
		delete(t.places, oldest.key)
	}
	p := &place{key, rate.NewLimiter(rate.Every(t.rate.Every), t.rate.Burst)}
	t.places[key] = t.order.PushFront(p)
	return p.bucket
}

// Len is how many keys the table holds.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order.Len()
}
