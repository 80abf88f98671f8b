package replica

import (
	"errors"
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

	lead, term uint64 // who had it, and in which term
	ticks      int    // since it was forwarded
	foreign    bool   // of another member, which waits for it
}

// prepareProposals draws the first sequence number: those of an earlier life of
// this member may still come out of the log, and must not be taken for new ones.
func (n *Node) prepareProposals() error {
	var start [8]byte
	if _, err := io.ReadFull(n.c.Rand, start[:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	n.waiting, n.next = make(map[uint64]*proposal), be.Uint64(start[:])
	n.readID = n.next // likewise: the leader may still answer the questions of the life before
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
	n.queue = append(n.queue, &proposal{change: change, sequence: n.next, done: done, data: withOrigin(n.base.member, n.next, entry)})
	n.next++
}

func withOrigin(member, sequence uint64, entry []byte) []byte {
	to := be.AppendUint64(make([]byte, 0, originSize+len(entry)), member)
	return append(be.AppendUint64(to, sequence), entry...)
}

// answer tells what became of a proposal.
func (n *Node) answer(p *proposal, effect any, err error) {
	clear(p.data)
	p.data = nil
	n.later(func() { p.done(effect, err) })
}

// commit makes batches of the proposals that wait, or hands them to the leader.
func (n *Node) commit() error {
	for len(n.queue) > 0 {
		err := n.unload()
		if err != nil {
			return err
		}
		if taken := n.gather(); n.lead == n.base.member {
			if taken = n.readable(taken); len(taken) == 0 {
				continue
			}
			n.handed(taken, n.propose(taken))
			err = n.process()
		} else {
			err = n.forward(taken)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handed lets proposals wait that somebody has now, or refuses them.
func (n *Node) handed(taken []*proposal, err error) {
	for _, p := range taken {
		switch {
		case err != nil:
			n.answer(p, nil, err)
			n.handover.due = n.handover.due || errors.Is(err, ErrNoSpace)
		case !p.foreign:
			clear(p.data) // raft, or the leader, has a copy
			p.lead, p.term, n.waiting[p.sequence] = n.lead, n.term, p
		}
	}
}

// gather takes the proposals of the next batch. A change has one of its own: raft
// may refuse it.
func (n *Node) gather() []*proposal {
	count, size := 0, 0
	for count < min(len(n.queue), n.c.MaxBatch) && (count == 0 || size < batchBytes) {
		if n.queue[count].change && count > 0 {
			break
		}
		size += len(n.queue[count].data)
		count++
		if n.queue[count-1].change {
			break
		}
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
		if p.change {
			entries[i] = &raftpb.Entry{Type: raftpb.EntryConfChangeV2.Enum(), Data: encodeChange(p.data)}
		}
	}
	// The room comes first: once raft knows an entry there is no way back. An only voter
	// writes the commit of a change as a batch of its own, before anything can be asked again.
	size := entriesSize(entries)
	if taken[0].change {
		size += batchHead + recordOver
	}
	if err := n.roomFor(size); err != nil {
		return err
	}
	if err := n.raft.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(n.base.member), Entries: entries}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	}
	n.taken += entriesSize(entries)
	if taken[0].change && entries[0].GetType() == raftpb.EntryNormal {
		return ErrPending // raft put an empty entry in its place
	}
	return nil
}

// forward hands proposals to the leader, one by one.
func (n *Node) forward(taken []*proposal) error {
	for i, p := range taken {
		var refusal error
		switch {
		case n.store.empty():
			refusal = ErrEmpty
		case n.lead == 0 || p.foreign:
			refusal = ErrNotLeader
		default:
			f := &forward{origin: n.base.member, sequence: p.sequence, change: p.change, entry: p.data[originSize:]}
			left, err := n.send(n.lead, &peerMessage{forward: f})
			if err != nil {
				return err
			}
			if !left {
				refusal = ErrNotLeader
			}
		}
		n.handed(taken[i:i+1], refusal)
	}
	return nil
}

// takeForward takes what another member wants to be proposed.
func (n *Node) takeForward(from uint64, f *forward) error {
	p := &proposal{change: f.change, sequence: f.sequence, foreign: true}
	p.done = func(_ any, err error) {
		if err != nil && !n.closed && n.halted == nil {
			n.halted = n.refuse(from, f.sequence, err)
		}
	}
	switch {
	case f.origin != from || !n.store.member(from):
		n.dropped++
		return nil
	case n.lead != n.base.member:
		n.answer(p, nil, ErrNotLeader)
		return nil
	case len(f.entry) > n.c.MaxEntry:
		n.answer(p, nil, ErrSize)
		return nil
	case len(n.queue) >= n.c.MaxQueue:
		n.answer(p, nil, ErrFull)
		return nil
	}
	p.data = withOrigin(from, f.sequence, f.entry)
	n.queue = append(n.queue, p)
	return nil
}

// refuse tells another member that its proposal certainly was not made, and first, where
// it can do something about it, why.
func (n *Node) refuse(to, sequence uint64, err error) error {
	if reason := reasonOf(err); reason != 0 {
		if _, err := n.send(to, &peerMessage{because: &because{sequence, reason}}); err != nil {
			return err
		}
	}
	_, err = n.send(to, &peerMessage{refused: &refused{sequence}})
	return err
}

// takeRefused hears that a proposal certainly was not made.
func (n *Node) takeRefused(sequence uint64, why error) {
	if p := n.waiting[sequence]; p != nil && p.lead != n.base.member {
		n.forget(p, why)
	}
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
