package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"keepsake.example/internal/cobblestone"
)

// packTarget is how many bytes of blocks a pack takes at most, spec §8. Only tests change it.
var packTarget = 16 << 20

// maxUploads is how many packs are sent at a time, at most: what the memory bound allows.
const maxUploads = 4

// uploads is how many packs are sent at a time.
func (r *Repo) uploads() int { return min(max(r.parallel, 1), maxUploads) }

// A packer fills packs of one kind, one block after the other, and hands full ones to its uploader. One goroutine at a time.
type packer struct {
	up   *uploader
	kind kind
	pack *fullPack
	num  uint32
}

// A fullPack is a pack that is being filled or stored. Blocks are sealed as they come, which spares copying them.
type fullPack struct {
	t      *table
	plain  int64                // bytes of blocks
	tail   []byte               // room for packTail
	object *cobblestone.Builder // nil in a dry run
	buf    []byte               // the uploader's, to give back
}

// add stores a block and returns where its first chunk is. from, in packs that prune makes, are the chunks' addresses.
func (p *packer) add(ctx context.Context, c codec, cl class, stored []byte, ids []ID, lengths []uint32, from []origin) (run, error) {
	if p.pack != nil && !p.pack.fits(len(stored), len(ids)) {
		if err := p.flush(ctx); err != nil {
			return run{}, err
		}
	}
	if p.pack == nil {
		var err error
		if p.pack, err = p.up.begin(ctx, p.kind); err != nil {
			return run{}, err
		}
		p.num = p.up.r.index.names.number(p.pack.t.pack)
	}
	t := p.pack.t
	first := uint32(len(t.ids))
	t.addBlock(c, cl, len(stored), ids, lengths)
	t.origins = append(t.origins, from...)
	p.pack.write(stored)
	at := run{p.num, first, uint32(len(ids))}
	if p.pack.snug() {
		return at, p.flush(ctx)
	}
	return at, nil
}

// fits reports whether there is room for a block of so many bytes and chunks. One that is larger than a pack has one for itself.
func (f *fullPack) fits(size, chunks int) bool {
	return f.plain == 0 || f.plain+int64(size) <= int64(packTarget) && len(f.t.ids)+chunks <= maxPackChunks
}

// snug reports whether to close the pack here, before it is full, since little of it would be padding. Of k more lengths that fall anywhere, as
// those of blocks do, the best leaves 2/(k+3) of the largest padding when each must be taken or let go as it comes.
func (f *fullPack) snug() bool {
	target := int64(packTarget)
	if f.plain < target*3/4 || f.plain > target {
		return false
	}
	pad, tail, err := packTail(f.t, f.plain, f.tail)
	if err != nil {
		return false
	}
	f.tail = tail
	largest := padStep(f.plain + int64(len(tail)))
	left := (target - f.plain) * int64(len(f.t.blocks)) / f.plain
	return pad*(left+3) <= largest*2
}

func (f *fullPack) write(b []byte) {
	f.plain += int64(len(b))
	if f.object != nil {
		f.object.Write(b)
	}
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

// An uploader stores packs in the background and collects their tables, as index objects when there are many.
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
	// Two packs are being filled, one of each kind, and the others sent. With four uploads the last waits until the pack of lists, of which there is
	// rarely more than one, is sent: 17 MiB less.
	buffers := min(r.uploads()+2, maxUploads+1)
	u := &uploader{r: r, c: c, dry: dry, packs: make(chan *fullPack), buffers: make(chan []byte, buffers)}
	for range cap(u.buffers) {
		u.buffers <- nil // made when first used
	}
	u.group, u.ctx = errgroup.WithContext(ctx)
	for range r.uploads() {
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

// begin starts a pack. It waits until one has been stored, if too many are under way.
func (u *uploader) begin(ctx context.Context, k kind) (*fullPack, error) {
	pack := &fullPack{t: &table{pack: newID(), kind: k}}
	select {
	case pack.buf = <-u.buffers:
	case <-u.ctx.Done():
		return nil, u.failure()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u.dry {
		return pack, nil
	}
	if pack.buf == nil {
		pack.buf = make([]byte, 0, packTarget+1<<20) // with room for padding and table: growing would copy it all
		hugePages(pack.buf)
	}
	h := header{kind: k, key: u.r.ring.newest(), repo: u.r.ring.repo, id: pack.t.pack}
	context := h.bytes()
	pack.object = cobblestone.NewBuilder(u.r.ring.key(h.key), context, append(pack.buf[:0], context...))
	return pack, nil
}

// send ends a pack and hands it over. Its table is known from then on, so that the index need not wait until the pack is stored.
func (u *uploader) send(ctx context.Context, full *fullPack) error {
	if err := full.finish(); err != nil {
		return err
	}
	if !u.dry {
		full.buf = full.object.Finish()
	}
	u.c.sealed.Add(full.t.size)
	u.mu.Lock()
	u.tables = append(u.tables, full.t)
	u.pending += len(full.t.ids) * 18
	u.mu.Unlock()
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

// end waits until the last pack is stored. Beside it runs last, if all went well so far: err says what did not. It returns the first failure.
func (u *uploader) end(err error, last func() error) error {
	close(u.packs)
	uploads := together(u.group.Wait, func() error {
		if err != nil {
			return nil
		}
		return last()
	})
	// The uploader's error is the reason, where who filled the packs only saw that it had ended.
	if uploads != nil && (err == nil || errors.Is(err, errUploadsEnded)) {
		return uploads
	}
	return err
}

// store sends a pack, and an index object if there are tables enough for one.
func (u *uploader) store(full *fullPack) error {
	defer func() { u.buffers <- full.buf }()
	if !u.dry {
		body := &objectBody{Reader: bytes.NewReader(full.buf), c: u.c}
		defer body.landed()
		if err := putBody(u.ctx, u.r.store, full.t.name(), body, full.buf); err != nil {
			return fmt.Errorf("storing a pack: %w", err)
		}
		if full.t.kind == kindMeta && u.r.remote {
			u.r.cache.put(full.t.name(), full.buf) // the next backup would fetch it
		}
	}
	u.c.uploaded.Add(full.t.size)
	u.c.objects.Add(1)
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

// finish adds padding and table to the blocks.
func (f *fullPack) finish() error {
	pad, tail, err := packTail(f.t, f.plain, f.tail)
	if err != nil {
		return err
	}
	for pad > 0 {
		n := min(pad, int64(len(zeroes)))
		f.write(zeroes[:n])
		pad -= n
	}
	f.write(tail)
	return nil
}

// packTail is what follows a pack's blocks, spec §8: so many bytes of padding, then the table. The table holds the object's size, which
// depends on the length of the table: a second pass settles it. It may be written over scratch.
func packTail(t *table, blocks int64, scratch []byte) (pad int64, tail []byte, err error) {
	w := wireWriter{b: scratch}
	for range 4 {
		w.b = w.b[:0]
		t.marshal(&w)
		n := int64(len(w.b))
		plain := padme(blocks + n + 4)
		size := headerSize + cobblestone.SealedSize(plain)
		if size == t.size {
			w.u32(uint32(n))
			return plain - blocks - n - 4, w.b, nil
		}
		t.size = size
	}
	return 0, nil, errors.New("backup: internal error: a pack's size does not settle")
}

// An objectBody is a whole object on its way to the store. What it counts as sent grows with every try; what is on the way starts again with each.
type objectBody struct {
	*bytes.Reader
	c   *counters
	way int64
}

func (b *objectBody) count(n int64) {
	b.way += n
	b.c.sending.Add(n)
	b.c.sent.Add(max(n, 0))
}

// landed says that nothing is on the way any more.
func (b *objectBody) landed() { b.count(-b.way) }

func (b *objectBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.count(int64(n))
	return n, err
}

// Seek begins another try, or a stretch that is sent again.
func (b *objectBody) Seek(offset int64, whence int) (int64, error) {
	at, err := b.Reader.Seek(offset, whence)
	if err == nil {
		b.count(min(at-b.way, 0))
	}
	return at, err
}

// WriteTo spares a copy where the store can use it.
func (b *objectBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.Reader.WriteTo(w)
	b.count(n)
	return n, err
}
