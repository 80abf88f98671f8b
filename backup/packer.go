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

// packTarget is how many bytes of blocks a pack takes before it is closed, spec §8. Only tests change it.
var packTarget = 16 << 20

// uploads is how many packs are sent at a time. With the one being filled they are what the memory bound counts.
const uploads = 2

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
	object *cobblestone.Builder // nil in a dry run
	buf    []byte               // the uploader's, to give back
}

// add stores a block and returns where its first chunk is. from, in packs that prune makes, are the chunks' addresses.
func (p *packer) add(ctx context.Context, c codec, cl class, stored []byte, ids []ID, lengths []uint32, from []origin) (run, error) {
	if t := p.current(); t != nil && (p.pack.plain+int64(len(stored)) > int64(packTarget) || len(t.ids)+len(ids) > maxPackChunks) {
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
	return run{p.num, first, uint32(len(ids))}, nil
}

func (f *fullPack) write(b []byte) {
	f.plain += int64(len(b))
	if f.object != nil {
		f.object.Write(b)
	}
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
	}
	h := header{kind: k, key: u.r.ring.newest(), repo: u.r.ring.repo, id: pack.t.pack}
	context := h.bytes()
	pack.object = cobblestone.NewBuilder(u.r.ring.key(h.key), context, append(pack.buf[:0], context...))
	return pack, nil
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

// store ends a pack, sends it and takes note of its table.
func (u *uploader) store(full *fullPack) error {
	defer func() { u.buffers <- full.buf }()
	if err := full.finish(); err != nil {
		return err
	}
	if !u.dry {
		full.buf = full.object.Finish()
		body := &objectBody{Reader: bytes.NewReader(full.buf), sent: u.c}
		if err := u.r.store.Put(u.ctx, full.t.name(), body, full.t.size); err != nil {
			return fmt.Errorf("storing a pack: %w", err)
		}
	} else {
		u.c.uploaded.Add(full.t.size)
	}
	u.c.objects.Add(1)
	return u.keep(full.t)
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

// finish adds padding and table to the blocks.
func (f *fullPack) finish() error {
	pad, tail, err := packTail(f.t, f.plain)
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
// depends on the length of the table: a second pass settles it.
func packTail(t *table, blocks int64) (pad int64, tail []byte, err error) {
	var w wireWriter
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

// An objectBody is a whole object on its way to the store; what it counts as sent grows with every try.
type objectBody struct {
	*bytes.Reader
	sent *counters
}

func (b *objectBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.sent.uploaded.Add(int64(n))
	return n, err
}

// WriteTo spares a copy where the store can use it.
func (b *objectBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.Reader.WriteTo(w)
	b.sent.uploaded.Add(n)
	return n, err
}
