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

// A headRef is what a head's name says.
type headRef struct {
	name string
	seq  uint64
	id   ID
}

// headRefs reads the names of heads, newest first.
func headRefs(list []cloud.Info) (refs []headRef) {
	for _, info := range list {
		if _, seq, id, err := splitName(info.Name); err == nil {
			refs = append(refs, headRef{info.Name, seq, id})
		}
	}
	slices.SortFunc(refs, func(a, b headRef) int { return cmp.Or(cmp.Compare(b.seq, a.seq), cmp.Compare(a.name, b.name)) })
	return refs
}

// findHeads reads the newest heads, of those that a listing shows, and holds them to the mark. What looks like an older state, a listed head that is not
// there, no head where one is expected, or branches whose common ancestor may be hidden, may only be a listing that is late: then it looks again, until that
// cannot be.
func (r *Repo) findHeads(ctx context.Context, shown []cloud.Info) error {
	r.since = time.Now()
	first := true
	var found error
	err := patiently(ctx, r.lag, r.since, func() (bool, error) {
		if !first {
			var err error
			if shown, err = listFolder(ctx, r.store, kinds[kindHead].folder); err != nil {
				return false, fmt.Errorf("listing heads: %w", err)
			}
		}
		first = false
		found = r.tryHeads(ctx, shown)
		late := errors.Is(found, ErrRolledBack) || isMissing(found) || (found == nil && (len(r.heads) > 1 || len(r.heads) == 0 && r.opts.Expected))
		return !late, nil
	})
	if err == nil && !(r.opts.OlderState && errors.Is(found, ErrRolledBack)) {
		err = found
	}
	return err
}

// tryHeads reads heads and looks for the marked one by its name if the listing does not lead to it.
func (r *Repo) tryHeads(ctx context.Context, shown []cloud.Info) error {
	err := r.loadHeads(ctx, headRefs(shown))
	if err != nil {
		return err
	}
	rolledBack := checkRollback(r.opts.Known, r.heads)
	if rolledBack == nil || r.lag == 0 {
		return rolledBack
	}
	id, err := parseID(r.opts.Known.Head)
	if err != nil {
		return rolledBack
	}
	info, err := r.store.Stat(ctx, headName(r.opts.Known.Seq, id))
	if errors.Is(err, cloud.ErrNotExist) {
		return rolledBack
	}
	if err == nil {
		err = r.loadHeads(ctx, headRefs(append(slices.Clone(shown), info)))
	}
	if err != nil {
		return err
	}
	return checkRollback(r.opts.Known, r.heads)
}

// loadHeads finds the newest head and those of other branches, spec §5, newest first. Names are enough for most: the newest lists its ancestors.
func (r *Repo) loadHeads(ctx context.Context, list []headRef) error {
	early := r.lagging() // when the look begins: its answer may come late
	var heads []*head
	var older []headRef
	var givenUp []string
	var lost []*DamageError
	for _, f := range list {
		if precedes(f, heads) {
			older = append(older, f)
			continue
		}
		h, err := r.readHead(ctx, f.name)
		var d *DamageError
		switch {
		case err == nil:
			heads = append(heads, h)
		case !errors.As(err, &d), early && isMissing(err):
			return err
		case len(heads) > 0 && f.seq < heads[0].seq:
			// Whatever it was, it must not stop the branch that is newer.
			lost, older = append(lost, d), append(older, f)
		case r.opts.OlderState:
			givenUp = append(givenUp, f.name)
		default:
			return err
		}
	}
	state, err := r.merge(ctx, heads, older)
	if err != nil {
		return err
	}
	r.heads, r.state, r.lostHeads, r.givenUp, r.older, r.looked = heads, state, lost, givenUp, nil, true
	for _, f := range older {
		r.older = append(r.older, f.name)
	}
	return nil
}

// precedes reports whether a head is among what the given ones come from, or so old that their lists do not reach back to it for certain.
func precedes(f headRef, heads []*head) bool {
	for _, h := range heads {
		far := h.seq > f.seq && h.seq-f.seq > maxAncestors/2 && len(h.ancestors) == maxAncestors
		if far || slices.Contains(h.ancestors, f.id) {
			return true
		}
	}
	return false
}

// merge joins what branches hold: what any of them names, less what a common ancestor named and one of them does not any more. Where
// no common ancestor is left, nothing counts as removed.
func (r *Repo) merge(ctx context.Context, heads []*head, older []headRef) (all head, err error) {
	for _, h := range heads {
		all.snapshots = union(all.snapshots, h.snapshots)
		all.indexes = union(all.indexes, h.indexes)
	}
	if len(heads) < 2 {
		return all, nil
	}
	for _, f := range older {
		if slices.ContainsFunc(heads, func(h *head) bool { return !slices.Contains(h.ancestors, f.id) }) {
			continue
		}
		base, err := r.readHead(ctx, f.name)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil {
			return all, err
		}
		for _, h := range heads {
			all.snapshots = without(all.snapshots, base.snapshots, h.snapshots)
			all.indexes = without(all.indexes, base.indexes, h.indexes)
		}
	}
	return all, nil
}

// without takes out of list what was in base and is not in now.
func without(list, base, now []ID) []ID {
	removed := make(map[ID]bool)
	for _, id := range base {
		removed[id] = true
	}
	for _, id := range now {
		delete(removed, id)
	}
	return slices.DeleteFunc(list, func(id ID) bool { return removed[id] })
}

// nextHead begins the head that follows all branches and holds what they hold.
func (r *Repo) nextHead() *head {
	n := nextHead(r.heads)
	n.snapshots, n.indexes = slices.Clone(r.state.snapshots), slices.Clone(r.state.indexes)
	return n
}
