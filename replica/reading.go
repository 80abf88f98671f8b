package replica

import (
	"maps"
	"slices"

	"go.etcd.io/raft/v3"
)

// readings are those who wait to look at the machine.
type readings struct {
	readers []func(error)            // not asked for yet
	asking  map[uint64][]func(error) // by the number of the question
	granted []grant
	readID  uint64
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
		n.asking = make(map[uint64][]func(error))
	}
	n.readID++
	n.asking[n.readID], n.readers = n.readers, nil
	n.raft.ReadIndex(be.AppendUint64(nil, n.readID))
	return n.process()
}

func (n *Node) grant(s raft.ReadState) {
	id := be.Uint64(s.RequestCtx)
	n.granted = append(n.granted, grant{s.Index, n.asking[id]})
	delete(n.asking, id)
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
		all = append(all, n.asking[id]...)
	}
	for _, g := range n.granted {
		all = append(all, g.readers...)
	}
	n.readers, n.asking, n.granted = nil, nil, nil
	for _, done := range all {
		n.later(func() { done(ErrClosed) })
	}
}
