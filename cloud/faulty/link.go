package faulty

import (
	"sync"
	"time"
)

// link is one direction of the way, which all connections share.
type link struct {
	mu      sync.Mutex
	latency time.Duration
	rate    int64
	free    time.Time // when the last byte so far will have left
}

func (l *link) set(w Way) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latency, l.rate, l.free = w.Latency, w.Rate, time.Time{}
}

// send says when n bytes that are sent now arrive. The zero time: at once.
func (l *link) send(n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latency == 0 && l.rate == 0 {
		return time.Time{}
	}
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	if l.rate > 0 {
		l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	}
	return l.free.Add(l.latency)
}

// roundTrip is how long a new connection takes.
func (l *link) roundTrip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 2 * l.latency
}

// pieceSize is how much is sent as one piece: a fiftieth of a second of a slow
// link, so that connections share it evenly.
func (l *link) pieceSize() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 {
		return largestPiece
	}
	return int(max(min(l.rate/50, largestPiece), 512))
}

const (
	largestPiece = 32 << 10
	// onTheWay pieces of a connection and direction are under way at most: two
	// megabytes, a window that fills 100 Mbit/s at any latency used here.
	onTheWay = 64
)
