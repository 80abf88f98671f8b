package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	maxOpen     = 200       // incomplete files held open; beyond it they are opened for each write
	batchFiles  = 256       // complete files that are made durable together
	batchBytes  = 256 << 20 // or when they have that many bytes
	readWorkers = 4         // packs read at a time, at least
)

// A piece is a run of a part's chunks that lie one after the other in a pack.
type piece struct {
	part   *part
	offset int64 // in the part
	first  uint32
	count  uint32
}

// A plan gathers what is wanted of each pack, so that every pack is read once, in one go, whatever the order of the files in it.
type plan struct {
	x     *restorer
	packs map[uint32][]piece
	order []uint32
	runs  int

	mu     sync.Mutex // guards the repository's tables, damaged, problems
	lost   []error
	open   atomic.Int64
	finish *finisher
}

func newPlan(x *restorer) *plan {
	return &plan{x: x, packs: make(map[uint32][]piece), finish: newFinisher(x)}
}

// add plans a file and carries the plan out if it has become large.
func (p *plan) add(e *entry) error {
	f := &part{path: e.path, name: partName(e.path), mode: e.mode, mtime: e.mtime, size: e.size, unit: int64(e.unit), kind: e.kind}
	f.left.Store(1) // for the planning itself
	have, err := p.found(f)
	if err != nil {
		return err
	}
	defer have.close()
	offset := int64(0)
	for _, a := range e.runs {
		length := min(int64(a.count)*f.unit, e.size-offset)
		if err := p.addRun(f, a, offset, have); err != nil {
			return p.lose(f, err)
		}
		offset += length
	}
	if err := p.wrote(f, 1); err != nil {
		return err
	}
	if p.runs >= planRuns {
		return p.execute()
	}
	return nil
}

// addRun plans one run of chunks.
func (p *plan) addRun(f *part, a run, offset int64, have *existing) error {
	if a.pack == 0 {
		return have.clearZeros(offset, min(int64(a.count)*f.unit, f.size-offset))
	}
	places, err := p.x.r.index.resolve(a)
	if err != nil {
		return err
	}
	for _, place := range places {
		if place.count, err = p.skipExisting(f, &place, &offset, have); err != nil {
			return err
		}
		if place.count == 0 {
			continue
		}
		if p.packs[place.pack] == nil {
			p.order = append(p.order, place.pack)
		}
		p.packs[place.pack] = append(p.packs[place.pack], piece{f, offset, place.first, place.count})
		f.left.Add(int64(place.count))
		p.runs++
		offset += int64(place.count) * f.unit
	}
	return nil
}

// skipExisting passes over the chunks at the start of a run that an interrupted restore has written. It returns how many are left.
func (p *plan) skipExisting(f *part, place *run, offset *int64, have *existing) (uint32, error) {
	if have == nil {
		return place.count, nil
	}
	t, err := p.x.r.table(p.x.ctx, place.pack)
	if err != nil {
		return 0, err
	}
	for place.count > 0 {
		n := min(f.unit, f.size-*offset)
		if !have.holds(t.ids[place.first], *offset, n) {
			break
		}
		p.x.c.bytes.Add(n)
		*offset += n
		place.first++
		place.count--
	}
	return place.count, nil
}

// lose takes note that a file cannot be restored, if that is because of damage.
func (p *plan) lose(f *part, err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	if f.failed.CompareAndSwap(false, true) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.x.res.Problems = append(p.x.res.Problems, Problem{Path: f.path, What: "cannot be restored: " + err.Error(), Err: err})
		if len(p.lost) < 20 {
			p.lost = append(p.lost, err)
		}
	}
	return nil
}

// damage joins what was lost.
func (p *plan) damage() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.lost...)
}

// execute reads every planned pack and writes its chunks, then makes the complete files durable and begins a new plan.
func (p *plan) execute() error {
	group, ctx := errgroup.WithContext(p.x.ctx)
	group.SetLimit(p.x.r.readers())
	for _, pack := range p.order {
		if ctx.Err() != nil {
			break
		}
		group.Go(guarded(func() error { return p.read(ctx, pack) }))
	}
	err := group.Wait()
	if err == nil {
		err = p.x.ctx.Err()
	}
	if err != nil {
		p.closeAll()
		return err
	}
	p.packs, p.order, p.runs = make(map[uint32][]piece), nil, 0
	return p.finish.flush()
}

// closeAll closes the files that are not complete and will not be.
func (p *plan) closeAll() {
	for _, pieces := range p.packs {
		for _, pc := range pieces {
			pc.part.close(p)
		}
	}
}

// read writes everything wanted of one pack.
func (p *plan) read(ctx context.Context, pack uint32) error {
	pieces := p.packs[pack]
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.first, b.first) })
	t, err := p.table(ctx, pack)
	if err != nil {
		return p.loseAll(pieces, err)
	}
	want := blocksOf(t, pieces)
	done, rest := 0, pieces
	got, err := p.x.r.readBlocks(ctx, t, want, func(b *block, raw []byte) (err error) {
		rest, err = p.block(t, b, raw, rest)
		done++
		return err
	})
	p.x.c.fetched.Add(got)
	if err == nil || !errors.Is(err, ErrDamaged) {
		return err
	}
	return p.salvage(ctx, t, want[done:], pieces)
}

func (p *plan) table(ctx context.Context, pack uint32) (*table, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.x.r.table(ctx, pack)
}

// salvage reads blocks of a damaged pack one by one, so that only the files that the damage touches are lost.
func (p *plan) salvage(ctx context.Context, t *table, want []int, pieces []piece) error {
	for _, i := range want {
		b := &t.blocks[i]
		got, err := p.x.r.readBlocks(ctx, t, []int{i}, func(b *block, raw []byte) error {
			_, err := p.block(t, b, raw, pieces)
			return err
		})
		p.x.c.fetched.Add(got)
		if err == nil {
			continue
		}
		var touched []piece
		for _, pc := range pieces {
			if int(pc.first) < b.first+b.n && int(pc.first+pc.count) > b.first {
				touched = append(touched, pc)
			}
		}
		if err := p.loseAll(touched, err); err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) loseAll(pieces []piece, err error) error {
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	for _, pc := range pieces {
		if err := p.lose(pc.part, err); err != nil {
			return err
		}
	}
	return nil
}

// blocksOf lists the blocks that pieces, sorted by first, lie in.
func blocksOf(t *table, pieces []piece) (want []int) {
	next := 0
	for _, pc := range pieces {
		i, _ := slices.BinarySearchFunc(t.blocks, int(pc.first), func(b block, n int) int {
			if b.first+b.n <= n {
				return -1
			}
			return 1
		})
		for i = max(i, next); i < len(t.blocks) && t.blocks[i].first < int(pc.first+pc.count); i++ {
			want = append(want, i)
			next = i + 1
		}
	}
	return want
}

// block writes what is wanted of one block, and returns the pieces that later blocks may need.
func (p *plan) block(t *table, b *block, raw []byte, pieces []piece) ([]piece, error) {
	for len(pieces) > 0 && int(pieces[0].first+pieces[0].count) <= b.first {
		pieces = pieces[1:]
	}
	starts := make([]int64, b.n+1)
	for i := range b.n {
		starts[i+1] = starts[i] + int64(t.lengths[b.first+i])
	}
	for _, pc := range pieces {
		if int(pc.first) >= b.first+b.n {
			break
		}
		first, end := max(int(pc.first), b.first), min(int(pc.first+pc.count), b.first+b.n)
		if first >= end {
			continue
		}
		from, to := starts[first-b.first], starts[end-b.first]
		offset := pc.offset + int64(first-int(pc.first))*pc.part.unit
		if want := min(int64(end-first)*pc.part.unit, pc.part.size-offset); want != to-from {
			return pieces, damage(t.name(), "chunk", "chunks have other lengths than the file needs")
		}
		if err := p.write(pc.part, raw[from:to], offset, end-first); err != nil {
			return pieces, err
		}
	}
	return pieces, nil
}

// write writes n chunks of a part.
func (p *plan) write(f *part, data []byte, offset int64, n int) error {
	if f.failed.Load() {
		return nil
	}
	if err := f.writeAt(p, data, offset); err != nil {
		return fmt.Errorf("%w: writing %s: %w", ErrLocal, f.path, err)
	}
	p.x.c.bytes.Add(int64(len(data)))
	p.x.c.fresh.Add(int64(len(data)))
	return p.wrote(f, n)
}

// wrote counts chunks and passes a complete file on.
func (p *plan) wrote(f *part, n int) error {
	if f.left.Add(-int64(n)) > 0 || f.failed.Load() {
		return nil
	}
	err := f.writeAt(p, nil, 0) // an empty file, or one of zeros, is made here
	if err == nil {
		err = f.close(p)
	}
	if err != nil {
		return fmt.Errorf("%w: writing %s: %w", ErrLocal, f.path, err)
	}
	return p.finish.add(f)
}
