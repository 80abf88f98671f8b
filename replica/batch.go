package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// spec/replication.md §5.2.
const (
	batchHead  = 3*8 + 4
	entryHead  = 8 + 8 + 1 + 4
	maxAsked   = 1 << 20 // longest entry that a configuration can allow
	maxEntry   = maxAsked + originSize + changeOver
	maxBody    = 16 << 20 // longest batch that is read
	maxEntries = 1 << 16  // in one batch

)

// A batch is what becomes durable in one step: raft's term, vote and commit, and
// entries that follow, or replace the end of, those before.
type batch struct {
	hard    hardState
	entries []*raftpb.Entry
}

type hardState struct{ term, vote, commit uint64 }

func hardStateOf(h *raftpb.HardState) hardState {
	return hardState{h.GetTerm(), h.GetVote(), h.GetCommit()}
}

func (h hardState) proto() *raftpb.HardState {
	return &raftpb.HardState{Term: new(h.term), Vote: new(h.vote), Commit: new(h.commit)}
}

// size is the length of the encoded batch.
func (b *batch) size() int { return batchHead + entriesSize(b.entries) }

func entriesSize(entries []*raftpb.Entry) int {
	n := 0
	for _, e := range entries {
		n += entryHead + len(e.GetData())
	}
	return n
}

func (b *batch) append(to []byte) []byte {
	to = be.AppendUint64(to, b.hard.term)
	to = be.AppendUint64(to, b.hard.vote)
	to = be.AppendUint64(to, b.hard.commit)
	to = be.AppendUint32(to, uint32(len(b.entries)))
	return appendEntries(to, b.entries)
}

func appendEntries(to []byte, entries []*raftpb.Entry) []byte {
	for _, e := range entries {
		to = be.AppendUint64(to, e.GetIndex())
		to = be.AppendUint64(to, e.GetTerm())
		to = append(to, byte(e.GetType()))
		to = be.AppendUint32(to, uint32(len(e.GetData())))
		to = append(to, e.GetData()...)
	}
	return to
}

var errBatch = errors.New("no batch")

// decodeBatch reads a batch, whose entries share memory with b. The bytes were
// authenticated; the checks are there for what another version wrote.
func decodeBatch(b []byte) (*batch, error) {
	if len(b) < batchHead || len(b) > maxBody {
		return nil, fmt.Errorf("%w: %d bytes", errBatch, len(b))
	}
	d := &batch{hard: hardState{be.Uint64(b), be.Uint64(b[8:]), be.Uint64(b[16:])}}
	count := be.Uint32(b[24:])
	b = b[batchHead:]
	// The division bounds what is allocated by what is there.
	if count > maxEntries || int(count) > len(b)/entryHead {
		return nil, fmt.Errorf("%w: %d entries", errBatch, count)
	}
	d.entries = make([]*raftpb.Entry, 0, count)
	for i := range int(count) {
		e, rest, err := decodeEntry(b)
		if err != nil {
			return nil, err
		}
		if i > 0 && e.GetIndex() != d.entries[i-1].GetIndex()+1 {
			return nil, fmt.Errorf("%w: entry %d after %d", errBatch, e.GetIndex(), d.entries[i-1].GetIndex())
		}
		d.entries, b = append(d.entries, e), rest
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errBatch, len(b))
	}
	return d, nil
}

func decodeEntry(b []byte) (e *raftpb.Entry, rest []byte, err error) {
	if len(b) < entryHead {
		return nil, nil, fmt.Errorf("%w: entry cut", errBatch)
	}
	index, term, kind, size := be.Uint64(b), be.Uint64(b[8:]), b[16], be.Uint32(b[17:])
	b = b[entryHead:]
	switch {
	case index == 0 || term == 0 || kind > byte(raftpb.EntryConfChangeV2):
		return nil, nil, fmt.Errorf("%w: entry %d of term %d and kind %d", errBatch, index, term, kind)
	case size > maxEntry || int(size) > len(b):
		return nil, nil, fmt.Errorf("%w: entry of %d bytes", errBatch, size)
	}
	e = &raftpb.Entry{Index: new(index), Term: new(term), Type: raftpb.EntryType(kind).Enum()}
	if size > 0 {
		e.Data = b[:size:size]
	}
	return e, b[size:], nil
}
