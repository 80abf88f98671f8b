package backup

import "slices"

// copyChunks moves what is needed of the packs that go into new packs, under their old addresses.
func (p *pruner) copyChunks() ([]ID, error) {
	up := p.r.newUploader(p.ctx, p.c, p.o.DryRun)
	into := map[kind]*packer{kindData: {up: up, kind: kindData}, kindMeta: {up: up, kind: kindMeta}}
	err := func() error {
		var order []uint32
		for n := range p.repack {
			order = append(order, n)
		}
		slices.Sort(order)
		for _, n := range order {
			if err := p.copyPack(n, into[p.r.index.packs[n].kind]); err != nil {
				return err
			}
		}
		for _, pk := range into {
			if err := pk.flush(p.ctx); err != nil {
				return err
			}
		}
		return nil
	}()
	err = up.end(err, func() error { return up.writeTables(p.ctx, true) })
	p.res.BytesRepacked = p.c.uploaded.Load()
	p.res.BytesFreed -= p.res.BytesRepacked
	return up.indexes, err
}

// copyPack copies one pack's needed chunks, block by block.
func (p *pruner) copyPack(n uint32, into *packer) error {
	t, err := p.r.table(p.ctx, n)
	if err != nil {
		return err
	}
	b := p.used[n]
	var want []int
	for i, bl := range t.blocks {
		if b.any(bl.first, bl.n) {
			want = append(want, i)
		}
	}
	d := newDigester(p.r.ring)
	_, err = p.r.readBlocks(p.ctx, t, want, func(bl *block, raw []byte) error {
		if err := checkChunks(t, bl, raw, d); err != nil {
			return err
		}
		return p.copyBlock(t, bl, raw, b, into)
	})
	return err
}

func (p *pruner) copyBlock(t *table, bl *block, raw []byte, b *bitmap, into *packer) error {
	var data []byte
	var ids []ID
	var lengths []uint32
	var from []origin
	for n := bl.first; n < bl.first+bl.n; n++ {
		size := t.lengths[n]
		if b.has(n) {
			data = append(data, raw[:size]...)
			ids = append(ids, t.ids[n])
			lengths = append(lengths, size)
			from = addOrigin(from, t, n)
		}
		raw = raw[size:]
	}
	c, stored := compress(data, nil, zstdFastest())
	_, err := into.add(p.ctx, c, bl.class, stored, ids, lengths, from)
	return err
}

// addOrigin notes the address of chunk n of t.
func addOrigin(from []origin, t *table, n int) []origin {
	o := origin{pack: t.pack, first: uint32(n), count: 1}
	if moved, at := t.originOf(n); moved != nil {
		o.pack, o.first = moved.pack, at
	}
	if k := len(from); k > 0 && from[k-1].pack == o.pack && from[k-1].first+from[k-1].count == o.first {
		from[k-1].count++
		return from
	}
	return append(from, o)
}
