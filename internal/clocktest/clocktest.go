// Package clocktest is a clock that stands still until a test moves it. It is for tests only.
package clocktest

import (
	"sync"
	"time"
)

// A Clock shows the time it was last set to. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// At returns a clock that shows t.
func At(t time.Time) *Clock { return &Clock{t: t} }

// Now is the time it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Pass moves it by d, back when d is negative.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
