package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"keepsake.example/cloud"
	"keepsake.example/internal/cobblestone"
)

const (
	sealedChunk = cobblestone.ChunkSize + cobblestone.TagSize
	readBatch   = 16                         // Cobblestone chunks decrypted at a time: 256 KiB
	nearGap     = 16                         // chunks nobody wants that are read rather than asked around: 256 KiB, about what a request costs
	farGap      = 32                         // likewise where a request is a round trip: 512 KiB, what 50 ms are worth at 80 Mbit/s
	tableGuess  = 16 * cobblestone.ChunkSize // how much of a pack's end is read to find its table
)

// A span is a stretch of a pack to read in one request.
type span struct {
	first, end int64 // Cobblestone chunks
	blocks     []int
}

// spansFor groups wanted blocks, in order, into requests. So many chunks that nobody wants are read rather than asked around.
func spansFor(t *table, want []int, gap int64) (spans []span) {
	for _, i := range want {
		b := t.blocks[i]
		first := b.offset / cobblestone.ChunkSize
		end := (b.offset+b.stored-1)/cobblestone.ChunkSize + 1
		if n := len(spans); n > 0 && first <= spans[n-1].end+gap {
			spans[n-1].end = max(end, spans[n-1].end)
			spans[n-1].blocks = append(spans[n-1].blocks, i)
			continue
		}
		if len(spans) == 0 && first <= gap {
			first = 0 // with the header, which is needed anyway
		}
		spans = append(spans, span{first, end, []int{i}})
	}
	return spans
}

// A packReader decrypts parts of one pack.
type packReader struct {
	name   string
	size   int64 // of the object
	get    func(offset, length int64) (io.ReadCloser, error)
	keyFor func(h header) (*[32]byte, error)
	opener *cobblestone.Opener
	got    atomic.Int64 // bytes asked of the cloud
	gap    int64        // see spansFor
	cached bool         // get reads the device's copy
}

// cloudPack reads a pack from the cloud.
func (r *Repo) cloudPack(ctx context.Context, name string, k kind, id ID, size int64) *packReader {
	p := &packReader{name: name, size: size, gap: nearGap}
	if r.remote {
		p.gap = farGap
	}
	p.keyFor = func(h header) (*[32]byte, error) { return r.keyFor(name, h, k, id) }
	p.get = func(offset, length int64) (io.ReadCloser, error) {
		p.got.Add(length)
		return r.get(ctx, name, offset, length)
	}
	return p
}

// packReader reads a pack from the cache, if it is a meta pack, or from the cloud.
func (r *Repo) packReader(ctx context.Context, t *table) (*packReader, func()) {
	p := r.cloudPack(ctx, t.name(), t.kind, t.pack, t.size)
	if t.kind != kindMeta || r.fresh {
		return p, func() {}
	}
	f := r.cachedPack(ctx, t.name(), t.size)
	if f == nil {
		return p, func() {}
	}
	p.cached = true
	p.get = func(offset, length int64) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, offset, length)), nil
	}
	return p, func() { f.Close() }
}

// cachedPack opens the device's copy of a meta pack, fetching it first if need be; nil if that does not work.
func (r *Repo) cachedPack(ctx context.Context, name string, size int64) *os.File {
	if f := r.cache.open(name); f != nil {
		if info, err := f.Stat(); err == nil && info.Size() == size {
			return f
		}
		f.Close()
		r.cache.drop(name)
	}
	if r.cache.dir == "" {
		return nil
	}
	object, err := readAll(ctx, r.get, name, size)
	if err != nil || int64(len(object)) != size {
		return nil
	}
	r.cache.put(name, object)
	return r.cache.open(name)
}

// readError names what went wrong with a request.
func (p *packReader) readError(err error) error {
	switch {
	case errors.Is(err, cloud.ErrNotExist):
		return damage(p.name, "missing", "it is not in the cloud any more")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return damage(p.name, "size", "it is shorter than the %d bytes it was written with", p.size)
	}
	return fmt.Errorf("reading %s: %w", p.name, err)
}

// begin reads and checks the header and the commitment.
func (p *packReader) begin(body io.Reader) error {
	stub := make([]byte, stubSize)
	if _, err := io.ReadFull(body, stub); err != nil {
		return p.readError(err)
	}
	h, err := parseHeader(p.name, stub)
	if err != nil {
		return err
	}
	secret, err := p.keyFor(h)
	if err != nil {
		return err
	}
	p.opener, err = cobblestone.NewOpener(secret, stub[:headerSize], (*[cobblestone.HeaderSize]byte)(stub[headerSize:]))
	if err != nil {
		return sealDamage(p.name, err)
	}
	return nil
}

// stream opens Cobblestone chunks first to end.
func (p *packReader) stream(first, end int64) (*plainStream, error) {
	offset, length := stubSize+first*sealedChunk, (end-first)*sealedChunk
	if p.opener == nil && first == 0 {
		offset, length = 0, length+stubSize
	}
	length = min(length, p.size-offset)
	if length <= 0 {
		return nil, p.readError(io.ErrUnexpectedEOF)
	}
	body, err := p.open(offset, length)
	if err != nil {
		return nil, err
	}
	if offset == 0 {
		if err := p.begin(body); err != nil {
			body.Close()
			return nil, err
		}
		length -= stubSize
	}
	return newPlainStream(p, body, first, length), nil
}

// open asks for a stretch of the pack, and at the same time for its beginning if that was not read yet and is not in it.
func (p *packReader) open(offset, length int64) (body io.ReadCloser, err error) {
	err = together(func() (err error) {
		if p.opener != nil || offset == 0 {
			return nil
		}
		stub, err := p.get(0, stubSize)
		if err != nil {
			return p.readError(err)
		}
		defer stub.Close()
		return p.begin(stub)
	}, func() (err error) {
		if body, err = p.get(offset, length); err != nil {
			return p.readError(err)
		}
		return nil
	})
	if err != nil && body != nil {
		body.Close()
	}
	return body, err
}

// A plainStream decrypts consecutive chunks of a pack and lets go of what was read.
type plainStream struct {
	p      *packReader
	body   io.ReadCloser
	chunk  int64 // number of the next
	left   int64 // sealed bytes
	sealed []byte
	window []byte // plaintext read and not yet passed
	base   int64  // of the window in the pack's plaintext
	failed error  // what fill returns after the whole chunks of a body that was cut
	bad    []stretch
	bufs   *streamBuffers

	used, usedRaw int // bytes of the buffers that held plaintext
}

// streamBuffers are reused. raw is apart from window: a block is decompressed out of the one into the other.
type streamBuffers struct{ sealed, window, raw []byte }

var streamPool = sync.Pool{New: func() any {
	return &streamBuffers{make([]byte, readBatch*sealedChunk), make([]byte, 0, maxBlock+2*readBatch*cobblestone.ChunkSize), make([]byte, 0, maxBlock)}
}}

func newPlainStream(p *packReader, body io.ReadCloser, first, sealed int64) *plainStream {
	bufs := streamPool.Get().(*streamBuffers)
	return &plainStream{p: p, body: body, chunk: first, left: sealed, base: first * cobblestone.ChunkSize,
		sealed: bufs.sealed, window: bufs.window[:0], bufs: bufs}
}

func (s *plainStream) close() {
	s.body.Close()
	clear(s.bufs.window[:s.used])
	clear(s.bufs.raw[:s.usedRaw])
	streamPool.Put(s.bufs)
}

// fill decrypts the next batch.
func (s *plainStream) fill() error {
	n := min(s.left, int64(len(s.sealed)))
	if s.failed != nil {
		return s.failed
	}
	if n == 0 {
		return s.p.readError(io.ErrUnexpectedEOF)
	}
	if got, err := io.ReadFull(s.body, s.sealed[:n]); err != nil {
		// What came whole is good; the stream ends there.
		s.failed = s.p.readError(err)
		s.salvage(s.sealed[:int64(got)/sealedChunk*sealedChunk])
		return nil
	}
	end := stubSize + s.chunk*sealedChunk + n
	opened, err := s.p.opener.Open(s.window, s.sealed[:n], s.chunk, end == s.p.size)
	s.left -= n
	if err != nil {
		s.salvage(s.sealed[:n])
		return nil
	}
	s.window = opened
	s.used = max(s.used, len(opened))
	s.chunk += (n + sealedChunk - 1) / sealedChunk
	return nil
}

// A stretch of plaintext that could not be opened. The window holds zeros for it, which at hands to nobody.
type stretch struct {
	from, to int64
	err      error
}

// salvage opens a damaged batch chunk by chunk, so that only what needs a damaged one is lost.
func (s *plainStream) salvage(batch []byte) {
	for len(batch) > 0 {
		n := min(len(batch), sealedChunk)
		end := stubSize + s.chunk*sealedChunk + int64(n)
		opened, err := s.p.opener.Open(s.window, batch[:n], s.chunk, end == s.p.size)
		if err != nil {
			opened = append(s.window, make([]byte, max(0, n-cobblestone.TagSize))...)
			s.bad = append(s.bad, stretch{s.base + int64(len(s.window)), s.base + int64(len(opened)), sealDamage(s.p.name, err)})
		}
		s.window, batch = opened, batch[n:]
		s.used = max(s.used, len(opened))
		s.chunk++
	}
}

// at returns n bytes of plaintext from offset on, valid until the next call. Offsets must not go back.
func (s *plainStream) at(offset, n int64) ([]byte, error) {
	for s.base+int64(len(s.window)) < offset+n {
		if skip := min(offset-s.base, int64(len(s.window))); skip > 0 {
			s.window = s.window[:copy(s.window, s.window[skip:])]
			s.base += skip
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	for _, b := range s.bad {
		if b.from < offset+n && offset < b.to {
			return nil, b.err
		}
	}
	from := offset - s.base
	return s.window[from : from+n], nil
}

// readBlocks reads the wanted blocks of a pack, given in order, and calls fn with each one's contents, valid until fn returns.
// It returns how many bytes it asked the cloud for. Where a block cannot be read the error is a blockError, and those behind it may be
// readable still.
func (r *Repo) readBlocks(ctx context.Context, t *table, want []int, fn func(b *block, raw []byte) error) (int64, error) {
	p, done := r.packReader(ctx, t)
	n, err := p.blocks(t, want, fn)
	done()
	if p.cached && n < len(want) && errors.Is(err, ErrDamaged) {
		// Only the device's copy is known to be damaged.
		r.cache.drop(t.name())
		p = r.cloudPack(ctx, t.name(), t.kind, t.pack, t.size)
		var more int
		more, err = p.blocks(t, want[n:], fn)
		n += more
	}
	if errors.Is(err, ErrDamaged) && n < len(want) && p.opener != nil {
		err = &blockError{err, n}
	}
	return p.got.Load(), err
}

// A blockError says which block a reading stopped at.
type blockError struct {
	error
	at int // in the list of wanted blocks
}

func (e *blockError) Unwrap() error { return e.error }

// blocks reads blocks and calls fn with each. It returns how many it could read; an error of fn counts as all.
func (p *packReader) blocks(t *table, want []int, fn func(b *block, raw []byte) error) (n int, err error) {
	for _, sp := range spansFor(t, want, p.gap) {
		s, err := p.stream(sp.first, sp.end)
		if err != nil {
			return n, err
		}
		for _, i := range sp.blocks {
			raw, err := s.block(&t.blocks[i])
			if err != nil {
				s.close()
				return n, err
			}
			if err := fn(&t.blocks[i], raw); err != nil {
				s.close()
				return len(want), err
			}
			n++
		}
		s.close()
	}
	return n, nil
}

// block reads and decompresses a block. The result is valid until the next call.
func (s *plainStream) block(b *block) ([]byte, error) {
	stored, err := s.at(b.offset, b.stored)
	if err != nil || b.codec == codecRaw {
		return stored, err
	}
	s.usedRaw = max(s.usedRaw, int(b.raw))
	raw, err := decompress(b.codec, s.bufs.raw[:0:b.raw], stored)
	if err != nil || int64(len(raw)) != b.raw {
		return nil, damage(s.p.name, "chunk", "a block does not decompress")
	}
	return raw, nil
}

// decompress decodes into dst, up to its capacity and no further.
func decompress(c codec, dst, stored []byte) ([]byte, error) {
	if c == codecZstd {
		return zstdDecoder().DecodeAll(stored, dst)
	}
	if n, err := snappy.DecodedLen(stored); err != nil || n != cap(dst) {
		return nil, snappy.ErrCorrupt
	}
	return snappy.DecodeStrict(dst[:cap(dst)], stored) // Decode takes S2's repeated offsets too, which spec §7 does not know
}

// zstdDecoder is shared: DecodeAll is safe for concurrent use. The limit makes a block that swells beyond its length an error.
var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(16<<20), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("backup: internal error: " + err.Error())
	}
	return d
})

// chunkAt returns chunk number n of t out of its block's contents.
func chunkAt(t *table, b *block, raw []byte, n int) []byte {
	offset := uint32(0)
	for _, l := range t.lengths[b.first:n] {
		offset += l
	}
	return raw[offset : offset+t.lengths[n]]
}

// readPackTable finds the table at the end of a pack, spec §8.
func (r *Repo) readPackTable(ctx context.Context, k kind, id ID, size int64) (*table, error) {
	name := objectName(k, id)
	plain, err := cobblestone.PlaintextSize(size - headerSize)
	if err != nil || plain < minPlaintext || size > packLimit {
		return nil, damage(name, "size", "no pack has %d bytes", size)
	}
	p := r.cloudPack(ctx, name, k, id, size)
	p.get = func(offset, length int64) (io.ReadCloser, error) { return r.store.Get(ctx, name, offset, length) } // nothing says that it must be there
	tail, err := readTail(p, plain, 4)
	if err != nil {
		return nil, err
	}
	rd := wireReader{b: tail}
	n := int64(rd.u32())
	if n > min(plain-4, maxTable) {
		return nil, damage(name, "table", "its length is out of range")
	}
	if tail, err = readTail(p, plain, n+4); err != nil {
		return nil, err
	}
	t, err := parseTable(tail[:n])
	if err != nil || t.pack != id || t.kind != k || t.size != size || padme(t.end()+n+4) != plain {
		return nil, damage(name, "table", "it does not describe this pack")
	}
	return t, nil
}

// readTail decrypts the last n bytes of a pack's plaintext.
func readTail(p *packReader, plain, n int64) ([]byte, error) {
	from := max(0, plain-max(n, tableGuess))
	first := from / cobblestone.ChunkSize
	s, err := p.stream(first, plain/cobblestone.ChunkSize+1)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var out []byte
	for offset := plain - n; offset < plain; {
		part, err := s.at(offset, min(maxBlock, plain-offset))
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
		offset += int64(len(part))
	}
	return out, nil
}
