package backup

import "context"

// collect is the stage that decides which chunks are new.
func (p *pipeline) collect() error {
	defer p.spool.close()
	for j := range p.chunks {
		select {
		case <-j.done:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		if err := p.take(j); err != nil {
			return err
		}
		if j.passed != nil {
			if err := p.flush(); err != nil {
				return err
			}
			close(j.passed)
		}
	}
	return p.flush()
}

// take sorts the chunks of a job into known and new.
func (p *pipeline) take(j *chunkJob) error {
	p.look(j)
	kept, err := false, error(nil)
	if p.allNew(j) {
		kept, err = true, p.wholePages(j)
	} else {
		kept, err = p.sort(j)
	}
	if err != nil {
		return err
	}
	if j.recycle != nil && !kept {
		j.recycle()
	}
	for _, o := range j.tail {
		if err := p.step(classFile, o); err != nil {
			return err
		}
	}
	return nil
}

// sort takes a job's chunks one by one. kept says that its memory is part of a block now.
func (p *pipeline) sort(j *chunkJob) (kept bool, err error) {
	rest := j.data
	for i, id := range j.ids {
		n := min(j.unit, len(rest))
		chunk := rest[:n]
		rest = rest[n:]
		switch addr := p.found[i]; {
		case id == ID{}:
			err = p.step(j.class, op{kind: opKnown, file: j.file, run: run{count: 1}})
		case addr == inFlight:
			err = p.step(j.class, op{kind: opRef, file: j.file, id: id})
		case addr != 0:
			err = p.step(j.class, op{kind: opKnown, file: j.file, run: run{uint32(addr >> 32), uint32(addr), 1}})
		case n >= largeChunk:
			kept = true
			err = p.large(j, chunk, id)
		default:
			err = p.small(j, chunk, id)
		}
		if err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// look finds out where a job's chunks are stored: their addresses, inFlight, or 0 for those that are new, which are in flight from then on, and for zeros.
func (p *pipeline) look(j *chunkJob) {
	p.found = p.found[:0]
	for i, id := range j.ids {
		p.found = append(p.found, p.known(j, i, id))
	}
}

// known looks a chunk up: a database page at its place in the snapshot before, then any chunk by its id.
func (p *pipeline) known(j *chunkJob, i int, id ID) uint64 {
	if id == (ID{}) {
		return 0
	}
	if j.prev != nil && j.prev[i] == id {
		return j.at[i]
	}
	addr, ok := p.ids.get(id)
	if !ok {
		p.ids.put(id, inFlight)
		return 0
	}
	return addr
}

// allNew reports whether a job is database pages of which none is known or zeros.
func (p *pipeline) allNew(j *chunkJob) bool {
	for i, id := range j.ids {
		if p.found[i] != 0 || id == (ID{}) {
			return false
		}
	}
	return j.class == classPage && len(j.ids) > 0
}

// step adds a step to the block being gathered, as part of the last one where they touch.
func (p *pipeline) step(cl class, o op) error {
	b := p.gather(cl)
	if n := len(b.ops); n > 0 && b.ops[n-1].file == o.file && b.ops[n-1].kind == o.kind {
		last := &b.ops[n-1].run
		switch {
		case o.kind == opNew:
			last.count++
			return nil
		case o.kind == opKnown && last.pack == o.run.pack && (last.pack == 0 || last.first+last.count == o.run.first):
			last.count += o.run.count
			return nil
		}
	}
	if b.ops = append(b.ops, o); len(b.ops) >= opsAtOnce {
		return p.flush()
	}
	return nil
}

// gather returns the block being gathered, a new one of the class if there is none.
func (p *pipeline) gather(cl class) *blockJob {
	if p.block == nil {
		p.block = &blockJob{class: cl}
	}
	return p.block
}

// small puts a copy of a chunk into the block being gathered.
func (p *pipeline) small(j *chunkJob, chunk []byte, id ID) error {
	b := p.gather(j.class)
	if len(b.ids) == 0 {
		b.class = j.class
	} else if b.class != j.class || len(b.raw)+len(chunk) > blockSize || len(b.ids) == blockItems {
		if err := p.flush(); err != nil {
			return err
		}
		b = p.gather(j.class)
	}
	if b.raw == nil {
		b.raw, b.pooled = borrowBlock(), true
	}
	p.c.fresh.Add(int64(len(chunk)))
	b.raw = append(b.raw, chunk...)
	b.ids = append(b.ids, id)
	b.lengths = append(b.lengths, uint32(len(chunk)))
	return p.step(j.class, op{kind: opNew, file: j.file, run: run{count: 1}})
}

// large makes a block of one chunk, without copying it.
func (p *pipeline) large(j *chunkJob, chunk []byte, id ID) error {
	if err := p.flush(); err != nil {
		return err
	}
	p.c.fresh.Add(int64(len(chunk)))
	p.block = &blockJob{class: j.class, raw: chunk, ids: []ID{id}, lengths: []uint32{uint32(len(chunk))}, recycle: j.recycle}
	if err := p.step(j.class, op{kind: opNew, file: j.file, run: run{count: 1}}); err != nil {
		return err
	}
	if noise(chunk) {
		return p.asItIs()
	}
	return p.flush()
}

// asItIs passes the gathered block on without having it compressed.
func (p *pipeline) asItIs() error {
	b := p.block
	p.block = nil
	b.done = make(chan struct{})
	b.codec, b.stored = codecRaw, b.raw
	if err := p.spool.push(b); err != nil {
		return err
	}
	p.spool.compressed(b)
	close(b.done)
	return nil
}

// wholePages makes a block of a stretch of pages, without copying them.
func (p *pipeline) wholePages(j *chunkJob) error {
	if err := p.flush(); err != nil {
		return err
	}
	p.c.fresh.Add(int64(len(j.data)))
	lengths := make([]uint32, len(j.ids))
	for i := range lengths {
		lengths[i] = uint32(j.unit)
	}
	p.block = &blockJob{class: j.class, raw: j.data, ids: j.ids, lengths: lengths, loan: j.recycle}
	if err := p.step(j.class, op{kind: opNew, file: j.file, run: run{count: uint32(len(j.ids))}}); err != nil {
		return err
	}
	return p.flush()
}

// repay gives a page buffer back. What did not compress is copied, so that reading pages never waits for the cloud.
func (b *blockJob) repay(raw []byte) {
	if b.loan == nil {
		return
	}
	if b.codec == codecRaw {
		b.stored, b.pooled = append(borrowBlock(), raw...), true
	}
	b.loan()
	b.loan = nil
}

// flush passes the gathered block on and has it compressed meanwhile.
func (p *pipeline) flush() error {
	b := p.block
	if b == nil {
		return nil
	}
	p.block = nil
	if len(b.raw) == 0 {
		return p.spool.push(b)
	}
	b.done = make(chan struct{})
	raw := b.raw // the spool may take b.raw once it is compressed
	if err := p.spool.push(b); err != nil {
		return err
	}
	select {
	case p.jobs <- func(*digester) { b.compress(raw, p.slowCloud()); b.repay(raw); p.spool.compressed(b); close(b.done) }:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}
