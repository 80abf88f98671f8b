package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
	names, err := listNames(ctx, store, kinds[kindRing].folder)
	if err != nil {
		return nil, nil, fmt.Errorf("looking for a repository: %w", err)
	}
	if len(names) == 0 {
		return nil, nil, ErrNoRepository
	}
	rings = make(map[string][]byte)
	for _, name := range names {
		object, err := getAll(ctx, store, name, kinds[kindRing].limit)
		var whole []byte
		if err == nil {
			whole, err = checkRing(name, object)
		}
		b := brokenRing{name: name}
		switch {
		case err == nil:
			rings[name] = whole
		case errors.As(err, &b.damage):
			b.header = ringHeader(name, object)
			broken = append(broken, b)
		default:
			return nil, nil, err
		}
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

// findRing opens the newest ring that k opens, and lists those that are damaged.
func findRing(ctx context.Context, store cloud.Store, k *key.Key) (newest *ring, broken []brokenRing, err error) {
	rings, broken, err := readRings(ctx, store)
	if err != nil {
		return nil, nil, err
	}
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
	if newest != nil {
		return newest, broken, nil
	}
	return nil, nil, noRing(ctx, store, k, broken)
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
func (r *Repo) ringInUse(ctx context.Context, replacing bool) error {
	rings, broken, err := readRings(ctx, r.store)
	if err != nil && !errors.Is(err, ErrNoRepository) {
		return err
	}
	r.badRings = broken
	for _, b := range broken {
		newer := b.header != nil && r.ring.before(*b.header)
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
