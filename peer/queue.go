package peer

import (
	"sync"
	"time"
)

// item is a message that waits.
type item struct {
	group   uint32
	message []byte
	at      time.Time
}

// itemCost is what a message takes besides its bytes, so that empty ones are bounded too.
const itemCost = 64

func (i *item) cost() int { return len(i.message) + itemCost }

// queue holds the messages for one member, oldest first.
type queue struct {
	limit int
	ready chan struct{} // has a token when something may be in the queue

	mu      sync.Mutex
	items   []item
	head    int // items before it are gone
	bytes   int
	dropped uint64
}

func newQueue(limit int) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// push puts a message at the end, and drops from the front what has no room then.
func (q *queue) push(i item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(i.message) > MaxMessage || i.cost() > q.limit {
		q.dropped++
		return
	}
	q.items = append(q.items, i)
	for q.bytes += i.cost(); q.bytes > q.limit; q.dropped++ {
		q.shift()
	}
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// shift takes the oldest.
func (q *queue) shift() item {
	i := q.items[q.head]
	q.items[q.head] = item{}
	q.bytes -= i.cost()
	if q.head++; 2*q.head >= len(q.items) {
		// Moves no more than it has taken away since the last time.
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return i
}

func (q *queue) pop() (i item, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return i, false
	}
	return q.shift(), true
}

// forget drops what is older than a time: on a new connection it would only stand in
// front of what the other side still has a use for.
func (q *queue) forget(before time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for ; q.head < len(q.items) && q.items[q.head].at.Before(before); q.dropped++ {
		q.shift()
	}
}

func (q *queue) state() (bytes int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes, q.dropped
}
