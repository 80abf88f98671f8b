package backup

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// The pipeline of a backup. Order is kept throughout, so that a manifest can be written as a stream:
//
//	scanner   walks the folder and reads what changed            (one goroutine)
//	workers   compute chunk ids, compress blocks                 (one per CPU)
//	collector drops chunks that are known, gathers the rest      (collect.go)
//	spool     holds blocks while packs are stored                (spool.go)
//	appender  seals blocks into packs, entries into the manifest (one)
//	uploader  stores packs                                       (packer.go)

const (
	readAhead  = 10        // chunk buffers of maxChunk bytes
	pagesAhead = 12        // page buffers of blockSize bytes
	largeChunk = 128 << 10 // chunks from here on have a block of their own
	blockSize  = 256 << 10 // smaller ones share one of this size
	blockItems = 8192      // chunks in a block, at most
	opsAtOnce  = 4096      // steps carried by a block, at most
)

// opKind is what the appender does at one step.
type opKind byte

const (
	opNew     opKind = iota // the next n chunks of the block belong to the file
	opKnown                 // chunks that are stored already
	opRef                   // a chunk that an earlier step, or this block, stores
	opReset                 // forget the file's chunks: it is read again
	opReplace               // the file could not be read: take the entry of the snapshot before
	opEnd                   // the entry is complete
	opRead                  // likewise, and it was read: compare it with other, the snapshot before's
)

// An op is one step of the appender.
type op struct {
	kind  opKind
	file  *entry
	run   run    // opKnown; count for opNew
	id    ID     // opRef
	other *entry // opReplace, opRead
}

// A chunkJob is a stretch of a file on its way through workers and collector, or only steps.
type chunkJob struct {
	file    *entry
	class   class
	data    []byte
	unit    int
	ids     []ID     // zero for a chunk of zeros
	prev    []ID     // database pages: ids at the same place in the snapshot before, zero where there is none
	at      []uint64 // and their addresses
	tail    []op     // steps after the chunks
	recycle func()
	done    chan struct{}
	passed  chan struct{} // not nil: closed once everything up to here is in the spool
}

// hash computes the ids. Run by a worker.
func (j *chunkJob) hash(d *digester) {
	for rest := j.data; len(rest) > 0; {
		n := min(j.unit, len(rest))
		var id ID
		if !allZero(rest[:n]) {
			id = d.id(rest[:n])
		}
		j.ids = append(j.ids, id)
		rest = rest[n:]
	}
	close(j.done)
}

// A blockJob is a block on its way into a pack, with the steps that follow from it.
type blockJob struct {
	class   class
	raw     []byte
	ids     []ID
	lengths []uint32
	ops     []op
	recycle func()
	loan    func() // raw is a page buffer, to be given back once it is compressed

	codec  codec
	stored []byte
	pooled bool // raw is from blockPool
	done   chan struct{}

	// What the spool knows of it, under its lock.
	weight  int
	popped  bool
	spooled bool
	offset  int64
	size    int
}

// A pipeline runs the stages of one backup.
type pipeline struct {
	r     *Repo
	c     *counters
	ids   *idMap
	up    *uploader
	data  *packer
	meta  *packer
	dig   *digester
	spool *spool
	group *errgroup.Group
	ctx   context.Context
	crash context.CancelCauseFunc

	jobs    chan func(*digester)
	chunks  chan *chunkJob
	buffers chan []byte
	pages   chan []byte // apart from buffers: those may all be waiting for the cloud
	block   *blockJob
	found   []uint64 // by the collector, of a job: see look

	manifest *manifestWriter
	segments []run

	fresh, changed, same int // files that were read
}

func (r *Repo) newPipeline(ctx context.Context, c *counters, ids *idMap, dry bool) *pipeline {
	p := &pipeline{r: r, c: c, ids: ids, up: r.newUploader(ctx, c, dry), spool: newSpool(r.opts.CacheDir), dig: newDigester(r.ring)}
	p.data = &packer{up: p.up, kind: kindData}
	p.meta = &packer{up: p.up, kind: kindMeta}
	p.manifest = newManifestWriter(r.index.names, r.ring.digester(cutPurpose), p.segment)
	p.jobs = make(chan func(*digester), readAhead)
	p.chunks = make(chan *chunkJob, readAhead)
	p.buffers = make(chan []byte, readAhead)
	for range readAhead {
		p.buffers <- nil
	}
	p.pages = make(chan []byte, pagesAhead)
	for range pagesAhead {
		p.pages <- nil
	}
	ctx, p.crash = context.WithCancelCause(ctx)
	p.group, p.ctx = errgroup.WithContext(ctx)
	return p
}

// run runs the stages until scan has ended and everything it sent is stored. It calls last when all packs are complete, and on their way.
func (p *pipeline) run(ctx context.Context, scan, last func() error) error {
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			if err := Guard(p.work); err != nil {
				p.crash(err) // or the stages would wait for what it was to do
			}
		})
	}
	p.group.Go(guarded(func() error {
		defer close(p.chunks)
		return scan()
	}))
	p.group.Go(guarded(p.collect))
	p.group.Go(guarded(p.append))
	stop := context.AfterFunc(p.ctx, func() { p.spool.fail(context.Cause(p.ctx)) })
	err := p.group.Wait()
	stop()
	p.crash(nil)
	close(p.jobs)
	workers.Wait()
	p.spool.discard()
	return p.up.end(err, last)
}

// work does what workers do until there is nothing more to do.
func (p *pipeline) work() error {
	d := newDigester(p.r.ring)
	for job := range p.jobs {
		job(d)
	}
	return nil
}

// send passes a stretch of a file on.
func (p *pipeline) send(j *chunkJob) error {
	j.done = make(chan struct{})
	if len(j.data) == 0 {
		close(j.done)
	} else {
		select {
		case p.jobs <- j.hash:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	select {
	case p.chunks <- j:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

// steps passes on steps without data.
func (p *pipeline) steps(ops ...op) error { return p.send(&chunkJob{tail: ops}) }

// slowCloud reports whether the cloud is what holds up the backup. Over a network it is taken to be until it has taken the first pack: before anything
// waits for it, packs under way may hold all of a database.
func (p *pipeline) slowCloud() bool {
	return p.spool.waiting() || p.r.remote && p.c.objects.Load() == 0
}

// append is the stage that fills packs and writes the manifest.
func (p *pipeline) append() error {
	for {
		b, err := p.spool.pop()
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		if err := p.store(b); err != nil {
			return err
		}
	}
	if err := p.manifest.flush(); err != nil {
		return err
	}
	if err := p.data.flush(p.ctx); err != nil {
		return err
	}
	return p.meta.flush(p.ctx)
}

// store puts a block into a pack and takes its steps.
func (p *pipeline) store(b *blockJob) error {
	var at run
	if b.done != nil {
		select {
		case <-b.done:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		err := p.spool.load(b)
		if err != nil {
			return err
		}
		if at, err = p.data.add(p.ctx, b.codec, b.class, b.stored, b.ids, b.lengths, nil); err != nil {
			return err
		}
		for i, id := range b.ids {
			p.ids.settle(id, address(at.pack, at.first+uint32(i)))
		}
	}
	p.spool.release(b)
	b.recycled()
	next := at.first
	for _, o := range b.ops {
		if err := p.apply(o, at, &next); err != nil {
			return err
		}
	}
	return nil
}

// apply takes one step. next is the ordinal of the block's next chunk.
func (p *pipeline) apply(o op, at run, next *uint32) error {
	switch o.kind {
	case opNew:
		o.file.runs = addRun(o.file.runs, run{at.pack, *next, o.run.count})
		*next += o.run.count
	case opKnown:
		o.file.runs = addRun(o.file.runs, o.run)
	case opRef:
		addr, ok := p.ids.get(o.id)
		if !ok || addr == inFlight {
			return errors.New("backup: internal error: a chunk was not stored in its turn")
		}
		o.file.runs = addRun(o.file.runs, run{uint32(addr >> 32), uint32(addr), 1})
	case opReset:
		o.file.runs = nil
	case opReplace:
		*o.file = *o.other
	case opRead:
		p.compare(o.file, o.other)
		return p.manifest.add(o.file)
	case opEnd:
		return p.manifest.add(o.file)
	}
	return nil
}

// compare counts a file that was read as new, changed, or after all the same.
func (p *pipeline) compare(e, prev *entry) {
	switch {
	case prev == nil:
		p.fresh++
	case e.size == prev.size && slices.Equal(e.runs, prev.runs):
		p.same++
	default:
		p.changed++
	}
}

// segment stores one segment of the manifest, unless it is known.
func (p *pipeline) segment(segment []byte) error {
	id := p.dig.id(segment)
	if addr, ok := p.ids.get(id); ok && addr != inFlight {
		p.segments = addRun(p.segments, run{uint32(addr >> 32), uint32(addr), 1})
		return nil
	}
	c, stored := compress(segment, nil, zstdFastest())
	at, err := p.meta.add(p.ctx, c, classManifest, stored, []ID{id}, []uint32{uint32(len(segment))}, nil)
	if err != nil {
		return err
	}
	p.ids.put(id, address(at.pack, at.first))
	p.segments = addRun(p.segments, at)
	return nil
}
