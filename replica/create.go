package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"keepsake.example/anchor"
)

// genesisIndex is the index, and its term, that a new machine's state counts as.
const genesisIndex = 1

// Create makes a new replica: the only member of its group, with a machine that has
// applied the genesis entries. It needs an anchor that nothing was founded on, and
// a folder without a replica (ErrExists). The machine is used up: Open
// takes another. After a crash Create can be called again.
func Create(ctx context.Context, c Config, genesis [][]byte) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	disk, err := c.disk()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if err := c.vacant(ctx, disk); err != nil {
		return err
	}
	for i, entry := range genesis {
		if err := checkEntry(entry, c.MaxEntry); err != nil {
			return fmt.Errorf("genesis entry %d: %w", i, err)
		}
		if _, err := c.Machine.Apply(slices.Clone(entry)); err != nil {
			return fmt.Errorf("applying genesis entry %d: %w", i, err)
		}
	}
	return c.found(ctx, disk)
}

// vacant makes sure that nothing is overwritten. A first checkpoint alone is what
// an earlier Create left when it crashed before the anchor was founded.
func (c *Config) vacant(ctx context.Context, disk Disk) error {
	_, k, err := c.Anchor.Read(ctx)
	k.Wipe()
	if err == nil {
		return fmt.Errorf("%w on this anchor", ErrExists)
	}
	if !errors.Is(err, anchor.ErrEmpty) {
		return fmt.Errorf("reading the anchor: %w", err)
	}
	found, err := listFiles(disk)
	switch {
	case err != nil:
		return err
	case len(found.logs) > 0, slices.ContainsFunc(found.checkpoints, func(n uint64) bool { return n != 1 }):
		return fmt.Errorf("%w in this folder, of another anchor", ErrExists)
	case len(found.checkpoints) > 0:
		return disk.Remove(checkpointName(1))
	}
	return nil
}

func (c *Config) found(ctx context.Context, disk Disk) error {
	b := base{member: onlyVoter, index: genesisIndex, term: genesisIndex, voters: []uint64{onlyVoter}}
	w, err := newMaking(disk, c.Rand, b)
	if err != nil {
		return err
	}
	defer w.wipe()
	defer w.release()
	w.picture = c.Machine.Checkpoint()
	if err := w.writePicture(); err != nil {
		return fmt.Errorf("writing the first checkpoint: %w", err)
	}
	after, err := w.finish(chain{}, batch{hard: hardState{term: genesisIndex, commit: genesisIndex}})
	if err != nil {
		return fmt.Errorf("writing the first checkpoint: %w", err)
	}
	if err := c.Anchor.Found(ctx, after.state(), w.epoch.key); err != nil {
		return fmt.Errorf("founding the anchor: %w", err)
	}
	return nil
}
