package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// A segmentReader goes through the segments of a snapshot's manifest, in order.
type segmentReader struct {
	r    *Repo
	ctx  context.Context
	fn   func(segment []byte) error // the bytes are valid until it returns; it fails with no damage of its own
	lost func(err error) error      // takes the place of fn for what is damaged; nil: damage ends the reading
}

// passOver hands damage to lost, and everything else back.
func (x *segmentReader) passOver(err error) error {
	if x.lost == nil || !errors.Is(err, ErrDamaged) {
		return err
	}
	return x.lost(err)
}

func (x *segmentReader) each(s *Snapshot) error {
	for _, seg := range s.segments {
		if err := x.run(s.packs[seg.pack-1], seg); err != nil {
			return err
		}
	}
	return nil
}

// run reads segments with addresses one after the other; those that lie nowhere cost no others.
func (x *segmentReader) run(pack ID, a run) error {
	a.pack = x.r.index.names.number(pack)
	places, err := x.r.index.resolve(a)
	if errors.Is(err, ErrDamaged) {
		err = damage(objectName(kindMeta, pack), "missing", "no index names the pack with parts of the list of files")
		if a.count == 1 || x.lost == nil {
			return x.passOver(err)
		}
		for i := range a.count {
			if err := x.run(pack, run{first: a.first + i, count: 1}); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range places {
		if err := x.at(p); err != nil {
			return err
		}
	}
	return nil
}

// at reads segments that lie one after the other in one pack.
func (x *segmentReader) at(p run) error {
	t, err := x.r.table(x.ctx, p.pack)
	if err != nil {
		return x.passOver(err)
	}
	end := int(p.first + p.count)
	var want []int
	for i, b := range t.blocks {
		if b.first < end && b.first+b.n > int(p.first) {
			want = append(want, i)
		}
	}
	for len(want) > 0 {
		_, err = x.r.readBlocks(x.ctx, t, want, func(b *block, raw []byte) error {
			for n := max(b.first, int(p.first)); n < min(b.first+b.n, end); n++ {
				if err := x.fn(chunkAt(t, b, raw, n)); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			return nil
		}
		var at *blockError
		if want = want[1:]; errors.As(err, &at) {
			want = want[at.at:]
		} else {
			want = nil // nothing of the pack can be read
		}
		if err := x.passOver(err); err != nil {
			return err
		}
	}
	return nil
}

// errStop ends a walk over entries early.
var errStop = errors.New("backup: internal error: stopped")

// entries goes through a snapshot's manifest, in walk order. After an error it ends.
func (r *Repo) entries(ctx context.Context, s *Snapshot) iter.Seq2[*entry, error] {
	return r.entriesAround(ctx, s, nil)
}

// entriesAround is entries; where segments are damaged it calls lost, if that is not nil, and goes on behind them.
func (r *Repo) entriesAround(ctx context.Context, s *Snapshot, lost func(gap)) iter.Seq2[*entry, error] {
	return func(yield func(*entry, error) bool) {
		a := newAssembler(func(e *entry) error {
			if !yield(e, nil) {
				return errStop
			}
			return nil
		})
		x := &segmentReader{r: r, ctx: ctx, fn: func(segment []byte) error { return parseSegment(segment, r.index.names, a.add) }}
		if lost != nil {
			a.lost, x.lost = lost, a.lose
		}
		err := x.each(s)
		if err == nil {
			err = a.end()
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

// A gap is a part of a manifest that cannot be read.
type gap struct {
	after, before string // paths of the entries around it, "" where there is none
	cut           string // the file before it, if only the beginning of its runs is known
	err           error  // the first damage
}

// String names it, for people.
func (g gap) String() string {
	switch {
	case g.after == "" && g.before == "":
		return "(its list of files)"
	case g.after == "":
		return fmt.Sprintf("(its list of files before %q)", g.before)
	case g.before == "":
		return fmt.Sprintf("(its list of files after %q)", g.after)
	}
	return fmt.Sprintf("(its list of files after %q and before %q)", g.after, g.before)
}
