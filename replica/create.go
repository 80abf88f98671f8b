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

// Create makes the first member of a new group, with a machine that has applied
// the genesis entries, after which it must be the only voter. It needs an anchor that
// nothing was founded on, and a folder without a replica (ErrExists). After a
// crash Create can be called again.
func Create(ctx context.Context, c Config, member uint64, genesis [][]byte) (err error) {
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
	m, err := c.genesis(genesis)
	if err != nil {
		return err
	}
	voters, _ := split(m.Members())
	if len(voters) != 1 || voters[0] != member || member == 0 {
		return fmt.Errorf("replica: a group begins with the member that makes it as its only voter: %d, not %d", member, voters)
	}
	secret, err := anchor.NewKey(c.Rand)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	b := base{member: member, index: genesisIndex, term: genesisIndex, secret: secret, voters: voters}
	return c.found(ctx, disk, b, m.Checkpoint())
}

// genesis makes the first state.
func (c *Config) genesis(entries [][]byte) (Machine, error) {
	m := c.NewMachine()
	for i, entry := range entries {
		if err := checkEntry(entry, c.MaxEntry); err != nil {
			return nil, fmt.Errorf("genesis entry %d: %w", i, err)
		}
		if _, err := m.Apply(slices.Clone(entry), false); err != nil {
			return nil, fmt.Errorf("applying genesis entry %d: %w", i, err)
		}
	}
	return m, nil
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

// found writes the first checkpoint, and founds the anchor on it.
func (c *Config) found(ctx context.Context, disk Disk, b base, picture Checkpoint) error {
	w, err := newMaking(disk, c.Rand, b)
	if err != nil {
		picture.Release()
		return err
	}
	w.picture = picture
	defer w.wipe()
	defer w.release()
	if err := w.writePicture(); err != nil {
		return fmt.Errorf("writing the first checkpoint: %w", err)
	}
	after, err := w.finish(chain{}, batch{hard: hardState{term: b.term, commit: b.index}})
	if err != nil {
		return fmt.Errorf("writing the first checkpoint: %w", err)
	}
	if err := c.Anchor.Found(ctx, after.state(), w.epoch.key); err != nil {
		return fmt.Errorf("founding the anchor: %w", err)
	}
	return nil
}
