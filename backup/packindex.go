package backup

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"sort"

	"keepsake.example/cloud"
)

// indexPayload is where an index object is cut, in bytes; the limit of spec §2 is four times that. Only tests change it.
var indexPayload = 2 << 20

// tableBudget bounds the decoded tables kept in memory, in bytes.
const tableBudget = 24 << 20

// packInfo says what is known of a pack without its table.
type packInfo struct {
	kind   kind
	size   int64 // of the object
	chunks int
	index  ID     // the index object that has the table
	offset int    // of the table in that object's payload
	table  *table // instead of index: a pack that no index names yet
	gone   bool   // not whole in the cloud, and other packs have chunks of it: prune on another device has moved them
}

// movedRun says where chunks lie that prune moved, spec §7.
type movedRun struct {
	first, count uint32
	to           run
}

// packIndex finds packs, tables and moved chunks.
type packIndex struct {
	names  *packNames
	packs  map[uint32]*packInfo
	moved  map[uint32][]movedRun // :: original pack → runs, sorted by first
	loaded []ID                  // index objects read without damage
	tables map[uint32]*list.Element
	recent *list.List // of *tableUse, most recent first
	held   int        // bytes
}

type tableUse struct {
	pack  uint32
	table *table
}

func (t *table) memory() int { return len(t.ids)*20 + len(t.blocks)*64 + len(t.origins)*24 }

// loadIndexes reads index objects anew.
func (r *Repo) loadIndexes(ctx context.Context, ids []ID) error {
	names := r.index.names
	if names == nil {
		names = newPackNames()
	}
	r.index = packIndex{names: names, packs: make(map[uint32]*packInfo), moved: make(map[uint32][]movedRun),
		tables: make(map[uint32]*list.Element), recent: list.New()}
	err := inOrder(ctx, len(ids), r.width(), func(ctx context.Context, i int) ([]byte, error) {
		return r.readSmall(ctx, kindIndex, ids[i], objectName(kindIndex, ids[i]))
	}, func(i int, payload []byte, err error) error {
		if err == nil {
			err = eachTableIn(payload, ids[i], func(t *table, offset int) error {
				info := &packInfo{index: ids[i], offset: offset}
				if r.index.add(t, info); r.fresh || r.remote {
					r.index.holdNew(t, info) // or each would be asked for again
				}
				return nil
			})
		}
		if err != nil {
			return r.tolerate(err)
		}
		r.index.loaded = append(r.index.loaded, ids[i])
		return nil
	})
	if err != nil {
		return err
	}
	r.index.sortMoved()
	whole := len(r.index.loaded) == len(ids)
	if whole && len(r.index.doubled()) == 0 {
		return nil
	}
	present, err := r.listPacks(ctx)
	if err == nil && !whole {
		var unreadable []*DamageError
		unreadable, err = r.adopt(ctx, present)    // packs end with their own tables
		r.damage = append(r.damage, unreadable...) // the lost index may have named them
	}
	r.index.noteGone(present)
	return err
}

// eachTable reads one index object.
func (r *Repo) eachTable(ctx context.Context, id ID, fn func(t *table, offset int) error) error {
	name := objectName(kindIndex, id)
	payload, err := r.readSmall(ctx, kindIndex, id, name)
	if err != nil {
		return err
	}
	return eachTableIn(payload, id, fn)
}

func eachTableIn(payload []byte, id ID, fn func(t *table, offset int) error) error {
	if err := parseIndex(payload, fn); err != nil {
		return damage(objectName(kindIndex, id), "payload", "not an index: %v", err)
	}
	return nil
}

// add records a pack.
func (x *packIndex) add(t *table, info *packInfo) {
	info.kind, info.size, info.chunks = t.kind, t.size, len(t.ids)
	n := x.names.number(t.pack)
	if x.packs[n] != nil {
		return // two devices adopted it
	}
	x.packs[n] = info
	at := uint32(0)
	for _, o := range t.origins {
		from := x.names.number(o.pack)
		x.moved[from] = append(x.moved[from], movedRun{o.first, o.count, run{n, at, o.count}})
		at += o.count
	}
}

// sortMoved is called once all tables are added.
func (x *packIndex) sortMoved() {
	for _, m := range x.moved {
		slices.SortFunc(m, func(a, b movedRun) int { return int(a.first) - int(b.first) })
	}
}

// doubled finds the packs of which another pack has chunks too. Prune leaves none; a backup that raced it beyond the locks names the
// old packs, and its head is merged with the other.
func (x *packIndex) doubled() map[uint32]bool {
	found := make(map[uint32]bool)
	for from, moved := range x.moved {
		var last movedRun // that reaches furthest
		for _, m := range moved {
			if x.packs[from] != nil {
				found[from], found[m.to.pack] = true, true
			}
			if m.first < last.first+last.count && m.to.pack != last.to.pack {
				found[last.to.pack], found[m.to.pack] = true, true
			}
			if m.first+m.count >= last.first+last.count {
				last = m
			}
		}
	}
	return found
}

// noteGone marks those of them that do not lie in the cloud. present is what listPacks returned.
func (x *packIndex) noteGone(present map[uint32]cloud.Info) {
	for n := range x.doubled() {
		if info := x.packs[n]; info != nil {
			found, ok := present[n]
			info.gone = !ok || found.Size != info.size
		}
	}
}

// resolve turns a run of addresses into runs of places. It fails with damage if some of them lie nowhere.
func (x *packIndex) resolve(a run) (out []run, err error) {
	for a.count > 0 {
		place := x.place(a)
		if place.count == 0 {
			return nil, x.lost(a.pack)
		}
		out = addRun(out, place)
		a.first, a.count = a.first+place.count, a.count-place.count
	}
	return out, nil
}

// place finds where a run of addresses begins to lie. Any pack that is in the cloud will do. A copy goes before the original, which
// whoever made the copy is about to delete; what is not in the cloud comes last, for the reader to name it.
func (x *packIndex) place(a run) (best run) {
	moved := x.moved[a.pack]
	next := sort.Search(len(moved), func(i int) bool { return moved[i].first > a.first })
	for _, m := range slices.Backward(moved[:next]) {
		skip, to := a.first-m.first, x.packs[m.to.pack]
		if to == nil || skip >= m.count {
			continue
		}
		found := run{m.to.pack, m.to.first + skip, min(a.count, m.count-skip)}
		if !to.gone {
			return found
		}
		if best.count == 0 {
			best = found
		}
	}
	info := x.packs[a.pack]
	if info != nil && int(a.first) < info.chunks && (!info.gone || best.count == 0) {
		best = run{a.pack, a.first, min(a.count, uint32(info.chunks)-a.first)}
	}
	if next < len(moved) {
		best.count = min(best.count, moved[next].first-a.first)
	}
	return best
}

// isMeta reports whether a chunk lies in a meta pack.
func (x *packIndex) isMeta(pack, ordinal uint32) bool {
	info := x.packs[x.place(run{pack, ordinal, 1}).pack]
	return info != nil && info.kind == kindMeta
}

func (x *packIndex) lost(pack uint32) error {
	id := x.names.id(pack)
	return damage(objectName(kindData, id), "missing", "no index names the pack with these chunks")
}

// table returns the table of a pack.
func (r *Repo) table(ctx context.Context, pack uint32) (*table, error) {
	info := r.index.packs[pack]
	if info == nil {
		return nil, r.index.lost(pack)
	}
	if info.table != nil {
		return info.table, nil
	}
	if e := r.index.tables[pack]; e != nil {
		r.index.recent.MoveToFront(e)
		return e.Value.(*tableUse).table, nil
	}
	name := objectName(kindIndex, info.index)
	payload, err := r.readSmall(ctx, kindIndex, info.index, name)
	if err != nil {
		return nil, err
	}
	if info.offset > len(payload) {
		return nil, damage(name, "payload", "changed while in use")
	}
	rd := wireReader{b: payload[info.offset:]}
	t := readTable(&rd)
	if rd.err != nil || r.index.names.number(t.pack) != pack {
		return nil, damage(name, "payload", "changed while in use")
	}
	r.index.hold(pack, t)
	return t, nil
}

// holdNew is hold for a table that was just added, if it was.
func (x *packIndex) holdNew(t *table, info *packInfo) {
	if n := x.names.number(t.pack); x.packs[n] == info {
		x.hold(n, t)
	}
}

// hold keeps a table in memory, and forgets those not used for longest.
func (x *packIndex) hold(pack uint32, t *table) {
	x.tables[pack] = x.recent.PushFront(&tableUse{pack, t})
	x.held += t.memory()
	for x.held > tableBudget && x.recent.Len() > 1 {
		last := x.recent.Remove(x.recent.Back()).(*tableUse)
		delete(x.tables, last.pack)
		x.held -= last.table.memory()
	}
}

// writeIndexes stores tables as index objects and returns their ids.
func (r *Repo) writeIndexes(ctx context.Context, tables []*table) (ids []ID, err error) {
	var body wireWriter
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		var w wireWriter
		w.uvarint(uint64(n))
		w.b = append(w.b, body.b...)
		id := newID()
		if err := r.writeSmall(ctx, kindIndex, id, objectName(kindIndex, id), w.b); err != nil {
			return err
		}
		ids = append(ids, id)
		body.b, n = body.b[:0], 0
		return nil
	}
	for _, t := range tables {
		t.marshal(&body)
		if n++; len(body.b) >= indexPayload {
			if err := flush(); err != nil {
				return nil, fmt.Errorf("storing an index: %w", err)
			}
		}
	}
	return ids, flush()
}
