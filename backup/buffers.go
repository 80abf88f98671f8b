package backup

import "context"

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
