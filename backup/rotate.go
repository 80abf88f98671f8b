package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/key"
)

// Rotate wraps the repository's keys under newKey, with a new data key for everything written from now on, and retires the old
// ring, spec §10. Nothing else is rewritten. When it returns nil, only newKey opens the repository; when it fails, the old key, newKey or both do, and a second
// call, or FinishRotation, after opening with the newest key that opens, finishes. It fails with ErrLocked, ErrWrongKey if there is a newer ring, or what the store returns.
func (r *Repo) Rotate(ctx context.Context, newKey *key.Key) error {
	l, _, err := r.begin(ctx, "key rotation", true)
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := r.settle(ctx); err != nil {
		return err
	}
	if len(r.ring.keys) >= maxDataKeys {
		return fmt.Errorf("backup: the key was rotated %d times; no more fit", len(r.ring.keys))
	}
	next := r.ring.next(r.opts.Now())
	if err := l.commit(ctx, next.name(), next.seal(newKey)); err != nil {
		next.wipe()
		return fmt.Errorf("storing the new key ring: %w", err)
	}
	r.ring.wipe()
	r.ring = next
	r.keepHint()
	if err := next.putSpare(ctx, r.store, newKey); err != nil {
		return err
	}
	return r.retireRings(ctx)
}

// FinishRotation retires rings that a rotation left when it was interrupted. It fails with ErrWrongKey for who has the old key; it does nothing if there is one ring, with its spare.
func (r *Repo) FinishRotation(ctx context.Context) error {
	var others []string
	err := patiently(ctx, r.lag, time.Now(), func() (_ bool, err error) {
		names, err := listNames(ctx, r.store, kinds[kindRing].folder)
		others = r.ring.others(names)
		return len(others) > 0, err
	})
	if err != nil {
		return fmt.Errorf("looking for older key rings: %w", err)
	}
	if len(others) == 0 {
		return nil
	}
	l, _, err := r.begin(ctx, "key rotation", true)
	if err != nil {
		return err
	}
	defer l.unlock()
	return r.retireRings(ctx)
}

// retireRings replaces every ring but the one in use and its spare by what is left of it, spec §10. On a store that lags it waits first, with its lock held: who does not see
// the lock any more must see the ring. A ring that replaces ours and was not shown before is left, and is the one that counts.
func (r *Repo) retireRings(ctx context.Context) error {
	if err := sleep(ctx, r.lag); err != nil {
		return err
	}
	names, err := listNames(ctx, r.store, kinds[kindRing].folder)
	if err != nil {
		return fmt.Errorf("looking for older key rings: %w", err)
	}
	names = r.ring.others(names)
	rings, _, err := getRings(ctx, r.store, names, r.rings)
	if err != nil {
		return err
	}
	for _, name := range names {
		if h, err := parseHeader(name, rings[name]); err == nil && r.ring.before(h) {
			return &WrongKeyError{ReplacedAt: r.opts.Now()}
		}
		if err := r.retire(ctx, name); err != nil {
			return err
		}
	}
	r.badRings = nil
	return nil
}

func (r *Repo) retire(ctx context.Context, name string) error {
	object, err := getAll(ctx, r.store, name, kinds[kindRing].limit)
	if err == nil {
		object, err = checkRing(name, object)
	}
	if err == nil {
		_, _, id, _ := splitName(name)
		err = putBytes(ctx, r.store, retiredFolder+id.String(), object[:stubSize])
	}
	if err != nil && !errors.Is(err, cloud.ErrExist) && !errors.Is(err, ErrDamaged) {
		return fmt.Errorf("retiring the old key ring: %w", err)
	}
	if err := r.store.Delete(ctx, name); err != nil && !errors.Is(err, cloud.ErrNotExist) {
		return fmt.Errorf("deleting the old key ring: %w", err)
	}
	return nil
}
