package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// eachSegment calls fn with every segment of a snapshot's manifest, in order; the bytes are valid until fn returns.
func (r *Repo) eachSegment(ctx context.Context, s *Snapshot, fn func(segment []byte) error) error {
	for _, seg := range s.segments {
		pack := r.index.names.number(s.packs[seg.pack-1])
		places, err := r.index.resolve(run{pack, seg.first, seg.count})
		if errors.Is(err, ErrDamaged) {
			return damage(objectName(kindMeta, s.packs[seg.pack-1]), "missing", "no index names the pack with parts of the list of files")
		}
		if err != nil {
			return err
		}
		for _, p := range places {
			if err := r.segmentsAt(ctx, p, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// segmentsAt reads segments that lie one after the other in one pack.
func (r *Repo) segmentsAt(ctx context.Context, p run, fn func([]byte) error) error {
	t, err := r.table(ctx, p.pack)
	if err != nil {
		return err
	}
	end := int(p.first + p.count)
	var want []int
	for i, b := range t.blocks {
		if b.first < end && b.first+b.n > int(p.first) {
			want = append(want, i)
		}
	}
	_, err = r.readBlocks(ctx, t, want, func(b *block, raw []byte) error {
		for n := max(b.first, int(p.first)); n < min(b.first+b.n, end); n++ {
			if err := fn(chunkAt(t, b, raw, n)); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// errStop ends a walk over entries early.
var errStop = errors.New("backup: internal error: stopped")

// entries goes through a snapshot's manifest, in walk order. After an error it ends.
func (r *Repo) entries(ctx context.Context, s *Snapshot) iter.Seq2[*entry, error] {
	return func(yield func(*entry, error) bool) {
		a := newAssembler(func(e *entry) error {
			if !yield(e, nil) {
				return errStop
			}
			return nil
		})
		err := r.eachSegment(ctx, s, func(segment []byte) error { return parseSegment(segment, r.index.names, a.add) })
		if err == nil {
			err = a.flush()
		}
		if err == nil || errors.Is(err, errStop) {
			return
		}
		if errors.Is(err, errMalformed) {
			err = damage(objectName(kindSnapshot, s.id), "payload", "its manifest is malformed: %v", err)
		}
		yield(nil, fmt.Errorf("reading the manifest of snapshot %.8s: %w", s.ID, err))
	}
}
