package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"keepsake.example/internal/cobblestone"
)

// packTarget is how many bytes of blocks a pack takes before it is closed, spec §8. Only tests change it.
var packTarget = 16 << 20

// uploads is how many packs are sealed and sent at a time. With the one being filled they are what the memory bound counts.
const uploads = 2

// A packer fills packs of one kind, one block after the other, and hands full ones to its uploader. One goroutine at a time.
type packer struct {
	up   *uploader
	kind kind
	pack *fullPack
	num  uint32
}

// A fullPack is a pack's table and blocks, not yet sealed.
type fullPack struct {
	t   *table
	buf []byte
}

// add stores a block and returns where its first chunk is. from, in packs that prune makes, are the chunks' addresses.
func (p *packer) add(ctx context.Context, c codec, cl class, stored []byte, ids []ID, lengths []uint32, from []origin) (run, error) {
	if t := p.current(); t != nil && (len(p.pack.buf)+len(stored) > packTarget || len(t.ids)+len(ids) > maxPackChunks) {
		if err := p.flush(ctx); err != nil {
			return run{}, err
		}
	}
	if p.pack == nil {
		buf, err := p.up.buffer(ctx)
		if err != nil {
			return run{}, err
		}
		p.pack = &fullPack{t: &table{pack: newID(), kind: p.kind}, buf: buf}
		p.num = p.up.r.index.names.number(p.pack.t.pack)
	}
	t := p.pack.t
	first := uint32(len(t.ids))
	t.addBlock(c, cl, len(stored), ids, lengths)
	t.origins = append(t.origins, from...)
	p.pack.buf = append(p.pack.buf, stored...)
	return run{p.num, first, uint32(len(ids))}, nil
}

func (p *packer) current() *table {
	if p.pack == nil {
		return nil
	}
	return p.pack.t
}

// flush sends the pack that is being filled, if there is one.
func (p *packer) flush(ctx context.Context) error {
	if p.pack == nil {
		return nil
	}
	full := p.pack
	p.pack = nil
	return p.up.send(ctx, full)
}

// An uploader seals and stores packs in the background and collects their tables, as index objects when there are many.
type uploader struct {
	r       *Repo
	c       *counters
	dry     bool // count, but store nothing
	group   *errgroup.Group
	ctx     context.Context
	packs   chan *fullPack
	buffers chan []byte

	mu      sync.Mutex
	tables  []*table
	pending int // bytes of the tables, about
	indexes []ID
}

func (r *Repo) newUploader(ctx context.Context, c *counters, dry bool) *uploader {
	u := &uploader{r: r, c: c, dry: dry, packs: make(chan *fullPack), buffers: make(chan []byte, uploads+2)}
	for range cap(u.buffers) {
		u.buffers <- nil // made when first used
	}
	u.group, u.ctx = errgroup.WithContext(ctx)
	for range uploads {
		u.group.Go(guarded(func() error {
			for full := range u.packs {
				if err := u.store(full); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return u
}

// buffer waits until a pack has been stored, if too many are under way.
func (u *uploader) buffer(ctx context.Context) ([]byte, error) {
	select {
	case b := <-u.buffers:
		if b == nil {
			b = make([]byte, 0, packTarget+1<<20) // with room for padding and table: growing would copy it all
		}
		return b[:0], nil
	case <-u.ctx.Done():
		return nil, u.failure()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (u *uploader) send(ctx context.Context, full *fullPack) error {
	select {
	case u.packs <- full:
		return nil
	case <-u.ctx.Done():
		return u.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errUploadsEnded = errors.New("backup: uploading has ended")

// failure stands in for the group's error, which only wait knows.
func (u *uploader) failure() error { return errUploadsEnded }

// wait ends the uploads after the last pack and returns the first failure. If all went well so far, it writes what is left of the index.
func (u *uploader) wait(ctx context.Context, good bool) error {
	close(u.packs)
	if err := u.group.Wait(); err != nil || !good {
		return err
	}
	return u.writeTables(ctx, true)
}

// store seals a pack, sends it and takes note of its table.
func (u *uploader) store(full *fullPack) error {
	defer func() { u.buffers <- full.buf }()
	t := full.t
	var err error
	if full.buf, err = finishPack(t, full.buf); err != nil {
		return err
	}
	if !u.dry {
		h := header{kind: t.kind, key: u.r.ring.newest(), repo: u.r.ring.repo, id: t.pack}
		body := newObjectBody(h, u.r.ring.key(h.key), full.buf)
		body.sent = u.c
		if err := u.r.store.Put(u.ctx, t.name(), body, t.size); err != nil {
			return fmt.Errorf("storing a pack: %w", err)
		}
	} else {
		u.c.uploaded.Add(t.size)
	}
	u.c.objects.Add(1)
	return u.keep(t)
}

// keep collects a table for the index.
func (u *uploader) keep(t *table) error {
	u.mu.Lock()
	u.tables = append(u.tables, t)
	u.pending += len(t.ids) * 18
	u.mu.Unlock()
	return u.writeTables(u.ctx, false)
}

// writeTables stores collected tables as an index object, when they are enough for one or all is done.
func (u *uploader) writeTables(ctx context.Context, all bool) error {
	u.mu.Lock()
	if len(u.tables) == 0 || (!all && u.pending < indexPayload) || u.dry {
		u.mu.Unlock()
		return nil
	}
	tables := u.tables
	u.tables, u.pending = nil, 0
	u.mu.Unlock()
	ids, err := u.r.writeIndexes(ctx, tables)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.indexes = append(u.indexes, ids...)
	u.mu.Unlock()
	return nil
}

// finishPack appends padding and table to the blocks, spec §8. The table holds the object's size, which depends on the
// length of the table: a second pass settles it.
func finishPack(t *table, blocks []byte) ([]byte, error) {
	var w wireWriter
	for range 4 {
		w.b = w.b[:0]
		t.marshal(&w)
		plain := padme(int64(len(blocks) + len(w.b) + 4))
		size := headerSize + cobblestone.SealedSize(plain)
		if size == t.size {
			pad := int(plain) - len(blocks) - len(w.b) - 4
			n := len(blocks)
			blocks = append(blocks, make([]byte, pad)...)
			clear(blocks[n:])
			blocks = append(blocks, w.b...)
			n = len(w.b)
			w.u32(uint32(n))
			return append(blocks, w.b[n:]...), nil
		}
		t.size = size
	}
	return nil, errors.New("backup: internal error: a pack's size does not settle")
}

// An objectBody reads as header ‖ sealed plaintext, and again from the start after Seek(0, io.SeekStart): for a retry. The
// plaintext must not change while it is in use.
type objectBody struct {
	header []byte
	sealer *cobblestone.Sealer
	at     int // in the header
	sent   *counters
}

func newObjectBody(h header, key *[32]byte, plaintext []byte) *objectBody {
	head := h.bytes()
	return &objectBody{header: head, sealer: cobblestone.NewSealer(key, head, plaintext)}
}

func (b *objectBody) Read(p []byte) (n int, err error) {
	if b.at < len(b.header) {
		n = copy(p, b.header[b.at:])
		b.at += n
	} else {
		n, err = b.sealer.Read(p)
	}
	b.count(int64(n))
	return n, err
}

// WriteTo spares a copy where the store can use it.
func (b *objectBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.header[b.at:])
	b.at += n
	total := int64(n)
	if err == nil {
		var m int64
		m, err = b.sealer.WriteTo(w)
		total += m
	}
	b.count(total)
	return total, err
}

func (b *objectBody) count(n int64) {
	if b.sent != nil {
		b.sent.uploaded.Add(n)
	}
}

func (b *objectBody) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.New("backup: a body is read again from its start only")
	}
	b.at = 0
	return b.sealer.Seek(0, io.SeekStart)
}
