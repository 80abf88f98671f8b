package backup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"keepsake.example/internal/cobblestone"
)

// VerifyOptions says how deep to look.
type VerifyOptions struct {
	// ReadData is about the share of packs of which every byte is read and checked, 0 to 1; at least one unless it is 0. The packs take turns by the day, by
	// the local calendar, in an order that depends on the key: who verifies 0.05 each day for 20 days has read what was there all the time. With 0, everything but
	// the contents of data packs is checked: heads, indexes, snapshots, manifests, that every chunk has its place, that every object is there with its size.
	ReadData float64
}

// A VerifyResult says what was looked at, and what is wrong.
type VerifyResult struct {
	Snapshots   int            `json:"snapshots"`
	Objects     int            `json:"objects"`
	Packs       int            `json:"packs"`
	PacksRead   int            `json:"packs_read"`
	BytesRead   int64          `json:"bytes_read"`
	Orphans     int            `json:"orphans"` // objects no head names: left by an interrupted run, harmless
	OrphanBytes int64          `json:"orphan_bytes"`
	Damage      []*DamageError `json:"damage"`
	NoSpare     bool           `json:"no_spare"` // there is one key ring, and if it is lost, so is all; Rotate makes two
	// Affected lists, for each snapshot id, up to 100 paths that cannot be restored as they were.
	Affected map[string][]string `json:"affected"`
}

const maxAffected = 100

// verifier checks a repository, reading everything anew from the cloud.
type verifier struct {
	r   *Repo
	ctx context.Context
	res *VerifyResult
	c   *counters
	mu  sync.Mutex
	bad map[uint32]*bitmap // :: damaged pack → its damaged chunks, nil for all
}

// Verify checks the repository. Damage is in the result; an error means that it could not be finished.
func (r *Repo) Verify(ctx context.Context, o VerifyOptions) (*VerifyResult, error) {
	r.fresh = true
	defer func() { r.fresh = false }()
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	v := &verifier{r: r, ctx: ctx, c: &counters{}, res: &VerifyResult{Affected: make(map[string][]string)}, bad: make(map[uint32]*bitmap)}
	v.res.Damage = append(v.res.Damage, r.Damage()...)
	v.res.Snapshots = len(r.snapshots)
	if err := together(v.spare, v.olderHeads); err != nil {
		return nil, err
	}
	if err := v.objects(); err != nil {
		return nil, err
	}
	stop := v.c.report(r.opts.Progress, "verifying")
	err := v.packs(o.ReadData)
	stop()
	if err != nil {
		return nil, err
	}
	for _, s := range r.snapshots {
		if err := v.snapshot(s); err != nil {
			return nil, err
		}
	}
	v.res.BytesRead = v.c.bytes.Load()
	slices.SortFunc(v.res.Damage, func(a, b *DamageError) int { return strings.Compare(a.Object+a.Layer, b.Object+b.Layer) })
	return v.res, nil
}

func (v *verifier) add(err error) error {
	var d *DamageError
	if !errors.As(err, &d) {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, known := range v.res.Damage {
		if known.Object == d.Object && known.Layer == d.Layer {
			return nil
		}
	}
	v.res.Damage = append(v.res.Damage, d)
	return nil
}

// olderHeads opens the heads before the newest, which are what is left if that one is damaged.
func (v *verifier) olderHeads() error {
	names := v.r.older
	return inOrder(v.ctx, len(names), v.r.width(), func(ctx context.Context, i int) (*head, error) {
		return v.r.readHead(ctx, names[i])
	}, func(_ int, _ *head, err error) error {
		if v.r.lag > 0 && isMissing(err) {
			return nil // another device deleted it after its commit, and the listing is late
		}
		return v.add(err)
	})
}

// objects compares what lies in the cloud with what the head names.
func (v *verifier) objects() error {
	wanted := v.r.wanted()
	for _, name := range v.r.older {
		wanted[name] = true
	}
	var folders []string
	for k, info := range kinds {
		if k != kindLock {
			folders = append(folders, info.folder)
		}
	}
	list, err := listFolders(v.ctx, v.r.store, folders...)
	if err != nil {
		return fmt.Errorf("listing objects: %w", err)
	}
	for folder, objects := range list {
		v.res.Objects += len(objects)
		for _, i := range objects {
			if folder != kinds[kindRing].folder && !wanted[i.Name] {
				v.res.Orphans++
				v.res.OrphanBytes += i.Size
			}
		}
	}
	present, err := v.r.packsIn(v.ctx, list)
	if err != nil {
		return err
	}
	for n, info := range v.r.index.packs {
		name := objectName(info.kind, v.r.index.names.id(n))
		found, ok := present[n]
		switch {
		case info.gone:
			v.bad[n] = nil // no damage unless something needs it still
		case !ok:
			v.bad[n] = nil
			v.add(damage(name, "missing", "it is not in the cloud any more"))
		case found.Size != info.size:
			v.bad[n] = nil
			v.add(damage(name, "size", "it has %d bytes instead of %d", found.Size, info.size))
		}
	}
	return nil
}

// packs reads a share of the data packs wholly. Meta packs are read by snapshot.
func (v *verifier) packs(share float64) error {
	var all []uint32
	for n := range v.r.index.packs {
		all = append(all, n)
	}
	slices.Sort(all)
	v.res.Packs = len(all)
	d := v.r.ring.digester(turnPurpose)
	place := func(n uint32) uint64 {
		id := v.r.index.names.id(n)
		digest := d.id(id[:])
		return binary.BigEndian.Uint64(digest[:8])
	}
	chosen := draw(all, place, day(v.r.opts.Now()), share)
	chosen = slices.DeleteFunc(chosen, func(n uint32) bool { _, bad := v.bad[n]; return bad })
	for _, n := range chosen {
		v.c.totalBytes.Add(v.r.index.packs[n].size)
	}
	group, ctx := errgroup.WithContext(v.ctx)
	group.SetLimit(v.r.readers())
	for _, n := range chosen {
		if ctx.Err() != nil {
			break
		}
		v.res.PacksRead++
		group.Go(guarded(func() error {
			err := v.pack(ctx, n)
			if errors.Is(err, ErrDamaged) {
				if err := v.localise(ctx, n); err != nil {
					return err
				}
			}
			return v.add(err)
		}))
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return v.ctx.Err()
}

// draw picks the packs whose turn it is. Each has its place on a circle, of which every day takes the next stretch, as long as the share: packs that come and go
// move no other's turn. Where no pack lies in the stretch it is that of the next.
func draw(all []uint32, place func(n uint32) uint64, day int64, share float64) (chosen []uint32) {
	switch {
	case share >= 1:
		return all
	case !(share > 0) || len(all) == 0:
		return nil
	}
	from := turn(day, share)
	length, next := turn(day+1, share)-from, all[0]
	for _, n := range all {
		if place(n)-from < length {
			chosen = append(chosen, n)
		}
		if place(n)-from < place(next)-from {
			next = n
		}
	}
	if len(chosen) == 0 {
		return []uint32{next}
	}
	return chosen
}

// turn is where on the circle a day's stretch begins; the one before ends there.
func turn(day int64, share float64) uint64 {
	at := float64(day) * share
	return uint64((at - math.Floor(at)) * (1 << 64))
}

// day counts days of the local calendar.
func day(now time.Time) int64 {
	y, m, d := now.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

// pack reads one pack wholly: every segment, every chunk against its id, the padding, and its own table against the index.
func (v *verifier) pack(ctx context.Context, n uint32) error {
	t, err := v.table(ctx, n)
	if err != nil {
		return err
	}
	plain, err := cobblestone.PlaintextSize(t.size - headerSize)
	if err != nil {
		return damage(t.name(), "size", "no pack has %d bytes", t.size)
	}
	p := v.r.cloudPack(ctx, t.name(), t.kind, t.pack, t.size)
	s, err := p.stream(0, plain/cobblestone.ChunkSize+1)
	if err != nil {
		return err
	}
	defer s.close()
	d := newDigester(v.r.ring)
	for i := range t.blocks {
		raw, err := s.block(&t.blocks[i])
		if err != nil {
			return err
		}
		if err := checkChunks(t, &t.blocks[i], raw, d); err != nil {
			return err
		}
		v.c.bytes.Add(t.blocks[i].stored)
	}
	return v.tail(s, t, plain)
}

func (v *verifier) table(ctx context.Context, n uint32) (*table, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.r.table(ctx, n)
}

// localise finds out which chunks of a damaged pack are lost.
func (v *verifier) localise(ctx context.Context, n uint32) error {
	t, err := v.table(ctx, n)
	v.mu.Lock()
	v.bad[n] = nil
	v.mu.Unlock()
	if errors.Is(err, ErrDamaged) {
		return nil
	}
	if err != nil {
		return err
	}
	lost := newBitmap(len(t.ids))
	d := newDigester(v.r.ring)
	for i, b := range t.blocks {
		_, err := v.r.readBlocks(ctx, t, []int{i}, func(b *block, raw []byte) error { return checkChunks(t, b, raw, d) })
		if errors.Is(err, ErrDamaged) {
			lost.set(b.first, b.n)
		} else if err != nil {
			return err
		}
	}
	v.mu.Lock()
	v.bad[n] = lost
	v.mu.Unlock()
	return nil
}

// checkChunks compares a block's chunks with their ids.
func checkChunks(t *table, b *block, raw []byte, d *digester) error {
	for n := b.first; n < b.first+b.n; n++ {
		size := int(t.lengths[n])
		if d.id(raw[:size]) != t.ids[n] {
			return damage(t.name(), "chunk", "chunk %d is not what the table says", n)
		}
		raw = raw[size:]
	}
	return nil
}

// tail checks padding and table behind the last block.
func (v *verifier) tail(s *plainStream, t *table, plain int64) error {
	var w wireWriter
	t.marshal(&w)
	at := t.end()
	if padme(at+int64(len(w.b))+4) != plain {
		return damage(t.name(), "table", "the pack has another size than its table needs")
	}
	for end := plain - int64(len(w.b)) - 4; at < end; {
		part, err := s.at(at, min(maxBlock, end-at))
		if err != nil {
			return err
		}
		if !allZero(part) {
			return damage(t.name(), "payload", "its padding is not zero")
		}
		at += int64(len(part))
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(w.b)))
	for own := w.b; len(own) > 0; {
		part, err := s.at(at, int64(min(maxBlock, len(own))))
		if err != nil {
			return err
		}
		if string(part) != string(own[:len(part)]) {
			return damage(t.name(), "table", "its own table differs from the index")
		}
		own, at = own[len(part):], at+int64(len(part))
	}
	v.c.bytes.Add(plain - t.end())
	return nil
}

// snapshot checks that every chunk of a snapshot has its place, and lists what damage touches.
func (v *verifier) snapshot(s *Snapshot) error {
	lost := func(g gap) {
		v.affect(s, g.String())
		if g.cut != "" {
			v.affect(s, g.cut)
		}
		v.add(g.err)
	}
	for e, err := range v.r.entriesAround(v.ctx, s, lost) {
		if err != nil {
			v.affect(s, gap{}.String())
			return v.add(err)
		}
		for _, a := range e.runs {
			if err := v.run(s, e, a); err != nil {
				return err
			}
		}
	}
	return v.ctx.Err()
}

func (v *verifier) run(s *Snapshot, e *entry, a run) error {
	if a.pack == 0 {
		return nil
	}
	places, err := v.r.index.resolve(a)
	if err != nil {
		v.affect(s, e.path)
		return v.add(err)
	}
	for _, p := range places {
		if lost, bad := v.bad[p.pack]; bad && (lost == nil || lost.any(int(p.first), int(p.count))) {
			v.affect(s, e.path)
			if info := v.r.index.packs[p.pack]; info.gone {
				v.add(damage(objectName(info.kind, v.r.index.names.id(p.pack)), "missing", "it is not whole in the cloud any more, and not all of it was moved"))
			}
		}
	}
	return nil
}

func (v *verifier) affect(s *Snapshot, path string) {
	list := v.res.Affected[s.ID]
	if len(list) < maxAffected && (len(list) == 0 || list[len(list)-1] != path) {
		v.res.Affected[s.ID] = append(list, path)
	}
}
