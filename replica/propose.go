package replica

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// originSize is what stands before every entry in the log: the number of the
// member that proposed it, and that member's sequence number (spec/replication.md §7.1).
const originSize = 8 + 8

// proposals are what is on its way at this member.
type proposals struct {
	queue   []*proposal
	waiting map[uint64]*proposal // by sequence number: raft or the leader has them
	next    uint64               // sequence number
}

// A proposal waits for its outcome.
type proposal struct {
	data     []byte // with its origin; cleared when raft has a copy, or never will
	change   bool   // of the members, and what else is signed
	sequence uint64
	done     func(effect any, err error)
}

// prepareProposals draws the first sequence number: those of an earlier life of
// this member may still come out of the log, and must not be taken for new ones.
func (n *Node) prepareProposals() error {
	var start [8]byte
	if _, err := io.ReadFull(n.c.Rand, start[:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	n.waiting, n.next = make(map[uint64]*proposal), be.Uint64(start[:])
	return nil
}

// checkEntry refuses entries that raft keeps for itself (empty), and large ones.
func checkEntry(entry []byte, limit int) error {
	if len(entry) == 0 || len(entry) > limit {
		return fmt.Errorf("%w: %d bytes, 1 to %d are allowed", ErrSize, len(entry), limit)
	}
	return nil
}

// Propose asks for one entry to be committed. The function is called once, inside
// a later call of the node: without an error the entry is durable at a
// majority, anchored there, and applied here; effect is what the machine answered. The errors
// that are certain are listed at ErrFull. The node's copies of the entry are
// cleared by a later checkpoint, or by Close.
func (n *Node) Propose(entry []byte, done func(effect any, err error)) {
	n.enqueue(entry, false, done)
}

// Change asks for a signed change to be committed, like Propose. An effect says
// what the machine made of it.
func (n *Node) Change(signed []byte, done func(effect any, err error)) {
	n.enqueue(signed, true, done)
}

func (n *Node) enqueue(entry []byte, change bool, done func(any, error)) {
	err := checkEntry(entry, n.c.MaxEntry)
	switch {
	case err != nil:
	case n.closed || n.halted != nil:
		err = ErrClosed
	case len(n.queue) >= n.c.MaxQueue:
		err = ErrFull
	}
	if err != nil {
		n.later(func() { done(nil, err) })
		return
	}
	p := &proposal{change: change, sequence: n.next, done: done, data: make([]byte, 0, originSize+len(entry))}
	n.next++
	p.data = be.AppendUint64(p.data, n.base.member)
	p.data = be.AppendUint64(p.data, p.sequence)
	p.data = append(p.data, entry...)
	n.queue = append(n.queue, p)
}

// answer tells what became of a proposal.
func (n *Node) answer(p *proposal, effect any, err error) {
	clear(p.data)
	p.data = nil
	n.later(func() { p.done(effect, err) })
}

// commit makes batches of the proposals that wait.
func (n *Node) commit() error {
	for len(n.queue) > 0 {
		taken := n.gather()
		if err := n.propose(taken); err != nil {
			for _, p := range taken {
				n.answer(p, nil, err)
			}
			continue
		}
		for _, p := range taken {
			clear(p.data) // raft has a copy
			p.data = nil
			n.waiting[p.sequence] = p
		}
		if err := n.process(); err != nil {
			return err
		}
	}
	return nil
}

// gather takes the proposals of the next batch.
func (n *Node) gather() []*proposal {
	count, size := 0, 0
	for count < min(len(n.queue), n.c.MaxBatch) && (count == 0 || size < batchBytes) {
		size += len(n.queue[count].data)
		count++
	}
	taken := n.queue[:count:count]
	n.queue = n.queue[count:]
	return taken
}

// propose gives raft the entries, all or none.
func (n *Node) propose(taken []*proposal) error {
	entries := make([]*raftpb.Entry, len(taken))
	for i, p := range taken {
		entries[i] = &raftpb.Entry{Data: p.data}
	}
	// The room comes first: once raft knows an entry there is no way back.
	if err := n.room(batchHead + entriesSize(entries)); err != nil {
		return err
	}
	if err := n.raft.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(n.base.member), Entries: entries}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	return nil
}

func (n *Node) room(size int) error {
	if n.log.size >= logFactor*n.c.CheckpointBytes {
		n.tried = 0 // nothing grows any more that consider could wait for
		return fmt.Errorf("%w: the log is %d bytes long and waits for a checkpoint", ErrFull, n.log.size)
	}
	if err := n.log.reserve(size); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return nil
}

// abandonProposals answers everything that waits.
func (n *Node) abandonProposals(unknown error) {
	for _, p := range n.queue {
		n.answer(p, nil, ErrClosed)
	}
	for _, sequence := range slices.Sorted(maps.Keys(n.waiting)) {
		n.answer(n.waiting[sequence], nil, unknown)
	}
	n.queue, n.waiting = nil, nil
}
