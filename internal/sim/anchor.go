package sim

import (
	"context"

	"keepsake.example/anchor"
)

// counter is an anchor in memory. A step can be done although its caller hears
// nothing of it, because the power went in between.
type counter struct {
	*power
	founded bool
	state   anchor.State
	key     [anchor.KeySize]byte
	lenient bool // it takes any count: for a bug that does not count
}

// Read implements anchor.Anchor.
func (a *counter) Read(context.Context) (anchor.State, *anchor.Key, error) {
	if err := a.use(); err != nil {
		return anchor.State{}, nil, err
	}
	if !a.founded {
		return anchor.State{}, nil, anchor.ErrEmpty
	}
	return a.state, anchor.KeyFromBytes(a.key), nil
}

func (a *counter) set(s anchor.State, k *anchor.Key) error {
	if err := a.use(); err != nil {
		return err
	}
	a.founded, a.state = true, s
	if k != nil {
		k.Use(func(secret *[anchor.KeySize]byte) { a.key = *secret })
	}
	return a.use()
}

// Found implements anchor.Anchor.
func (a *counter) Found(_ context.Context, s anchor.State, k *anchor.Key) error {
	if a.founded {
		return anchor.ErrFounded
	}
	return a.set(s, k)
}

// Advance implements anchor.Anchor.
func (a *counter) Advance(ctx context.Context, s anchor.State) error { return a.Rotate(ctx, s, nil) }

// Rotate implements anchor.Anchor.
func (a *counter) Rotate(_ context.Context, s anchor.State, k *anchor.Key) error {
	switch {
	case !a.founded:
		return anchor.ErrEmpty
	case s.Counter != a.state.Counter+1 && !a.lenient:
		return anchor.ErrStale
	}
	return a.set(s, k)
}

// Describe implements anchor.Anchor.
func (a *counter) Describe() anchor.Description {
	return anchor.Description{Name: "simulated", Protects: "as told"}
}

// Close implements anchor.Anchor.
func (a *counter) Close() error { return nil }

// stored is what an image of disk and anchor holds.
type stored struct {
	disk    image
	counter counter
	synced  int
}
