package backup

import (
	"context"
	"sync"

	"github.com/klauspost/compress/s2"
)

// pooledBlock has room for a block that is gathered, and for what Snappy makes of one at worst.
var pooledBlock = s2.MaxEncodedLen(blockSize)

var blockPool = sync.Pool{New: func() any { return new(make([]byte, 0, pooledBlock)) }}

// borrowBlock returns an empty slice with room for a block.
func borrowBlock() []byte { return (*blockPool.Get().(*[]byte))[:0] }

// returnBlock gives one back, which nobody may use any more; memory of another size is left to the collector.
func returnBlock(b []byte) {
	if cap(b) == pooledBlock {
		blockPool.Put(&b)
	}
}

// recycled gives the memory back when the block is in a pack.
func (b *blockJob) recycled() {
	if b.recycle != nil {
		b.recycle()
	}
	if b.codec != codecRaw || b.pooled {
		returnBlock(b.stored)
	}
	b.raw, b.stored = nil, nil
}

// buffer waits for a chunk buffer. recycle gives it back.
func (p *pipeline) buffer() (buf []byte, recycle func(), err error) {
	return p.borrow(p.buffers, maxChunk)
}

// pageBuffer waits for a buffer for database pages. The collector gives it back when it has copied them, so that nothing waits for the cloud.
func (p *pipeline) pageBuffer() (buf []byte, recycle func(), err error) {
	return p.borrow(p.pages, blockSize)
}

func (p *pipeline) borrow(from chan []byte, size int) (buf []byte, recycle func(), err error) {
	select {
	case buf = <-from:
	case <-p.ctx.Done():
		return nil, nil, context.Cause(p.ctx)
	}
	if buf == nil {
		buf = make([]byte, size)
	}
	return buf, func() { from <- buf }, nil
}

// drain waits until everything that was sent is in the spool.
func (p *pipeline) drain() error {
	j := &chunkJob{passed: make(chan struct{})}
	if err := p.send(j); err != nil {
		return err
	}
	select {
	case <-j.passed:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}
