package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"keepsake.example/cloud"
)

// deleteUnnamed deletes what the head before named and the new one does not. What an error leaves is an orphan.
func (p *pruner) deleteUnnamed(before map[string]bool) error {
	after := p.r.wanted()
	var names []string
	for name := range before {
		if !after[name] && !strings.HasPrefix(name, kinds[kindHead].folder) {
			names = append(names, name)
		}
	}
	if err := p.r.dropOldHeads(p.ctx); errors.Is(err, ErrInternal) {
		return err // else the next run does it
	}
	p.r.cache.keep(after)
	if err := deleteAll(p.ctx, p.r.store, names, p.r.held.awake); err != nil {
		return fmt.Errorf("the snapshots are removed, but deleting what nothing needs failed: %w", err)
	}
	return nil
}

// deleteAll deletes objects, several at a time: each deletion waits for the cloud. It goes on after an error and returns the first.
// may, if not nil, is asked before each: the device may sleep between two.
func deleteAll(ctx context.Context, store cloud.Store, names []string, may func(context.Context) error) error {
	var group errgroup.Group
	group.SetLimit(cmp.Or(cloud.TraitsOf(store).Parallel, 8))
	for _, name := range names {
		group.Go(guarded(func() error {
			if may != nil {
				if err := may(ctx); err != nil {
					return err
				}
			}
			if err := store.Delete(ctx, name); err != nil && !errors.Is(err, cloud.ErrNotExist) {
				return fmt.Errorf("deleting %s: %w", name, err)
			}
			return nil
		}))
	}
	return group.Wait()
}

// deleteOrphans deletes what no head names, if it is old enough by the store's clock, spec §11. After another device's lock was taken
// over nothing is deleted, since that device may be slow and not gone.
func (p *pruner) deleteOrphans(since time.Time) error {
	if p.r.reclaimed || len(p.r.damage) > 0 {
		return nil
	}
	wanted := p.r.wanted()
	var old []string
	var bytes int64
	lists, err := listFolders(p.ctx, p.r.store, append(packFolders(), kinds[kindSnapshot].folder, kinds[kindIndex].folder)...)
	if err != nil {
		return fmt.Errorf("listing left-over objects: %w", err)
	}
	for _, list := range lists {
		for _, info := range list {
			if !wanted[info.Name] && since.Sub(info.ModTime) > orphanAge {
				old = append(old, info.Name)
				bytes += info.Size
			}
		}
	}
	if !p.o.DryRun {
		if err := deleteAll(p.ctx, p.r.store, old, p.r.held.awake); err != nil {
			return err
		}
	}
	p.res.OrphansRemoved, p.res.BytesFreed = len(old), p.res.BytesFreed+bytes
	return nil
}
