package backup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	maxAncestors = 32
	keepHeads    = 3 // the newest and two before it
	maxSnapshots = 1 << 16
	maxIndexes   = 1 << 16
)

// A Mark names the newest state of a repository that a device has seen, so that it recognises an older one. The caller keeps it.
type Mark struct {
	Seq  uint64 `json:"seq"`
	Head string `json:"head"` // id of the head object
}

// A head says what the repository holds, spec §5.
type head struct {
	id         ID // of the object
	seq        uint64
	time       int64
	device     ID
	generation uint32
	ancestors  []ID // newest first
	snapshots  []ID // oldest first
	indexes    []ID
}

func headName(seq uint64, id ID) string { return fmt.Sprintf("head/%016x-%s", seq, id) }

func splitHeadName(name, rest string) (kind, uint64, ID, error) {
	num, hex, ok := strings.Cut(rest, "-")
	seq, err := strconv.ParseUint(num, 16, 64)
	if !ok || err != nil || fmt.Sprintf("%016x", seq) != num {
		return 0, 0, ID{}, fmt.Errorf("backup: %.80q is no head's name", name)
	}
	id, err := parseID(hex)
	return kindHead, seq, id, err
}

func (h *head) marshal() []byte {
	var w wireWriter
	w.u64(h.seq)
	w.i64(h.time)
	w.id(h.device)
	w.u32(h.generation)
	w.ids(h.ancestors)
	w.ids(h.snapshots)
	w.ids(h.indexes)
	return w.b
}

func (h *head) unmarshal(payload []byte) error {
	r := wireReader{b: payload}
	h.seq = r.u64()
	h.time = r.i64()
	h.device = r.id()
	h.generation = r.u32()
	h.ancestors = r.ids(maxAncestors)
	h.snapshots = r.ids(maxSnapshots)
	h.indexes = r.ids(maxIndexes)
	return r.end()
}

func (h *head) mark() Mark { return Mark{Seq: h.seq, Head: h.id.String()} }

// nextHead begins the head that follows the given ones, newest first: one, or several after a lost race. What it holds is the caller's to say.
func nextHead(heads []*head) *head {
	n := &head{id: newID(), seq: 1}
	for i, h := range heads {
		if i == 0 {
			n.seq = h.seq + 1
		}
		n.ancestors = append(n.ancestors, h.id)
	}
	// After a fork, all lines of ancestors in turn: a third device may have seen any.
	for i := range maxAncestors {
		for _, h := range heads {
			if i < len(h.ancestors) {
				n.ancestors = union(n.ancestors, h.ancestors[i:i+1])
			}
		}
	}
	n.ancestors = n.ancestors[:min(len(n.ancestors), maxAncestors)]
	return n
}

// union appends to a what only b has, in b's order.
func union(a, b []ID) []ID {
	for _, id := range b {
		if !slices.Contains(a, id) {
			a = append(a, id)
		}
	}
	return a
}

// checkRollback applies spec §5 to the heads of all branches, newest first. A merge of two heads puts two ancestors at one number, so a
// list of ancestors reaches back at least half its length; beyond that nothing can be told.
func checkRollback(known Mark, heads []*head) error {
	if known.Seq == 0 {
		return nil
	}
	if len(heads) == 0 {
		return &RollbackError{Known: known}
	}
	for _, h := range heads {
		is := func(id ID) bool { return id.String() == known.Head }
		if h.mark() == known || (h.seq > known.Seq && slices.ContainsFunc(h.ancestors, is)) {
			return nil
		}
	}
	if newest := heads[0].seq; newest > known.Seq && newest-known.Seq > maxAncestors/2 {
		return nil
	}
	return &RollbackError{Known: known, Found: heads[0].mark()}
}
