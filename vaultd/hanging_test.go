package vaultd_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/roster"
)

// A hanging anchor does not count on while it is locked.
type hanging struct {
	anchor.Anchor
	hangs *sync.RWMutex
}

func (a hanging) Advance(ctx context.Context, s anchor.State) error {
	a.hangs.RLock()
	defer a.hangs.RUnlock()
	return a.Anchor.Advance(ctx, s)
}

// A machine whose anchor hangs says that it is not ready, and why, and whoever asks it for
// anything, or has it ask others, waits no longer than it wants to.
func TestMachineThatHangs(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	var hangs sync.RWMutex
	f := newFleet(t, 3, 1, func(m *machine) {
		if m.number == 2 {
			m.anchor = hanging{m.anchor, &hangs}
		}
	})
	m := f.machine(2)
	hangs.Lock()
	defer hangs.Unlock()
	f.askAt(f.machine(1))
	f.decide(f.next(roster.Void))
	eventually(t, "the balancer is told", func() error {
		if r := f.admin(m, "GET", "/readyz", nil); r.Code != http.StatusServiceUnavailable {
			return errors.New("ready")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answered := make(chan struct{})
	go func() { m.server.Status(ctx); close(answered) }()
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Error("its status does not come while it hangs")
	}
	m.problem("group 0", "hangs")
}
