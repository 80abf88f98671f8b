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
// their ends and adds them to the index in memory. Unreadable ones are passed over. present is what listPacks returned, or nil.
func (r *Repo) adopt(ctx context.Context, present map[uint32]cloud.Info) (adopted []uint32, err error) {
	if present == nil {
		if present, err = r.listPacks(ctx); err != nil {
			return nil, err
		}
	}
	for n, info := range present {
		if r.index.packs[n] != nil {
			continue
		}
		k, _, id, _ := splitName(info.Name)
		t, err := r.readPackTable(ctx, k, id, info.Size)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil {
			return adopted, err
		}
		r.index.add(t, &packInfo{table: t})
		adopted = append(adopted, n)
	}
	r.index.sortMoved()
	return adopted, nil
}
