package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"keepsake.example/anchor"
	"keepsake.example/internal/planted"
)

// A recovery finds out where a replica was (spec/replication.md §4): it reads
// the checkpoint of the anchor's epoch, then the log that follows it, and compares
// where that ends with the anchor. Nothing is changed before all of it is right,
// so that a refused disk stays as evidence.
type recovery struct {
	disk    Disk
	machine Machine
	epoch   *epoch
	anchor  anchor.State

	base   base
	store  *store
	number uint64 // of the checkpoint
	chain  chain  // so far
	passed bool   // the chain went through the anchor's state
	logged int64  // bytes of records
	end    ending
	tail   tail
}

// tail is where the last record is.
type tail struct {
	file   string
	offset int64
	record []byte
}

// ending is where reading the last log file stopped.
type ending struct {
	file   string
	offset int64
	bad    bool // at bytes that are no record, and not at empty space
}

func recoverState(ctx context.Context, disk Disk, a anchor.Anchor, m Machine) (*recovery, error) {
	state, key, err := a.Read(ctx)
	if errors.Is(err, anchor.ErrEmpty) {
		return nil, fmt.Errorf("%w: make one, or look for the right anchor", ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the anchor: %w", err)
	}
	e, err := newEpoch(key)
	if err != nil {
		return nil, err
	}
	r := &recovery{disk: disk, machine: m, epoch: e, anchor: state}
	if err := r.run(ctx, a); err != nil {
		e.wipe()
		r.base.secret.Wipe()
		return nil, err
	}
	return r, nil
}

func (r *recovery) run(ctx context.Context, a anchor.Anchor) error {
	found, err := listFiles(r.disk)
	if err != nil {
		return err
	}
	if err := r.checkpoint(found.checkpoints); err != nil {
		return err
	}
	logs := slices.DeleteFunc(slices.Clone(found.logs), func(first uint64) bool { return first <= r.number })
	if err := r.logs(logs); err != nil {
		return err
	}
	if planted.VoteTwice {
		r.store.hard.vote = 0
	}
	if planted.SkipAnchor {
		return r.sweep(found)
	}
	if err := r.compare(); err != nil {
		return err
	}
	if r.chain.number == r.anchor.Counter+1 {
		// A crash came between the write and the anchor. Nobody was told of this batch. Keeping it
		// is the careful side: an attempt that it spends stays spent.
		if err := r.fasten(); err != nil {
			return fmt.Errorf("writing the last batch again: %w", err)
		}
		if err := a.Advance(ctx, r.chain.state()); err != nil {
			return fmt.Errorf("advancing the anchor over the last batch: %w", err)
		}
	}
	return r.sweep(found)
}

// fasten makes the last record durable. That it can be read does not say so: where
// its sync failed, or the process died before it, only the system's memory may have it, and
// may take it for written. So it is written once more.
func (r *recovery) fasten() error {
	f, err := r.disk.Open(r.tail.file)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(r.tail.record, r.tail.offset)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// checkpoint finds and reads the one of the anchor's epoch. Others were not
// deleted yet, or never finished.
func (r *recovery) checkpoint(numbers []uint64) error {
	for _, number := range slices.Backward(numbers) {
		ours, err := r.tryCheckpoint(number)
		if err != nil || ours {
			return err
		}
	}
	if len(numbers) == 0 {
		return &DamagedError{checkpointPrefix + "…", 0, "the folder holds no checkpoint"}
	}
	return &RollbackError{r.anchor.Counter, 0, "the disk is of an epoch whose key the anchor does not have: the disk is older, or what the anchor is kept in was put back"}
}

func (r *recovery) tryCheckpoint(number uint64) (ours bool, err error) {
	name := checkpointName(number)
	f, size, err := openSized(r.disk, name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, min(int64(checkpointHeader), size))
	if _, err := f.ReadAt(head, 0); err != nil && err != io.EOF {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	h, err := decodeCheckpointHead(head)
	if err != nil {
		return false, r.damaged(name, 0, err)
	}
	if h.keyID != r.epoch.id {
		return false, nil
	}
	chunks, err := newChunkReader(f, size, r.epoch, h)
	if err != nil {
		return false, err
	}
	defer clear(chunks.buf)
	if err := r.readCheckpoint(chunks, number); err != nil {
		return false, r.damaged(name, chunks.at, err)
	}
	return true, nil
}

// damaged makes an error about a file of what reading it said.
func (r *recovery) damaged(name string, at int64, err error) error {
	for _, e := range []error{errHead, errChunk, errPicture, errBatch, errOrder} {
		if errors.Is(err, e) {
			return &DamagedError{name, at, err.Error()}
		}
	}
	return fmt.Errorf("reading %s: %w", name, err)
}

var errOrder = errors.New("out of order")

func (r *recovery) readCheckpoint(chunks *chunkReader, number uint64) (err error) {
	if r.base, err = readBase(chunks); err != nil {
		return err
	}
	r.store = &store{index: r.base.index, changed: r.base.index, term: r.base.term, hard: hardState{commit: r.base.index}}
	if err := r.restore(chunks); err != nil {
		return err
	}
	if err := readBatches(chunks, r.add); err != nil {
		return err
	}
	prev, err := readTrailer(chunks)
	if err != nil {
		return err
	}
	if prev.number+1 != number {
		return fmt.Errorf("%w: this is checkpoint %d", errOrder, prev.number+1)
	}
	r.number = number
	r.reach(chunks.cipher.after(prev))
	return nil
}

// restore reads the picture. A member that was given nothing yet has an empty one.
func (r *recovery) restore(chunks io.Reader) error {
	if r.base.index == 0 {
		if n, err := readFrameSize(chunks); err != nil || n != 0 {
			return errors.Join(fmt.Errorf("%w: state without a place in the log", errPicture), err)
		}
		return nil
	}
	if err := restore(r.machine, chunks); err != nil {
		return err
	}
	r.store.voters, r.store.learners = split(r.machine.Members())
	if !slices.Equal(r.store.voters, r.base.voters) {
		return fmt.Errorf("%w: voters %d, but the machine knows %d", errPicture, r.base.voters, r.store.voters)
	}
	return nil
}

// restore fills the machine, and asks it to read all there is.
func restore(m Machine, from io.Reader) error {
	frames := &frameReader{from: from}
	err := m.Restore(frames)
	if frames.err != nil {
		return frames.err
	}
	if err != nil {
		return fmt.Errorf("restoring the machine: %w", err)
	}
	if n, err := frames.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return errors.Join(errors.New("the machine left a part of its checkpoint unread"), frames.err)
	}
	return nil
}

func (r *recovery) add(b *batch) error {
	if err := r.store.append(b); err != nil {
		return fmt.Errorf("%w: %w", errOrder, err)
	}
	return nil
}

func (r *recovery) reach(c chain) {
	r.chain = c
	if c.state() == r.anchor {
		r.passed = true
	}
}

// logs reads the log files of the epoch, in order.
func (r *recovery) logs(firsts []uint64) error {
	for i, first := range firsts {
		next := &segmentHead{}
		if i+1 == len(firsts) {
			next = nil
		} else if err := r.peek(firsts[i+1], next); err != nil {
			return err
		}
		if err := r.segment(first, next); err != nil {
			return err
		}
	}
	return nil
}

// peek reads the header of a log file.
func (r *recovery) peek(first uint64, h *segmentHead) error {
	name := logName(first)
	f, size, err := openSized(r.disk, name)
	if err != nil {
		return err
	}
	defer f.Close()
	data := make([]byte, min(int64(segmentHeader), size))
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if *h, err = decodeSegmentHead(data); err != nil {
		return r.damaged(name, 0, err)
	}
	if h.after.number+1 != first {
		return &DamagedError{name, 0, fmt.Sprintf("this is the file of batch %d", h.after.number+1)}
	}
	return nil
}

// segment reads one log file, up to where the next one, if any, goes on: what
// comes after that is half a batch that a crash left behind.
func (r *recovery) segment(first uint64, next *segmentHead) error {
	name := logName(first)
	data, err := readWhole(r.disk, name)
	if err != nil {
		return err
	}
	h, err := decodeSegmentHead(data)
	if err != nil {
		return r.damaged(name, 0, err)
	}
	if h.after != r.chain || h.after.number+1 != first || h.keyID != r.epoch.id {
		return &DamagedError{name, 0, fmt.Sprintf("does not go on from batch %d, where the one before ends", r.chain.number)}
	}
	at := segmentHeader
	for next == nil || next.after != r.chain {
		b, after, size, err := openRecord(data[at:], r.epoch, r.chain)
		if errors.Is(err, errNoRecord) || errors.Is(err, errBadRecord) {
			r.end = ending{name, int64(at), errors.Is(err, errBadRecord)}
			return r.gap(next)
		}
		if err == nil {
			err = r.add(b)
		}
		if err != nil {
			return r.damaged(name, int64(at), err)
		}
		r.reach(after)
		r.tail = tail{name, int64(at), data[at : at+size]}
		at += size
		r.logged += int64(size)
	}
	return nil
}

// gap refuses an end before the last file's.
func (r *recovery) gap(next *segmentHead) error {
	if next == nil {
		return nil
	}
	return &DamagedError{r.end.file, r.end.offset, fmt.Sprintf("batch %d does not follow; the next file begins with %d", r.chain.number+1, next.after.number+1)}
}

// compare is step 4 of spec/replication.md §4.
func (r *recovery) compare() error {
	disk, count := r.chain.number, r.anchor.Counter
	rollback := func(reason string) error { return &RollbackError{count, disk, reason} }
	switch {
	case disk < count && r.end.bad:
		return &DamagedError{r.end.file, r.end.offset, fmt.Sprintf("batch %d, which the anchor counted, does not follow", disk+1)}
	case disk < count:
		return rollback("the disk is older than the anchor, or the end of the log is cut off")
	case disk > count+1:
		return rollback("the anchor is older than the disk")
	case !r.passed:
		return rollback("the disk went on otherwise than the anchor saw")
	}
	return nil
}

// sweep removes what no longer counts: files of earlier epochs, checkpoints
// that never were finished, and the last log file if nothing was written to
// it, since the next batch makes a file of that name.
func (r *recovery) sweep(found files) error {
	var names []string
	for _, n := range found.checkpoints {
		if n != r.number {
			names = append(names, checkpointName(n))
		}
	}
	for _, first := range found.logs {
		if first <= r.number || first > r.chain.number {
			names = append(names, logName(first))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.disk.Remove(names...)
}

func openSized(d Disk, name string) (File, int64, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

// readWhole reads a log file.
func readWhole(d Disk, name string) ([]byte, error) {
	f, size, err := openSized(d, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxSegment {
		return nil, &DamagedError{name, maxSegment, "longer than any log file is"}
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}
