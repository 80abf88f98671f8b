package backup

import (
	"context"
	"sort"
	"sync"
)

// maxDedupe bounds the chunk ids held in memory: about 45 MiB. Beyond it, equal contents under another name or in another
// place are stored again; unchanged files are not read at all and do not depend on it.
const maxDedupe = 1_200_000

// inFlight marks a chunk that is on its way into a pack.
const inFlight = ^uint64(0)

// An idMap knows at which address each chunk lies. Safe for concurrent use.
type idMap struct {
	mu sync.Mutex
	m  map[ID]uint64 // :: chunk id → pack number and ordinal
}

func address(pack, ordinal uint32) uint64 { return uint64(pack)<<32 | uint64(ordinal) }

func (m *idMap) get(id ID) (addr uint64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	addr, ok = m.m[id]
	return addr, ok
}

func (m *idMap) put(id ID, addr uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.m[id]; ok || len(m.m) < maxDedupe {
		m.m[id] = addr
	}
}

// settle gives a chunk in flight its address.
func (m *idMap) settle(id ID, addr uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m[id] == inFlight {
		m.m[id] = addr
	}
}

// forget drops the chunks whose place gone picks.
func (m *idMap) forget(gone func(pack, ordinal uint32) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, addr := range m.m {
		if addr != inFlight && gone(uint32(addr>>32), uint32(addr)) {
			delete(m.m, id)
		}
	}
}

// loadIDs fills a map from the indexes: chunks of files and manifests, and of adopted packs every chunk, because an
// interrupted backup has no manifest that would lead to its database pages.
func (r *Repo) loadIDs(ctx context.Context, packs map[uint32]*packInfo) (*idMap, error) {
	m := &idMap{m: make(map[ID]uint64)}
	for _, index := range r.index.loaded {
		err := r.eachTable(ctx, index, func(t *table, _ int) error {
			n := r.index.names.number(t.pack)
			if info := packs[n]; info != nil && info.table == nil {
				m.addTable(r.index.names, t, n, false)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for n, info := range packs {
		if info.table != nil {
			m.addTable(r.index.names, info.table, n, true)
		}
	}
	return m, nil
}

func (m *idMap) addTable(names *packNames, t *table, pack uint32, pages bool) {
	for _, b := range t.blocks {
		if b.class == classPage && !pages {
			continue
		}
		for i := b.first; i < b.first+b.n; i++ {
			if len(t.origins) == 0 {
				m.put(t.ids[i], address(pack, uint32(i)))
			} else if o, at := t.originOf(i); o != nil {
				m.put(t.ids[i], address(names.number(o.pack), at))
			}
		}
	}
}

// originOf finds the address of chunk i of a pack that prune made.
func (t *table) originOf(i int) (*origin, uint32) {
	n := sort.Search(len(t.origins), func(n int) bool { return int(t.origins[n].at) > i })
	if n == 0 {
		return nil, 0
	}
	o := &t.origins[n-1]
	return o, o.first + uint32(i) - o.at
}
