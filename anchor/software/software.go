// Package software is an anchor in a folder, for development: it protects from nothing.
package software

import (
	"context"
	"errors"

	"keepsake.example/anchor"
)

// Anchor is an open anchor in a folder.
type Anchor struct{}

var _ anchor.Anchor = (*Anchor)(nil)

var errMissing = errors.New("software anchor: being written")

// Open opens the anchor in the folder dir, which it makes if it is missing.
func Open(dir string) (*Anchor, error) { return nil, errMissing }

// Read implements [anchor.Anchor].
func (a *Anchor) Read(ctx context.Context) (anchor.State, *anchor.Key, error) {
	return anchor.State{}, nil, errMissing
}

// Found implements [anchor.Anchor].
func (a *Anchor) Found(ctx context.Context, s anchor.State, k *anchor.Key) error { return errMissing }

// Advance implements [anchor.Anchor].
func (a *Anchor) Advance(ctx context.Context, s anchor.State) error { return errMissing }

// Rotate implements [anchor.Anchor].
func (a *Anchor) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error { return errMissing }

// Describe implements [anchor.Anchor].
func (a *Anchor) Describe() anchor.Description { return anchor.Description{} }

// Close implements [anchor.Anchor].
func (a *Anchor) Close() error { return nil }
