package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keepsake.example/cloud"
)

// orphanAge is how much older than this run's lock an object no head names must be to be deleted, spec §11.
const orphanAge = 24 * time.Hour

func packFolders() []string { return []string{kinds[kindData].folder, kinds[kindMeta].folder} }

// listPacks lists the packs that lie in the cloud: number → object.
func (r *Repo) listPacks(ctx context.Context) (map[uint32]cloud.Info, error) {
	list, err := listFolders(ctx, r.store, packFolders()...)
	if err != nil {
		return nil, fmt.Errorf("listing packs: %w", err)
	}
	return r.packsIn(ctx, list)
}

// packsIn is listPacks with the folders listed already, and those packs besides that were looked for because they should be there.
func (r *Repo) packsIn(ctx context.Context, list listing) (map[uint32]cloud.Info, error) {
	present := make(map[uint32]cloud.Info)
	r.notePacks(list, present)
	return present, r.lookFor(ctx, present)
}

// notePacks takes the packs out of a listing.
func (r *Repo) notePacks(list listing, present map[uint32]cloud.Info) {
	for _, k := range []kind{kindData, kindMeta} {
		for _, info := range list[kinds[k].folder] {
			if got, _, id, err := splitName(info.Name); err == nil && got == k {
				present[r.index.names.number(id)] = info
			}
		}
	}
}

// adopt finds packs that no index names: what an interrupted backup left, or what a lost index named. It reads the tables at
// their ends, several at a time, and adds them to the index in memory. Unreadable ones are passed over and returned. present is what listPacks returned.
func (r *Repo) adopt(ctx context.Context, present map[uint32]cloud.Info) (unreadable []*DamageError, err error) {
	var left []cloud.Info
	for n, info := range present {
		if r.index.packs[n] == nil {
			left = append(left, info)
		}
	}
	slices.SortFunc(left, func(a, b cloud.Info) int { return cmp.Compare(a.Name, b.Name) })
	err = inOrder(ctx, len(left), r.width(), func(ctx context.Context, i int) (*table, error) {
		k, _, id, _ := splitName(left[i].Name)
		return r.readPackTable(ctx, k, id, left[i].Size)
	}, func(i int, t *table, err error) error {
		var d *DamageError
		switch {
		case isMissing(err):
			_, _, id, _ := splitName(left[i].Name)
			delete(present, r.index.names.number(id)) // deleted meanwhile, or before, by a listing that is late
		case errors.As(err, &d):
			unreadable = append(unreadable, d)
		case err != nil:
			return err
		default:
			r.index.add(t, &packInfo{table: t})
		}
		return nil
	})
	r.index.sortMoved()
	return unreadable, err
}
