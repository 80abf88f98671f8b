package anchortest

import (
	"context"
	"sync"
	"sync/atomic"

	"keepsake.example/anchor"
)

// A Hang has anchors wait in Advance while it is locked, as hardware does that hangs.
type Hang struct {
	sync.RWMutex
	waits atomic.Bool
}

// Reached says whether an anchor has come to wait.
func (h *Hang) Reached() bool { return h.waits.Load() }

// Of gives an anchor that hangs with it.
func (h *Hang) Of(a anchor.Anchor) anchor.Anchor { return hanging{a, h} }

type hanging struct {
	anchor.Anchor
	h *Hang
}

func (a hanging) Advance(ctx context.Context, s anchor.State) error {
	if !a.h.TryRLock() {
		a.h.waits.Store(true)
		a.h.RLock()
	}
	defer a.h.RUnlock()
	return a.Anchor.Advance(ctx, s)
}
