package ledger

import (
	"context"
	"fmt"
	"sync"

	"keepsake.example/anchor"
)

// group is the anchor of one group, a line of the ledger.
type group struct {
	l      *Ledger
	number uint32

	mu     sync.Mutex
	refuse error // why it cannot be used: closed, or open elsewhere
}

var _ anchor.Anchor = (*group)(nil)

// Group returns the anchor of a group. While it is open, a second one of the same group
// says [anchor.ErrInUse] to everything. Its steps are the device's: several groups'
// that wait for the device at the same time are one step of it.
func (l *Ledger) Group(number uint32) anchor.Anchor {
	g := &group{l: l, number: number}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[number] {
		g.refuse = fmt.Errorf("group %d of the ledger: %w", number, anchor.ErrInUse)
	} else {
		l.open[number] = true
	}
	return g
}

func (g *group) refused() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refuse
}

// Read implements [anchor.Anchor].
func (g *group) Read(ctx context.Context) (anchor.State, *anchor.Key, error) {
	if err := g.refused(); err != nil {
		return anchor.State{}, nil, err
	}
	g.l.mu.Lock()
	defer g.l.mu.Unlock()
	if err := g.l.usable(ctx); err != nil {
		return anchor.State{}, nil, err
	}
	now, ok := g.l.lines[g.number]
	if !ok {
		return anchor.State{}, nil, anchor.ErrEmpty
	}
	return now.state, copyKey(now.key), nil
}

func (g *group) step(ctx context.Context, s *step) error {
	if err := g.refused(); err != nil {
		return err
	}
	s.group = g.number
	return g.l.do(ctx, s)
}

// Found implements [anchor.Anchor].
func (g *group) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return g.step(ctx, &step{founds: true, state: s, key: k})
}

// Advance implements [anchor.Anchor].
func (g *group) Advance(ctx context.Context, s anchor.State) error {
	return g.step(ctx, &step{state: s})
}

// Rotate implements [anchor.Anchor].
func (g *group) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return g.step(ctx, &step{state: s, key: k})
}

// Describe implements [anchor.Anchor]: it is the device's.
func (g *group) Describe() anchor.Description { return g.l.device.Describe() }

// Close implements [anchor.Anchor]: the group can be opened again.
func (g *group) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refuse != nil {
		return nil
	}
	g.refuse = errClosed
	g.l.mu.Lock()
	defer g.l.mu.Unlock()
	delete(g.l.open, g.number)
	return nil
}
