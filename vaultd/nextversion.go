//go:build nextversion

package vaultd

import (
	"context"
	"time"

	"keepsake.example/replica"
	"keepsake.example/vaultd/machine"
)

// next starts what version 3 does besides: whoever leads a group proposes one mark
// in each term, as soon as every member reads it. It is for tests of upgrades, which
// see it in the metric vaultd_marks.
func (s *Server) next(g *group) {
	if s.config.version < 3 {
		return
	}
	if g.number == machine.Root {
		s.metrics.gauge("vaultd_marks", "Marks of version 3 applied by the root group.", nil, func() float64 { return float64(g.marks()) })
	}
	g.ended.Go(func() {
		ctx, cancel := g.context()
		defer cancel()
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for marked := uint64(0); ; {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				marked = g.mark(ctx, marked)
			}
		}
	})
}

// mark proposes a mark unless one was taken in this term, and returns the term of the last.
func (g *group) mark(ctx context.Context, marked uint64) uint64 {
	st := g.replica.Status()
	if st.Role != "leader" || st.Term == marked {
		return marked
	}
	if _, err := g.replica.Propose(ctx, machine.Mark()); err != nil {
		return marked // not everybody reads it yet
	}
	return st.Term
}

func (g *group) marks() (n uint32) {
	g.replica.Peek(func(m replica.Machine) { n = m.(*machine.Machine).Marks() })
	return n
}
