package replica

import (
	"maps"
	"slices"

	"go.etcd.io/raft/v3"
)

// readings are those who wait to look at the machine.
type readings struct {
	readers []func(error)        // not asked for yet
	asking  map[uint64]*question // by its number
	granted []grant
	readID  uint64 // begins anew in each life, at random
	reask   bool   // another leads: it must be asked
}

// A question is on its way to the leader, for all that waited then.
type question struct {
	readers []func(error)
	ticks   int
}

// A grant lets readings go on when the machine has applied what they must see.
type grant struct {
	index   uint64
	readers []func(error)
}

// Read calls done once, inside a later call of the node: without an error at a
// moment when the state that Peek returns holds everything that was acknowledged,
// by any member, before Read was called.
func (n *Node) Read(done func(err error)) {
	if n.closed || n.halted != nil {
		n.later(func() { done(ErrClosed) })
		return
	}
	n.readers = append(n.readers, done)
}

// ask asks raft from which index on the readings that wait see everything that was
// acknowledged before them (ReadIndex; raft, section 6.4 of its thesis). No lease: a clock may lie.
func (n *Node) ask() error {
	if len(n.readers) == 0 {
		return nil
	}
	if n.asking == nil {
		n.asking = make(map[uint64]*question)
	}
	n.readID++
	n.asking[n.readID], n.readers = &question{readers: n.readers}, nil
	n.raft.ReadIndex(be.AppendUint64(nil, n.readID))
	return n.process()
}

// askAgain asks once more at a tick what was not answered: a question, or its
// answer, may be lost, and a leader that knew it may lead no more. Whoever asks again under the
// same number is content with the answer to either.
func (n *Node) askAgain() {
	for _, id := range sortedKeys(n.asking) {
		q := n.asking[id]
		q.ticks++
		if q.ticks >= readPatience {
			delete(n.asking, id)
			for _, done := range q.readers {
				n.later(func() { done(ErrNotLeader) })
			}
			continue
		}
		if n.reask || q.ticks%readTicks == 0 {
			n.raft.ReadIndex(be.AppendUint64(nil, id))
		}
	}
	n.reask = false
}

func (n *Node) grant(s raft.ReadState) {
	if len(s.RequestCtx) != 8 {
		return
	}
	id := be.Uint64(s.RequestCtx)
	if q := n.asking[id]; q != nil { // not answered already
		n.granted = append(n.granted, grant{s.Index, q.readers})
		delete(n.asking, id)
	}
}

// release lets the readings go whose index is applied.
func (n *Node) release() {
	kept := n.granted[:0]
	for _, g := range n.granted {
		if g.index > n.applied {
			kept = append(kept, g)
			continue
		}
		for _, done := range g.readers {
			n.later(func() { done(nil) })
		}
	}
	n.granted = kept
}

// abandonReadings answers everybody who waits.
func (n *Node) abandonReadings() {
	all := n.readers
	for _, id := range slices.Sorted(maps.Keys(n.asking)) {
		all = append(all, n.asking[id].readers...)
	}
	for _, g := range n.granted {
		all = append(all, g.readers...)
	}
	n.readers, n.asking, n.granted = nil, nil, nil
	for _, done := range all {
		n.later(func() { done(ErrClosed) })
	}
}
