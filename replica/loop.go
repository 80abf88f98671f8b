package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// run is the replica's goroutine.
func (r *Replica) run() {
	err := r.guard(r.serve)
	r.once.Do(func() { close(r.closing) })
	r.err = errors.Join(err, r.end(err))
	close(r.done)
}

func (r *Replica) serve() error {
	for {
		var err error
		select {
		case p := <-r.queue:
			err = r.commit(p)
		case q := <-r.reads:
			err = r.ask(q)
		case c := <-r.wanted:
			r.asked = append(r.asked, c)
		case made := <-r.madePart():
			err = r.goOn(made)
		case <-r.closing:
			return r.drain()
		}
		if err != nil {
			return err
		}
		r.consider()
		r.report()
	}
}

// drain finishes what was taken before closing. Nothing new comes: only
// proposers that looked just before.
func (r *Replica) drain() error {
	for {
		var err error
		select {
		case p := <-r.queue:
			err = r.commit(p)
		case q := <-r.reads:
			err = r.ask(q)
		default:
			r.report()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end tells everybody who still waits, and lets go of everything.
func (r *Replica) end(cause error) error {
	unknown := ErrUnknown
	if cause != nil {
		unknown = fmt.Errorf("%w: %w", ErrUnknown, cause)
	}
	for _, p := range r.proposed {
		clear(p.entry)
		p.result <- outcome{err: unknown}
	}
	for _, p := range r.waiting {
		p.result <- outcome{err: unknown}
	}
	for _, qs := range r.asking {
		r.granted = append(r.granted, grant{readings: qs})
	}
	for _, g := range r.granted {
		for _, q := range g.readings {
			q.ready <- ErrClosed
		}
	}
	r.abandon()
	wipeEntries(r.store.entries)
	return errors.Join(r.log.close(), r.disk.Close())
}

// commit takes the proposals that wait and makes one batch of them.
func (r *Replica) commit(first *proposal) error {
	taken := r.gather(first)
	entries := make([]*raftpb.Entry, len(taken))
	for i, p := range taken {
		entries[i] = &raftpb.Entry{Data: p.entry}
	}
	// The room comes first: once raft knows an entry there is no way back.
	err := r.room(batchHead + entriesSize(entries))
	if err == nil {
		err = r.give(entries)
	}
	if err != nil {
		for _, p := range taken {
			clear(p.entry)
			p.result <- outcome{err: err}
		}
		return nil
	}
	r.proposed = append(r.proposed, taken...)
	return r.process()
}

// give proposes entries to raft, which takes all or none.
func (r *Replica) give(entries []*raftpb.Entry) error {
	err := r.node.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(r.base.member), Entries: entries})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return nil
}

// gather takes what waits, without waiting for more: while one batch is synced
// the next gathers by itself.
func (r *Replica) gather(first *proposal) []*proposal {
	taken, size := []*proposal{first}, len(first.entry)
	for len(taken) < r.c.MaxBatch && size < batchBytes {
		select {
		case p := <-r.queue:
			taken, size = append(taken, p), size+len(p.entry)
		default:
			return taken
		}
	}
	return taken
}

func (r *Replica) room(size int) error {
	if r.log.size >= logFactor*r.c.CheckpointBytes {
		r.tried = 0 // nothing grows any more that consider could wait for
		return fmt.Errorf("%w: the log is %d bytes long and waits for a checkpoint", ErrFull, r.log.size)
	}
	if err := r.log.reserve(size); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return nil
}

// ask asks raft from which index on the readings that wait see everything that was
// acknowledged before them (ReadIndex; raft, section 6.4 of its thesis). No lease: a clock may lie.
func (r *Replica) ask(first *reading) error {
	taken := []*reading{first}
	for len(taken) < r.c.MaxQueue {
		select {
		case q := <-r.reads:
			taken = append(taken, q)
			continue
		default:
		}
		break
	}
	r.readID++
	r.asking[r.readID] = taken
	r.node.ReadIndex(be.AppendUint64(nil, r.readID))
	return r.process()
}

func (r *Replica) grant(s raft.ReadState) {
	id := be.Uint64(s.RequestCtx)
	r.granted = append(r.granted, grant{s.Index, r.asking[id]})
	delete(r.asking, id)
}

// release lets the readings go whose index is applied.
func (r *Replica) release() {
	kept := r.granted[:0]
	for _, g := range r.granted {
		if g.index > r.applied {
			kept = append(kept, g)
			continue
		}
		for _, q := range g.readings {
			q.ready <- nil
		}
	}
	r.granted = kept
}
