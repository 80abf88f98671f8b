package replica

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// store is raft's view of the log: the entries since the last checkpoint, in
// memory. It is of its own, and not raft.MemoryStorage, because that one panics into
// raft's global logger. Only the replica's loop uses it.
type store struct {
	hard     hardState
	voters   []uint64 // as of the last entry that is applied
	learners []uint64
	changed  uint64          // index of the last change of these that was applied in this run
	index    uint64          // of the entry before the first
	term     uint64          // of that entry
	entries  []*raftpb.Entry // entries[i] has index index+1+i
	trash    []*raftpb.Entry // replaced, and to be wiped when raft's messages have left

	// offer returns the picture that a member without the entries up to index gets.
	offer func(index uint64) (*raftpb.Snapshot, bool)
}

var _ raft.Storage = (*store)(nil)

func (s *store) last() uint64 { return s.index + uint64(len(s.entries)) }

// empty says whether this is the store of a member that joined and was given nothing yet.
func (s *store) empty() bool { return s.index == 0 }

// append adds a batch. Entries replace those of the same index and all after:
// a new leader knows better than an old one, as long as they are not committed.
func (s *store) append(b *batch) error {
	if len(b.entries) > 0 {
		first := b.entries[0].GetIndex()
		if first <= s.index || first > s.last()+1 || first <= s.hard.commit {
			return fmt.Errorf("entry %d does not follow %d", first, s.last())
		}
		kept := s.keep(first - s.index - 1)
		s.trash = append(s.trash, s.entries[len(kept):]...)
		s.entries = append(kept, b.entries...)
	}
	if b.hard.commit > s.last() || b.hard.commit < s.hard.commit || b.hard.term < s.hard.term {
		return fmt.Errorf("term %d with %d committed of %d after term %d with %d", b.hard.term, b.hard.commit, s.last(), s.hard.term, s.hard.commit)
	}
	s.hard = b.hard
	return nil
}

// keep returns the first n entries, so that appending to them writes over
// nothing that was handed out.
func (s *store) keep(n uint64) []*raftpb.Entry {
	if n == uint64(len(s.entries)) {
		return s.entries
	}
	return s.entries[:n:n]
}

// compact wipes and forgets the entries up to index, which the machine's picture
// holds: what they brought may have been erased since.
func (s *store) compact(index uint64) {
	if index <= s.index || index > s.last() {
		return
	}
	s.term = s.entries[index-s.index-1].GetTerm()
	wipeEntries(s.entries[:index-s.index])
	kept := s.entries[index-s.index:]
	s.entries, s.index = append([]*raftpb.Entry(nil), kept...), index
}

// wipeEntries overwrites what is in entries. Nobody may need them any more: not
// raft, which has applied them, nor a checkpoint, whose picture holds them.
func wipeEntries(entries []*raftpb.Entry) {
	for _, e := range entries {
		clear(e.GetData())
	}
}

// from returns the entries after index up to the last one.
func (s *store) from(index, last uint64) []*raftpb.Entry {
	return s.entries[index-s.index : last-s.index : last-s.index]
}

// InitialState implements [raft.Storage].
func (s *store) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return s.hard.proto(), &raftpb.ConfState{Voters: s.voters, Learners: s.learners}, nil
}

// Entries implements [raft.Storage].
func (s *store) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= s.index {
		return nil, raft.ErrCompacted
	}
	if hi > s.last()+1 || lo >= hi {
		return nil, raft.ErrUnavailable
	}
	entries, size := s.from(lo-1, hi-1), uint64(0)
	for i, e := range entries {
		size += uint64(entryHead + len(e.GetData()))
		if i > 0 && size > maxSize {
			return entries[:i:i], nil
		}
	}
	return entries, nil
}

// Term implements [raft.Storage].
func (s *store) Term(i uint64) (uint64, error) {
	switch {
	case i < s.index:
		return 0, raft.ErrCompacted
	case i == s.index:
		return s.term, nil
	case i > s.last():
		return 0, raft.ErrUnavailable
	}
	return s.entries[i-s.index-1].GetTerm(), nil
}

// FirstIndex implements [raft.Storage].
func (s *store) FirstIndex() (uint64, error) { return s.index + 1, nil }

// LastIndex implements [raft.Storage].
func (s *store) LastIndex() (uint64, error) { return s.last(), nil }

// Snapshot implements [raft.Storage].
func (s *store) Snapshot() (*raftpb.Snapshot, error) {
	if s.offer != nil {
		// A picture from before the last change may not know whom it is for.
		if snapshot, ok := s.offer(max(s.index, s.changed)); ok {
			return snapshot, nil
		}
	}
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// votes reports whether a member is a voter.
func (s *store) votes(number uint64) bool { return slices.Contains(s.voters, number) }

// member reports whether a number belongs to the group.
func (s *store) member(number uint64) bool {
	return s.votes(number) || slices.Contains(s.learners, number)
}

// lowest is the smallest index after which at most so many bytes of entries come, up
// to last.
func (s *store) lowest(last uint64, size int) uint64 {
	for last > s.index {
		size -= entryHead + len(s.entries[last-s.index-1].GetData())
		if size < 0 {
			break
		}
		last--
	}
	return last
}

// sweep wipes what was replaced.
func (s *store) sweep() {
	wipeEntries(s.trash)
	s.trash = nil
}
