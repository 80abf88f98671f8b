package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// A headRef is what a head's name says.
type headRef struct {
	name string
	seq  uint64
	id   ID
}

// listHeads lists the heads in the cloud, newest first.
func (r *Repo) listHeads(ctx context.Context) (list []headRef, err error) {
	names, err := listNames(ctx, r.store, kinds[kindHead].folder)
	if err != nil {
		return nil, fmt.Errorf("listing heads: %w", err)
	}
	for _, name := range names {
		if _, seq, id, err := splitName(name); err == nil {
			list = append(list, headRef{name, seq, id})
		}
	}
	slices.SortFunc(list, func(a, b headRef) int { return cmp.Or(cmp.Compare(b.seq, a.seq), cmp.Compare(a.name, b.name)) })
	return list, nil
}

// loadHeads finds the newest head and those of other branches, spec §5. Names are enough for most: the newest lists its ancestors.
func (r *Repo) loadHeads(ctx context.Context) error {
	list, err := r.listHeads(ctx)
	if err != nil {
		return err
	}
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
		case !errors.As(err, &d):
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
	r.heads, r.state, r.lostHeads, r.givenUp, r.older = heads, state, lost, givenUp, nil
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
