package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// A change of the members is, for raft, an entry that changes nothing: what it
// changes the machine decides when the entry is applied, by whose signatures it has. So the entry
// is raft's ConfChangeV2 (protocol buffers) with one harmless change and the signed bytes
// with their origin as context (spec/replication.md §7.3).
var changeHead = []byte{
	0x12, 4, 0x08, byte(raftpb.ConfChangeUpdateNode), 0x10, 1, // changes: update node 1
	0x1a, // context; its length and the bytes follow
}

// changeOver is what a change has at most beside its origin and the signed bytes.
const changeOver = 7 + 3

func encodeChange(context []byte) []byte {
	to := append(make([]byte, 0, changeOver+len(context)), changeHead...)
	return append(binary.AppendUvarint(to, uint64(len(context))), context...)
}

var errChange = errors.New("replica: internal error: a change of members of another form")

func decodeChange(data []byte) (context []byte, err error) {
	rest, ok := bytes.CutPrefix(data, changeHead)
	size, n := binary.Uvarint(rest)
	if !ok || n <= 0 || size != uint64(len(rest)-n) {
		return nil, errChange
	}
	return rest[n:], nil
}

// change applies a change and tells raft what came of it.
func (n *Node) change(e *raftpb.Entry) error {
	context, err := decodeChange(e.GetData())
	if err != nil {
		return err
	}
	p, signed, err := n.asked(context)
	if err != nil {
		return err
	}
	led := n.lead == n.base.member
	before := n.machine.Members()
	effect, err := n.machine.Change(signed)
	if err != nil {
		return err
	}
	after := n.machine.Members()
	changes, err := difference(before, after)
	if err != nil {
		return err
	}
	for _, c := range changes {
		// One at a time, never joint: two majorities that follow each other overlap.
		n.raft.ApplyConfChange(&raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{c}})
		if c.GetType() == raftpb.ConfChangeRemoveNode {
			n.sessions.drop(c.GetNodeId())
			n.unheard(c.GetNodeId())
		} else {
			n.sessions.admit(c.GetNodeId())
		}
	}
	n.store.voters, n.store.learners = split(after)
	n.store.changed = e.GetIndex()
	n.regroup = true
	n.removed = n.opened && !led && !n.store.member(n.base.member)
	if p != nil {
		delete(n.waiting, p.sequence)
		n.answer(p, effect, nil)
	}
	return nil
}

// difference is what raft must be told.
func difference(before, after []Member) (changes []*raftpb.ConfChangeSingle, err error) {
	voters := 0
	note := func(kind raftpb.ConfChangeType, number uint64) {
		changes = append(changes, &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(number)})
	}
	for _, m := range before {
		if !has(after, m.Number) {
			note(raftpb.ConfChangeRemoveNode, m.Number)
			if !m.Learner {
				voters++
			}
		}
	}
	for _, m := range after {
		switch {
		case slices.Contains(before, m):
			continue
		case m.Learner:
			note(raftpb.ConfChangeAddLearnerNode, m.Number)
		default:
			note(raftpb.ConfChangeAddNode, m.Number)
		}
		if !m.Learner || has(before, m.Number) {
			voters++
		}
	}
	if voters > 1 {
		return nil, fmt.Errorf("replica: internal error: the machine changed %d voters at a time", voters)
	}
	return changes, nil
}

func has(members []Member, number uint64) bool {
	return slices.ContainsFunc(members, func(m Member) bool { return m.Number == number })
}

// settle tells everybody who must know that the members are others now.
func (n *Node) settle() error {
	if !n.regroup {
		return nil
	}
	n.regroup = false
	n.timeMu.Lock()
	n.hours.members(n.store.voters)
	n.timeMu.Unlock()
	tolerate := 0
	if t, ok := n.machine.(Tolerant); ok {
		tolerate = t.Tolerate()
	}
	for _, let := range n.gate.members(n.store.voters, tolerate, n.raft.BasicStatus().HardState.GetCommit()) {
		if err := n.raft.Step(let); err != nil {
			n.dropped++
		}
	}
	if err := n.orphan(); err != nil {
		return err
	}
	if n.store.empty() || n.store.member(n.base.member) {
		n.leaving = 0
		return nil
	}
	n.leaving = max(n.leaving, 1)
	if n.removed {
		return ErrRemoved
	}
	return nil
}

const (
	removedTicks = 64 // a member stays that was removed while it led
	orphanTicks  = 3  // between one member's election and the next one's, when the leader was removed
)

// A departure is how a member goes that was removed. If it followed, its leader
// knows for good, and it halts at once. If it led, perhaps nobody else knows yet that the
// change is committed, and the others may need its vote, and its acknowledgement, to
// find that out: so it stays a while as one that follows. A member that was removed before it
// started does the same.
type departure struct {
	opened  bool
	removed bool // nobody needs this member
	leaving int  // ticks since it knows that it was removed, from 1
}

// heardOf says that another leader knows of the removal too.
func (n *Node) heardOf(m *raftpb.Message) error {
	if n.leaving > 0 && m.GetCommit() >= n.store.changed {
		return ErrRemoved
	}
	return nil
}

// leave counts a tick of the departure.
func (n *Node) leave() error {
	if n.leaving == 0 {
		return nil
	}
	if n.leaving++; n.leaving > removedTicks {
		return ErrRemoved
	}
	return nil
}

// orphan stands for election soon when the leader it follows is no voter any more, and
// does not wait for it to fall silent; one after the other, that they do not stand in each other's way.
func (n *Node) orphan() error {
	if n.lead == 0 || n.lead == n.base.member || n.store.empty() || n.store.votes(n.lead) {
		return nil
	}
	if err := n.raft.ForgetLeader(); err != nil {
		return err
	}
	n.notice()
	rank := max(slices.Index(n.store.voters, n.base.member), 0)
	n.elapsed, n.timeout, n.hurried = 0, 1+orphanTicks*rank, true
	return nil
}

// hasChange says whether there is a change of members after index.
func hasChange(entries []*raftpb.Entry, index uint64) bool {
	return slices.ContainsFunc(entries, func(e *raftpb.Entry) bool {
		return e.GetType() != raftpb.EntryNormal && e.GetIndex() > index
	})
}
