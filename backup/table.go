package backup

const (
	maxChunk      = 1 << 20 // spec §7
	maxBlock      = 1 << 20
	maxPackChunks = 1 << 16
	maxTable      = maxPackChunks*(16+3) + maxPackChunks*8 + 64 + maxPackChunks*24
	maxOrigins    = maxPackChunks
)

// codec says how a block is stored.
type codec byte

const (
	codecRaw    codec = 0
	codecZstd   codec = 1
	codecSnappy codec = 2
)

// class says what a block's chunks are.
type class byte

const (
	classFile     class = 0
	classPage     class = 1
	classManifest class = 2
)

// A block is a stretch of a pack's plaintext that holds one or more chunks.
type block struct {
	offset int64 // in the pack's plaintext
	stored int64
	raw    int64
	codec  codec
	class  class
	first  int // ordinal of its first chunk
	n      int // number of chunks
}

// An origin says under which addresses chunks that prune has moved are known, spec §7.
type origin struct {
	pack  ID
	first uint32
	count uint32
	at    uint32 // its first chunk's ordinal in the pack, in tables that were read
}

// A table says what a pack holds, spec §7.
type table struct {
	pack    ID
	kind    kind
	size    int64 // of the whole object
	blocks  []block
	ids     []ID
	lengths []uint32
	origins []origin
}

func (t *table) name() string { return objectName(t.kind, t.pack) }

// end is where the blocks end in the plaintext.
func (t *table) end() int64 {
	if len(t.blocks) == 0 {
		return 0
	}
	last := t.blocks[len(t.blocks)-1]
	return last.offset + last.stored
}

// addBlock appends a block of chunks that lies behind those there are.
func (t *table) addBlock(c codec, cl class, stored int, ids []ID, lengths []uint32) {
	b := block{offset: t.end(), stored: int64(stored), codec: c, class: cl, first: len(t.ids), n: len(ids)}
	for _, n := range lengths {
		b.raw += int64(n)
	}
	t.blocks = append(t.blocks, b)
	t.ids = append(t.ids, ids...)
	t.lengths = append(t.lengths, lengths...)
}

func (t *table) marshal(w *wireWriter) {
	w.id(t.pack)
	w.u8(byte(t.kind))
	w.uvarint(uint64(t.size))
	w.uvarint(uint64(len(t.blocks)))
	for _, b := range t.blocks {
		w.u8(byte(b.codec))
		w.u8(byte(b.class))
		w.uvarint(uint64(b.stored))
		w.uvarint(uint64(b.n))
		for _, n := range t.lengths[b.first : b.first+b.n] {
			w.uvarint(uint64(n))
		}
		for _, id := range t.ids[b.first : b.first+b.n] {
			w.id(id)
		}
	}
	w.uvarint(uint64(len(t.origins)))
	for _, o := range t.origins {
		w.id(o.pack)
		w.uvarint(uint64(o.first))
		w.uvarint(uint64(o.count))
	}
}

// readTable reads one table and refuses what could not be a pack.
func readTable(r *wireReader) *table {
	t := &table{pack: r.id(), kind: kind(r.u8()), size: int64(r.upTo(packLimit))}
	if t.kind != kindData && t.kind != kindMeta {
		r.fail()
	}
	for range r.count(21) {
		t.readBlock(r)
	}
	t.readOrigins(r)
	if r.err == nil && (len(t.ids) == 0 || t.end() > t.size) {
		r.fail()
	}
	return t
}

func (t *table) readBlock(r *wireReader) {
	c, cl := codec(r.u8()), class(r.u8())
	stored := int(r.upTo(maxBlock))
	n := r.count(17)
	if c > codecSnappy || cl > classManifest || stored == 0 || n == 0 || len(t.ids)+n > maxPackChunks {
		r.fail()
		return
	}
	lengths := make([]uint32, n)
	raw := uint64(0)
	for i := range lengths {
		lengths[i] = uint32(r.upTo(maxChunk))
		raw += uint64(lengths[i])
		if lengths[i] == 0 {
			r.fail()
		}
	}
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = r.id()
	}
	if raw > maxBlock || (c == codecRaw && raw != uint64(stored)) || (c != codecRaw && raw <= uint64(stored)) {
		r.fail()
		return
	}
	t.addBlock(c, cl, stored, ids, lengths)
}

func (t *table) readOrigins(r *wireReader) {
	n := r.count(18)
	if n == 0 {
		return
	}
	t.origins = make([]origin, n)
	total := uint64(0)
	for i := range t.origins {
		t.origins[i] = origin{r.id(), uint32(r.upTo(maxPackChunks)), uint32(r.upTo(maxPackChunks)), uint32(total)}
		total += uint64(t.origins[i].count)
		if t.origins[i].count == 0 || t.origins[i].first+t.origins[i].count > maxPackChunks {
			r.fail()
		}
	}
	if total != uint64(len(t.ids)) {
		r.fail()
	}
}

// parseIndex calls fn for every table of an index payload, with where it lies in the payload.
func parseIndex(payload []byte, fn func(t *table, offset int) error) error {
	r := wireReader{b: payload}
	for range r.count(40) {
		offset := len(payload) - len(r.b)
		t := readTable(&r)
		if r.err != nil {
			return r.err
		}
		if err := fn(t, offset); err != nil {
			return err
		}
	}
	return r.end()
}

// parseTable reads the one table that is all of b, as at the end of a pack.
func parseTable(b []byte) (*table, error) {
	r := wireReader{b: b}
	t := readTable(&r)
	return t, r.end()
}
