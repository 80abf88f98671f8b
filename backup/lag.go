package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"keepsake.example/cloud"
)

// What a store with cloud.Traits.Lag shows may be old: what another process has put may not be there yet, and what it has deleted may still
// be. doc/decisions/0046 goes through every listing; in short:
//
//   - What is not shown is looked for again, by name and by listing, until Lag has passed since this run looked first. Only then is it missing,
//     or the cloud rolled back, or without a repository.
//   - A run that adds waits for nothing: it looks at the locks once its own is there, and goes on. If it raced another, both heads count, and are merged.
//   - A run that takes away what another head or ring may need, prune and rotation, holds its lock for at least two Lags and looks at the locks (settle): whoever
//     put one in the first Lag, when ours may have been hidden, is shown if he is not done, and whoever put one later has seen ours. One Lag
//     after that look, the heads and rings of those who were done by then are shown. Then it commits, and waits once more (alone) before it deletes and
//     removes its lock, so that whoever finds no lock any more finds its head or ring.

// lookedFor is how many objects are asked for by name each time; more than that are left to the listing.
const lookedFor = 64

// sleep waits, if ctx lets it.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patiently calls try until it says that nothing is left to look for. The last call begins when whatever was written before since must be
// shown (it counts when a look was begun: one that was waited out below, for as long as a storm lasts, may have seen what was before); on a store
// without lag it is the first.
func patiently(ctx context.Context, lag time.Duration, since time.Time, try func() (enough bool, err error)) error {
	until := since.Add(lag)
	for pause := lag / 16; ; pause *= 2 {
		last := time.Until(until) <= 0
		enough, err := try()
		if enough || err != nil || lag == 0 || last {
			return err
		}
		if err := sleep(ctx, min(max(pause, time.Millisecond), time.Until(until))); err != nil {
			return err
		}
	}
}

// lagging reports whether something that the heads name may not be shown yet.
func (r *Repo) lagging() bool { return r.lag > 0 && time.Since(r.since) < r.lag }

// get is Store.Get for an object that must be there, because a head or what it leads to names it.
func (r *Repo) get(ctx context.Context, name string, offset, length int64) (body io.ReadCloser, err error) {
	var failed error
	err = patiently(ctx, r.lag, r.since, func() (bool, error) {
		body, failed = r.store.Get(ctx, name, offset, length)
		return !errors.Is(failed, cloud.ErrNotExist), nil
	})
	if err != nil {
		return nil, err
	}
	return body, failed
}

// lookFor takes another look for packs that the index names and a listing did not show, by listing and by name, while that may be lag.
func (r *Repo) lookFor(ctx context.Context, present map[uint32]cloud.Info) error {
	if r.lag == 0 {
		return nil
	}
	first := true
	return patiently(ctx, r.lag, r.since, func() (bool, error) {
		missing := r.missing(present)
		if len(missing) > 0 && !first {
			list, err := listFolders(ctx, r.store, packFolders()...)
			if err != nil {
				return false, fmt.Errorf("listing packs: %w", err)
			}
			r.notePacks(list, present)
			missing = r.missing(present)
		}
		first = false
		err := r.nameEach(ctx, missing[:min(len(missing), lookedFor)], present)
		return len(r.missing(present)) == 0, err
	})
}

func (r *Repo) missing(present map[uint32]cloud.Info) (list []uint32) {
	for n, info := range r.index.packs {
		if found, ok := present[n]; info.table == nil && (!ok || found.Size != info.size) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// nameEach asks for packs by name and adds those that are there.
func (r *Repo) nameEach(ctx context.Context, packs []uint32, present map[uint32]cloud.Info) error {
	return inOrder(ctx, len(packs), r.width(), func(ctx context.Context, i int) (cloud.Info, error) {
		n := packs[i]
		return r.store.Stat(ctx, objectName(r.index.packs[n].kind, r.index.names.id(n)))
	}, func(i int, info cloud.Info, err error) error {
		if err == nil {
			present[packs[i]] = info
		} else if !errors.Is(err, cloud.ErrNotExist) {
			return fmt.Errorf("looking for a pack: %w", err)
		}
		return nil
	})
}

// settle makes sure, before a run takes something away, of what a lagging listing could not show when it began: that no other device is writing, that
// the key was not replaced, that no head has come.
func (r *Repo) settle(ctx context.Context) error {
	if r.lag == 0 {
		return nil
	}
	if err := sleep(ctx, time.Until(r.held.placed.Add(2*r.lag))); err != nil {
		return err
	}
	locks, rings, heads := kinds[kindLock].folder, kinds[kindRing].folder, kinds[kindHead].folder
	list, err := listFolders(ctx, r.store, locks)
	if err == nil {
		err = r.held.checkOthers(ctx, list[locks])
	}
	if err == nil {
		err = sleep(ctx, r.lag)
	}
	if err == nil {
		list, err = listFolders(ctx, r.store, rings, heads)
	}
	if err != nil {
		return fmt.Errorf("looking again: %w", err)
	}
	if err := r.ringInUse(ctx, namesIn(list[rings]), r.held.replacing); err != nil {
		return err
	}
	return r.noOtherHead(ctx, list[heads])
}

// alone waits, after a commit, until everybody must see it, and looks once more for a head that this run does not know: what it is about to delete, that head may
// need. There is none unless a request of another device took effect long after that device gave it up.
func (r *Repo) alone(ctx context.Context) error {
	if r.lag == 0 {
		return nil
	}
	if err := sleep(ctx, r.lag); err != nil {
		return err
	}
	list, err := listFolder(ctx, r.store, kinds[kindHead].folder)
	if err != nil {
		return fmt.Errorf("looking again: %w", err)
	}
	return r.noOtherHead(ctx, list)
}

// noOtherHead fails with a LockedError if a head is listed that neither counts already nor comes before those that do.
func (r *Repo) noOtherHead(ctx context.Context, list []cloud.Info) error {
	others := r.otherHeads(list)
	if len(others) == 0 {
		return nil
	}
	held := &LockedError{Device: "unknown", Since: r.held.since, What: "a state that was not shown when this run began"}
	if h, err := r.readHead(ctx, others[0].name); err == nil {
		held.Device, held.Since = h.device.String(), time.Unix(0, h.time)
	}
	return held
}

// otherHeads are those of a listing that neither count already nor come before those that do.
func (r *Repo) otherHeads(list []cloud.Info) []headRef {
	return slices.DeleteFunc(headRefs(list), func(f headRef) bool {
		same := func(h *head) bool { return h.id == f.id }
		return slices.ContainsFunc(r.heads, same) || precedes(f, r.heads) || slices.Contains(r.older, f.name) || slices.Contains(r.givenUp, f.name)
	})
}

// Overtaken reports whether by now a state is shown that this Repo, opened to read, has not seen: that of another device which has just ended its backup. It asks
// only a store that lags. A new phone that is restored meanwhile would miss the last of the old one's chats and nobody would know.
func (r *Repo) Overtaken(ctx context.Context) (bool, error) {
	if r.lag == 0 {
		return false, nil
	}
	list, err := listFolder(ctx, r.store, kinds[kindHead].folder)
	if err != nil {
		return false, fmt.Errorf("looking again: %w", err)
	}
	return len(r.otherHeads(list)) > 0, nil
}
