package backup

import (
	"context"

	"keepsake.example/key"
)

// OpenVector opens one object as a reader of a whole repository does, and returns its payload, or the chunks of a pack one after the
// other. The chunks of a meta pack are one whole manifest.
func OpenVector(name string, repo ID, k *key.Key, idKey [32]byte, data [][32]byte, object []byte) ([]byte, error) {
	kd, _, id, err := splitName(name)
	if err != nil {
		return nil, err
	}
	r := repoOf(object)
	r.ring = &ring{repo: repo, idKey: idKey}
	for _, d := range data {
		r.ring.keys = append(r.ring.keys, dataKey{secret: d})
	}
	switch kd {
	case kindRing:
		if object, err = checkRing(name, object); err != nil {
			return nil, err
		}
		if !matches(object[:stubSize], k) {
			return nil, ErrWrongKey
		}
		g, err := openRing(name, k, object)
		if err != nil {
			return nil, err
		}
		return g.marshal(), nil
	case kindData, kindMeta:
		return r.openPack(name, kd, id, object)
	case kindHead:
		h, err := r.readHead(context.Background(), name)
		if err != nil {
			return nil, err
		}
		return h.marshal(), nil
	}
	payload, err := r.readSmall(context.Background(), kd, id, name)
	if err == nil && kd == kindSnapshot && new(Snapshot).unmarshal(payload) != nil ||
		err == nil && kd == kindIndex && parseIndex(payload, func(*table, int) error { return nil }) != nil {
		return nil, damage(name, "payload", "malformed")
	}
	return payload, err
}

func (r *Repo) openPack(name string, k kind, id ID, object []byte) (chunks []byte, err error) {
	ctx := context.Background()
	t, err := r.readPackTable(ctx, k, id, int64(len(object)))
	if err != nil {
		return nil, err
	}
	r.index = packIndex{names: newPackNames(), packs: make(map[uint32]*packInfo), moved: make(map[uint32][]movedRun)}
	r.index.add(t, &packInfo{table: t})
	if err := (&verifier{r: r, ctx: ctx, c: &counters{}}).pack(ctx, r.index.names.number(id)); err != nil {
		return nil, err
	}
	a := newAssembler(func(*entry) error { return nil })
	for i := range t.blocks {
		_, err := r.readBlocks(ctx, t, []int{i}, func(b *block, raw []byte) error {
			chunks = append(chunks, raw...)
			for n := b.first; k == kindMeta && n < b.first+b.n; n++ {
				if err := parseSegment(chunkAt(t, b, raw, n), r.index.names, a.add); err != nil {
					return damage(name, "payload", "%v", err)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if a.flush() != nil {
		return nil, damage(name, "payload", "malformed")
	}
	return chunks, nil
}
