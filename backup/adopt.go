package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/cloud"
)

// orphanAge is how much older than this run's lock an object no head names must be to be deleted, spec §11.
const orphanAge = 24 * time.Hour

// listPacks lists the packs that lie in the cloud: number → object.
func (r *Repo) listPacks(ctx context.Context) (map[uint32]cloud.Info, error) {
	present := make(map[uint32]cloud.Info)
	for _, k := range []kind{kindData, kindMeta} {
		err := r.store.List(ctx, kinds[k].folder, func(info cloud.Info) error {
			if got, _, id, err := splitName(info.Name); err == nil && got == k {
				present[r.index.names.number(id)] = info
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing packs: %w", err)
		}
	}
	return present, nil
}

// adopt finds packs that no index names: what an interrupted backup left, or what a lost index named. It reads the tables at
// their ends and adds them to the index in memory. Unreadable ones are passed over and returned. present is what listPacks returned.
func (r *Repo) adopt(ctx context.Context, present map[uint32]cloud.Info) (unreadable []*DamageError, err error) {
	for n, info := range present {
		if r.index.packs[n] != nil {
			continue
		}
		k, _, id, _ := splitName(info.Name)
		t, err := r.readPackTable(ctx, k, id, info.Size)
		var d *DamageError
		if errors.As(err, &d) {
			unreadable = append(unreadable, d)
			continue
		}
		if err != nil {
			return unreadable, err
		}
		r.index.add(t, &packInfo{table: t})
	}
	r.index.sortMoved()
	return unreadable, nil
}
