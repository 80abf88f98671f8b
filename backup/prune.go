package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultMaxUnused is the share of a pack that may be unused before prune rewrites it.
const DefaultMaxUnused = 0.5

// PruneOptions says what to keep.
type PruneOptions struct {
	Keep Policy
	// Remove names snapshots that go before Keep is applied to the rest, also the newest of a history: ids, or the start of one. Where Keep is empty,
	// all others stay.
	Remove []string
	// Only, when it is not nil, holds the ids of the snapshots that may go: those a person has agreed to. What Keep would give up besides stays: another
	// device may have backed up since she was asked.
	Only      []string
	MaxUnused float64 // share of a pack's contents that may be unused before the rest is copied to a new pack, 0 to 1
	DryRun    bool    // work out the same numbers, which takes reading what would be copied, and change nothing
	// ForgetDamaged gives up snapshots that cannot be read. Without it, Prune fails with ErrDamaged while there are any, because it
	// cannot know what they need. One that Only does not name is not given up for that.
	ForgetDamaged bool
}

// may reports whether a snapshot may go.
func (o *PruneOptions) may(s *Snapshot) bool { return o.Only == nil || slices.Contains(o.Only, s.ID) }

// split takes out what was named, then applies the policy to the rest; what may not go stays.
func (o *PruneOptions) split(snapshots []*Snapshot, named []string) (kept, removed []*Snapshot) {
	stays := slices.DeleteFunc(slices.Clone(snapshots), func(s *Snapshot) bool { return slices.Contains(named, s.ID) })
	if len(named) == 0 || !o.Keep.Empty() {
		stays, _ = o.Keep.apply(stays)
	}
	for _, s := range snapshots {
		if !slices.Contains(stays, s) && o.may(s) {
			removed = append(removed, s)
		} else {
			kept = append(kept, s)
		}
	}
	return kept, removed
}

// A PruneResult says what prune did, or with DryRun would do.
type PruneResult struct {
	Kept           []Snapshot `json:"kept"`
	Removed        []Snapshot `json:"removed"`
	ObjectsRemoved int        `json:"objects_removed"`
	BytesFreed     int64      `json:"bytes_freed"` // what was deleted less what was written
	Repacked       int        `json:"repacked"`    // packs whose remaining chunks were copied
	BytesRepacked  int64      `json:"bytes_repacked"`
	OrphansRemoved int        `json:"orphans_removed"`
}

// pruner works out and carries out one prune.
type pruner struct {
	r       *Repo
	ctx     context.Context
	o       PruneOptions
	res     *PruneResult
	c       *counters
	used    map[uint32]*bitmap // :: pack → chunks that a kept snapshot needs
	repack  map[uint32]bool
	drop    map[uint32]bool
	rewrite bool // the index changes
}

// Prune removes snapshots that the policy does not keep, then every pack that nothing needs, without reading it. A pack of which
// more than MaxUnused is unused is read, and what is needed of it copied.
//
// Errors: ErrLocked, ErrDamaged, ErrNotFound for what Remove names, ErrLastSnapshot, a policy with a number below zero, what the store returns, ctx's. Interrupted at any point, nothing that a kept snapshot needs is lost.
func (r *Repo) Prune(ctx context.Context, o PruneOptions) (*PruneResult, error) {
	if err := o.Keep.check(); err != nil {
		return nil, err
	}
	p := &pruner{r: r, ctx: ctx, o: o, res: &PruneResult{}, c: &counters{}, used: make(map[uint32]*bitmap), repack: make(map[uint32]bool), drop: make(map[uint32]bool)}
	since := r.opts.Now()
	if !o.DryRun {
		l, _, err := r.begin(ctx, "prune", false)
		if err != nil {
			return nil, err
		}
		defer l.unlock()
		since = l.since
	} else if err := r.whole(ctx); err != nil {
		return nil, err
	}
	if len(r.damage) > 0 && !o.ForgetDamaged {
		return nil, fmt.Errorf("pruning: %w", r.damage[0])
	}
	if len(r.snapshots) == 0 {
		return p.res, nil
	}
	stop := p.c.report(r.opts.Progress, "pruning")
	defer stop()
	named, err := r.named(o.Remove)
	if err != nil {
		return nil, err
	}
	kept, removed := o.split(r.snapshots, named)
	kept, err = p.markAll(kept, removed)
	if err == nil {
		err = p.weigh()
	}
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return p.res, p.rehearse(since)
	}
	return p.res, p.carryOut(kept, since)
}

// named finds snapshots that are to go. Only an id names one: which is the newest changes.
func (r *Repo) named(refs []string) (ids []string, err error) {
	for _, ref := range refs {
		if ref == "" || ref == "latest" {
			return nil, &NotFoundError{fmt.Sprintf("%.40q is no id of a snapshot", ref)}
		}
		s, err := r.Find(ref, time.Time{})
		if err != nil {
			return nil, err
		}
		ids = append(ids, s.ID)
	}
	return ids, nil
}

// carryOut commits, then deletes.
func (p *pruner) carryOut(kept []*Snapshot, since time.Time) error {
	before := p.r.wanted()
	if err := p.commit(kept); err != nil {
		return err
	}
	err := p.r.alone(p.ctx)
	if err == nil {
		err = p.r.held.held(p.ctx)
	}
	if err != nil {
		return fmt.Errorf("the snapshots are removed, but what nothing needs is not deleted yet: %w", err)
	}
	if err := p.deleteUnnamed(before); err != nil {
		return err
	}
	return p.deleteOrphans(since)
}

// rehearse finds out what carryOut would write and which left-over objects it would delete.
func (p *pruner) rehearse(since time.Time) error {
	if p.rewrite {
		if _, err := p.copyChunks(); err != nil {
			return err
		}
	}
	return p.deleteOrphans(since)
}

// markAll notes what the kept snapshots need. With ForgetDamaged, those whose list of files cannot be read are removed, but never all.
func (p *pruner) markAll(kept, removed []*Snapshot) (still []*Snapshot, err error) {
	for _, s := range kept {
		if err = p.mark(s); err == nil {
			still = append(still, s)
			p.res.Kept = append(p.res.Kept, *s)
		} else if errors.Is(err, ErrDamaged) && p.o.ForgetDamaged && p.o.may(s) {
			removed = append(removed, s)
		} else {
			return nil, err
		}
	}
	switch {
	case len(still) > 0:
	case err != nil:
		return nil, fmt.Errorf("no snapshot would be left: %w", err)
	default:
		return nil, ErrLastSnapshot
	}
	for _, s := range removed {
		p.res.Removed = append(p.res.Removed, *s)
	}
	return still, nil
}

// mark notes every chunk that a snapshot needs.
func (p *pruner) mark(s *Snapshot) error {
	for _, seg := range s.segments {
		if err := p.use(run{p.r.index.names.number(s.packs[seg.pack-1]), seg.first, seg.count}); err != nil {
			return err
		}
	}
	for e, err := range p.r.entries(p.ctx, s) {
		if err != nil {
			return err
		}
		p.c.files.Add(1)
		for _, a := range e.runs {
			if err := p.use(a); err != nil && !(p.o.ForgetDamaged && errors.Is(err, ErrDamaged)) {
				return fmt.Errorf("snapshot %.8s needs what is not there: %w", s.ID, err)
			}
		}
	}
	return p.ctx.Err()
}

func (p *pruner) use(a run) error {
	if a.pack == 0 {
		return nil
	}
	places, err := p.r.index.resolve(a)
	if err != nil {
		return err
	}
	for _, place := range places {
		b := p.used[place.pack]
		if b == nil {
			b = newBitmap(p.r.index.packs[place.pack].chunks)
			p.used[place.pack] = b
		}
		b.set(int(place.first), int(place.count))
	}
	return nil
}

// weigh decides for every pack: keep, copy or drop.
func (p *pruner) weigh() error {
	for n, info := range p.r.index.packs {
		b := p.used[n]
		if b == nil {
			p.drop[n] = true
			if !info.gone {
				p.res.ObjectsRemoved++
				p.res.BytesFreed += info.size
			}
			continue
		}
		if b.full() {
			continue
		}
		t, err := p.r.table(p.ctx, n)
		if err != nil {
			return err
		}
		var all, unused int64
		for i, l := range t.lengths {
			all += int64(l)
			if !b.has(i) {
				unused += int64(l)
			}
		}
		if float64(unused) > p.o.MaxUnused*float64(all) {
			p.repack[n] = true
			p.res.Repacked++
			p.res.ObjectsRemoved++
			p.res.BytesFreed += info.size
		}
	}
	p.rewrite = len(p.drop)+len(p.repack) > 0 || len(p.r.damage) > 0 || len(p.r.index.loaded) > 1
	return nil
}

// commit copies what must be copied, writes the new index and the head.
func (p *pruner) commit(kept []*Snapshot) error {
	h := p.r.nextHead()
	h.snapshots = nil
	for _, s := range kept {
		h.snapshots = append(h.snapshots, s.id)
	}
	h.indexes = slices.Clone(p.r.index.loaded)
	if p.rewrite {
		copied, err := p.copyChunks()
		if err != nil {
			return err
		}
		staying, err := p.indexStaying()
		if err != nil {
			return err
		}
		h.indexes = append(staying, copied...)
	}
	if err := p.r.settle(p.ctx); err != nil {
		return err
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	return p.r.commit(p.ctx, h)
}

// indexStaying writes an index of the packs that stay.
func (p *pruner) indexStaying() (ids []ID, err error) {
	var tables []*table
	size := 0
	write := func() error {
		more, err := p.r.writeIndexes(p.ctx, tables)
		ids, tables, size = append(ids, more...), nil, 0
		return err
	}
	var order []uint32
	for n := range p.r.index.packs {
		if !p.drop[n] && !p.repack[n] {
			order = append(order, n)
		}
	}
	slices.Sort(order)
	for _, n := range order {
		t, err := p.r.table(p.ctx, n)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
		if size += len(t.ids) * 18; size >= indexPayload {
			if err := write(); err != nil {
				return nil, err
			}
		}
	}
	return ids, write()
}

// A bitmap notes chunks of a pack.
type bitmap struct {
	bits []uint64
	n    int
	left int // not set
}

func newBitmap(n int) *bitmap { return &bitmap{bits: make([]uint64, (n+63)/64), n: n, left: n} }

func (b *bitmap) has(i int) bool { return b.bits[i/64]&(1<<(i%64)) != 0 }

func (b *bitmap) set(first, count int) {
	for i := first; i < first+count; i++ {
		if !b.has(i) {
			b.bits[i/64] |= 1 << (i % 64)
			b.left--
		}
	}
}

func (b *bitmap) full() bool { return b.left == 0 }

func (b *bitmap) any(first, count int) bool {
	for i := first; i < first+count; i++ {
		if b.has(i) {
			return true
		}
	}
	return false
}
