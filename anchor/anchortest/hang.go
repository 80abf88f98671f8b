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
	waits atomic.Int32
}

// Reached says whether an anchor waits.
func (h *Hang) Reached() bool { return h.waits.Load() > 0 }

// Of gives an anchor that hangs with it.
func (h *Hang) Of(a anchor.Anchor) anchor.Anchor { return hanging{a, h} }

type hanging struct {
	anchor.Anchor
	h *Hang
}

func (a hanging) Advance(ctx context.Context, s anchor.State) error {
	if !a.h.TryRLock() {
		a.h.waits.Add(1)
		a.h.RLock()
		a.h.waits.Add(-1)
	}
	defer a.h.RUnlock()
	return a.Anchor.Advance(ctx, s)
}
