package backup

import (
	"context"
	"runtime"
	"weak"
)

// SetPackTarget makes packs smaller, so that a little data makes many, and returns what undoes that.
func SetPackTarget(n int) (undo func()) {
	was := packTarget
	packTarget = n
	return func() { packTarget = was }
}

// SetIndexPayload makes index objects smaller, likewise.
func SetIndexPayload(n int) (undo func()) {
	was := indexPayload
	indexPayload = n
	return func() { indexPayload = was }
}

// Padding says of packs of blocks of these sizes how many they are and how much padding they have, of the largest that there could be.
func Padding(sizes []int) (packs int, share float64) {
	f := &fullPack{t: &table{}}
	end := func() {
		pad, tail, err := packTail(f.t, f.plain, nil)
		if err != nil {
			panic(err)
		}
		packs++
		share += float64(pad) / float64(padStep(f.plain+int64(len(tail))))
		f = &fullPack{t: &table{}}
	}
	for _, n := range sizes {
		if !f.fits(n, 1) {
			end()
		}
		f.t.addBlock(codecRaw, classFile, n, []ID{{1}}, []uint32{uint32(n)})
		if f.plain += int64(n); f.snug() {
			end()
		}
	}
	return packs, share / float64(packs)
}

// A Planted is an entry of a manifest that no scanner would write.
type Planted struct {
	Path   string
	Kind   string // folder, file, link
	Target string
}

// Plant commits a snapshot with these entries, in this order.
func (r *Repo) Plant(ctx context.Context, entries []Planted) (id string, err error) {
	l, _, err := r.begin(ctx, "planting", false)
	if err != nil {
		return "", err
	}
	defer l.unlock()
	ids := &idMap{m: make(map[ID]uint64)}
	p := r.newPipeline(ctx, &counters{}, ids, false)
	s, h := &Snapshot{Time: r.opts.Now().UTC(), Source: "planted"}, r.nextHead()
	err = p.run(ctx, func() error {
		for _, e := range entries {
			if err := p.plant(e); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return r.prepare(ctx, h, p, s) })
	if err == nil {
		h.indexes = append(h.indexes, p.up.indexes...)
		err = r.commit(ctx, h)
	}
	return s.ID, err
}

func (p *pipeline) plant(what Planted) error {
	e := &entry{path: what.Path, kind: recordDir, mode: 0o777, unit: maxChunk, mtime: 1}
	switch what.Kind {
	case "link":
		e.kind, e.target = recordLink, what.Target
	case "file":
		data := []byte("planted")
		e.kind, e.size = recordFile, int64(len(data))
		if err := p.send(&chunkJob{file: e, class: classFile, data: data, unit: maxChunk}); err != nil {
			return err
		}
	}
	return p.steps(op{kind: opEnd, file: e})
}

// PartName is the name of a file that a restore has not finished.
func PartName(path string) string { return partName(path) }

// SpoolKeeps counts the blocks that a spool holds in memory after so many of n were taken out, with the rest waiting in its file.
func SpoolKeeps(dir string, n, taken int) (kept int, err error) {
	s := newSpool(dir)
	defer s.discard()
	var blocks []weak.Pointer[byte]
	s.memory = spoolMemory + 1 // as if much waited already
	for range n {
		b := &blockJob{class: classPage, raw: make([]byte, blockSize), ids: []ID{{1}}}
		if err := s.push(b); err != nil {
			return 0, err
		}
		b.codec, b.stored = codecRaw, b.raw
		s.compressed(b)
	}
	for range taken {
		b, err := s.pop()
		if err != nil {
			return 0, err
		}
		if err := s.load(b); err != nil {
			return 0, err
		}
		blocks = append(blocks, weak.Make(&b.stored[0]))
		s.release(b)
	}
	runtime.GC()
	for _, b := range blocks {
		if b.Value() != nil {
			kept++
		}
	}
	runtime.KeepAlive(s)
	return kept, nil
}
