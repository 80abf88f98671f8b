package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/key"
)

// A brokenRing is an object in a ring's place that checkRing refused.
type brokenRing struct {
	name   string
	header *header // what it says of itself, unauthenticated; nil if it says nothing
	damage *DamageError
}

// readRings fetches every ring, checked but not opened. Damaged ones are apart: another may fit.
func readRings(ctx context.Context, store cloud.Store) (rings map[string][]byte, broken []brokenRing, err error) {
	names, err := ringNames(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	rings, broken, err = getRings(ctx, store, names, nil)
	if err == nil && len(rings)+len(broken) == 0 {
		err = ErrNoRepository
	}
	return rings, broken, err
}

// ringNames lists the rings. That there are none is said only when the listing cannot be late any more; in a place that was just made it is not.
func ringNames(ctx context.Context, store cloud.Store) (names []string, err error) {
	t := cloud.TraitsOf(store)
	if t.Fresh {
		t.Lag = 0
	}
	err = patiently(ctx, t.Lag, time.Now(), func() (bool, error) {
		names, err = listNames(ctx, store, kinds[kindRing].folder)
		return len(names) > 0, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for a repository: %w", err)
	}
	if len(names) == 0 {
		return nil, ErrNoRepository
	}
	return names, nil
}

// ringsAtOnce is how many rings are fetched at a time: there are more than one only where a rotation was interrupted.
const ringsAtOnce = 4

// getRings is readRings with the names at hand. Objects that are known, checked already, are not fetched again: they never change.
func getRings(ctx context.Context, store cloud.Store, names []string, known map[string][]byte) (rings map[string][]byte, broken []brokenRing, err error) {
	rings = make(map[string][]byte)
	var fetch []string
	for _, name := range names {
		if object := known[name]; object != nil {
			rings[name] = object
		} else {
			fetch = append(fetch, name)
		}
	}
	err = inOrder(ctx, len(fetch), ringsAtOnce, func(ctx context.Context, i int) ([]byte, error) {
		return getRing(ctx, store, fetch[i])
	}, func(i int, object []byte, err error) error {
		var whole []byte
		if err == nil {
			whole, err = checkRing(fetch[i], object)
		}
		b := brokenRing{name: fetch[i]}
		switch {
		case isMissing(err): // deleted since it was listed, or before and the listing is late
		case err == nil:
			rings[b.name] = whole
		case errors.As(err, &b.damage):
			b.header = ringHeader(b.name, object)
			broken = append(broken, b)
		default:
			return err
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return rings, broken, nil
}

// ringHeader is the header of a damaged ring, if at least that looks whole.
func ringHeader(name string, object []byte) *header {
	_, _, id, err := splitName(name)
	if err != nil {
		return nil
	}
	h, err := parseHeader(name, object)
	if err != nil || h.check(name, kindRing, h.repo, id) != nil {
		return nil
	}
	return &h
}

// getRing fetches a ring that was listed. On a store that lags it may be too new to be found by name.
func getRing(ctx context.Context, store cloud.Store, name string) (object []byte, failed error) {
	err := patiently(ctx, cloud.TraitsOf(store).Lag, time.Now(), func() (bool, error) {
		object, failed = getAll(ctx, store, name, kinds[kindRing].limit)
		return !isMissing(failed), nil
	})
	if err != nil {
		return nil, err
	}
	if _, damaged := checkRing(name, object); failed == nil && damaged != nil && cloud.TraitsOf(store) != (cloud.Traits{}) {
		return getAll(ctx, store, name, kinds[kindRing].limit) // as in readSmall
	}
	return object, failed
}

// findRing opens the newest ring that k opens of those named, and takes note of those that are damaged.
func (r *Repo) findRing(ctx context.Context, k *key.Key, names []string) (err error) {
	if r.rings, r.badRings, err = getRings(ctx, r.store, names, r.rings); err != nil {
		return err
	}
	if len(r.rings)+len(r.badRings) == 0 {
		return ErrNoRepository
	}
	r.ring, r.badRings, err = newestRing(k, r.rings, r.badRings)
	if err == nil && r.ring == nil {
		err = noRing(ctx, r.store, k, r.badRings)
	}
	return err
}

// guessRing fetches the ring that the last run used by its name, without waiting for a listing. What is odd about it the listing will tell.
func (r *Repo) guessRing(ctx context.Context) {
	if !r.remote {
		return
	}
	name := r.cache.hint()
	if _, _, _, err := splitName(name); err != nil {
		return
	}
	object, err := getAll(ctx, r.store, name, kinds[kindRing].limit)
	if err == nil {
		object, err = checkRing(name, object)
	}
	if err == nil {
		r.rings = map[string][]byte{name: object}
	}
}

func (r *Repo) keepHint() {
	if r.remote {
		r.cache.setHint(r.ring.name())
	}
}

// newestRing opens the newest of some rings that k opens, nil if there is none, and appends those that turn out to be damaged.
func newestRing(k *key.Key, rings map[string][]byte, broken []brokenRing) (newest *ring, _ []brokenRing, err error) {
	for name, object := range rings {
		if !matches(object[:stubSize], k) {
			continue
		}
		g, err := openRing(name, k, object)
		b := brokenRing{name: name, header: ringHeader(name, object)}
		switch {
		case errors.As(err, &b.damage):
			broken = append(broken, b)
		case err != nil:
			return nil, nil, err
		case newest == nil || newest.before(g.header()):
			newest = g
		}
	}
	return newest, broken, nil
}

// noRing says why no ring opens. A damaged one may be the one that k opened.
func noRing(ctx context.Context, store cloud.Store, k *key.Key, broken []brokenRing) error {
	err := wrongKey(ctx, store, k)
	var wrong *WrongKeyError
	if len(broken) > 0 && errors.As(err, &wrong) && wrong.ReplacedAt.IsZero() {
		return broken[0].damage
	}
	return err
}

// wrongKey finds out whether k is a key that was replaced. The stubs are hints, so whatever is odd about them is ignored.
func wrongKey(ctx context.Context, store cloud.Store, k *key.Key) error {
	e := &WrongKeyError{}
	err := store.List(ctx, retiredFolder, func(info cloud.Info) error {
		stub, err := getAll(ctx, store, info.Name, stubSize)
		if err == nil && len(stub) == stubSize && matches(stub, k) {
			e.ReplacedAt = info.ModTime
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing replaced keys: %w", err)
	}
	return e
}

// KeyCheck returns a function that tells the repository's key from every other key, for [key.FindSlip]. It fails with ErrNoRepository, ErrDamaged if no ring is whole, or
// what the store returns.
func KeyCheck(ctx context.Context, store cloud.Store) (key.Check, error) {
	rings, broken, err := readRings(ctx, store)
	if err != nil {
		return nil, err
	}
	if len(rings) == 0 && len(broken) > 0 {
		return nil, broken[0].damage
	}
	var checks []key.Check
	for _, object := range rings {
		checks = append(checks, stubCheck(object[:stubSize]))
	}
	return func(candidate *[32]byte) bool {
		return slices.ContainsFunc(checks, func(c key.Check) bool { return c(candidate) })
	}, nil
}

// ringInUse fails with a WrongKeyError if the key was rotated since the repository was opened, or before it was opened with the old key,
// by a rotation that was interrupted: what is written with the ring we hold, whoever has the old key could read; and to
// retire the newer ring would lose the data key that only it has. A damaged ring that may be the newer one fails with
// ErrRingUnclear, unless the rings are to be replaced: no key opens it, and what no head names under its data key is lost with it already. One of another
// version stops that too: it may be whole.
//
// names are those listed. The ring in use, if it is not among them, may only not be shown yet, and is looked for again.
func (r *Repo) ringInUse(ctx context.Context, names []string, replacing bool) error {
	names, err := r.withOwnRing(ctx, names)
	if err != nil {
		return err
	}
	rings, broken, err := getRings(ctx, r.store, r.ring.withoutSpare(names), r.rings)
	if err != nil {
		return err
	}
	r.rings, r.badRings = rings, broken
	for _, b := range broken {
		newer := b.header != nil && r.ring.before(*b.header) && r.ring.spareOf(b.header.id) != r.ring.id // which tells that they are the same
		switch {
		case b.name == r.ring.name():
			return b.damage
		case b.damage.Layer == "version", newer && !replacing:
			return fmt.Errorf("%w: %w", ErrRingUnclear, b.damage)
		}
	}
	if rings[r.ring.name()] == nil {
		info, _ := r.store.Stat(ctx, retiredFolder+r.ring.id.String())
		return &WrongKeyError{ReplacedAt: info.ModTime}
	}
	for name, object := range rings {
		h, err := parseHeader(name, object)
		if err != nil {
			return err
		}
		if r.ring.before(h) {
			info, _ := r.store.Stat(ctx, name)
			return &WrongKeyError{ReplacedAt: info.ModTime}
		}
	}
	return nil
}

// withOwnRing adds the name of the ring in use to a listing that is late, as soon as the store shows it.
func (r *Repo) withOwnRing(ctx context.Context, names []string) ([]string, error) {
	own := r.ring.name()
	if r.lag == 0 || slices.Contains(names, own) {
		return names, nil
	}
	err := patiently(ctx, r.lag, time.Now(), func() (bool, error) {
		_, err := r.store.Stat(ctx, own)
		if errors.Is(err, cloud.ErrNotExist) {
			return false, nil
		}
		if err == nil {
			names = append(names, own)
		}
		return true, err
	})
	return names, err
}

// clearRings removes damaged rings that a rotation has replaced by the one in use: no key opens them, and finishing that rotation would have done
// it. Objects of which not even the header can be read stay until the next rotation.
func (r *Repo) clearRings(ctx context.Context) error {
	var left []brokenRing
	for _, b := range r.badRings {
		if b.header == nil || b.header.repo != r.ring.repo || r.ring.before(*b.header) {
			left = append(left, b)
		} else if err := r.retire(ctx, b.name); err != nil {
			return err
		}
	}
	r.badRings = left
	return nil
}
