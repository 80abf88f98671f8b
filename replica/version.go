package replica

import (
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// Unknown is the version of a form that this program does not know.
const Unknown = math.MaxUint32

// firstVersion is read by everybody, heard or not.
const firstVersion = 1

// Versioned is a Machine with forms of entries that not every version of the program
// reads. The leader proposes such a form only when every member reads it
// (spec/replication.md §17): one that does not would have to halt.
type Versioned interface {
	// Needs returns the version that introduced the form of an entry, or of a signed
	// change; Unknown for a form that is not known here. It is asked for every
	// proposal, and must look at the first bytes only.
	Needs(entry []byte, change bool) uint32
	// Least is the version under which no member of the group may be, as the group
	// has agreed; 0: none.
	Least() uint32
}

// ErrVersion is a proposal of a form that not every member is known to read. It is
// certainly not applied.
var ErrVersion = errors.New("replica: not every member reads this yet: not applied")

// LeastVersion returns the lowest version of the members of the group, learners
// too, as they told since this member started; 0 when one of them was not heard yet,
// or while there is no state. Only a leader hears everybody.
func (n *Node) LeastVersion() uint32 { return leastVersion(n.members()) }

// LeastVersion is that of the Node, as of the replica's last step.
func (r *Replica) LeastVersion() uint32 { return leastVersion(r.Status().Members) }

func leastVersion(members []MemberStatus) uint32 {
	if len(members) == 0 {
		return 0
	}
	least := members[0].Version
	for _, m := range members {
		least = min(least, m.Version)
	}
	return least
}

// version is what a member speaks; 0: it was not heard yet.
func (n *Node) version(member uint64) uint32 {
	if member == n.base.member {
		return n.c.Version
	}
	return n.versions[member]
}

// readable refuses, of what is to be proposed, the forms that not every member reads. It
// looks at them on the leader, because there everybody is heard, and whatever
// another member forwards passes here.
func (n *Node) readable(taken []*proposal) (passed []*proposal) {
	v, ok := n.machine.(Versioned)
	if !ok {
		return taken
	}
	passed = taken[:0]
	agreed := max(v.Least(), firstVersion)
	for _, p := range taken {
		if needs := v.Needs(p.data[originSize:], p.change); needs > agreed && needs > n.LeastVersion() {
			n.answer(p, nil, ErrVersion)
			continue
		}
		passed = append(passed, p)
	}
	return passed
}

// forgot finds out that this member's leader saw it further than it is: its disk and
// its anchor were both put back. A heartbeat speaks of no entry that this member
// did not acknowledge in the same term; and whoever acknowledged anything in a term has that
// term on its disk, and the entries that it acknowledged in its log.
func (n *Node) forgot(m *raftpb.Message) error {
	switch {
	case m.GetTerm() < n.term:
		return nil
	case m.GetType() == raftpb.MsgApp:
		return n.differs(m)
	case m.GetType() != raftpb.MsgHeartbeat:
		return nil
	case m.GetCommit() > n.store.last():
		return fmt.Errorf("%w (it has %d entries, and acknowledged %d or more)", ErrForgot, n.store.last(), m.GetCommit())
	case m.GetTerm() > n.term && m.GetCommit() > 0:
		return fmt.Errorf("%w (it knows of term %d, and acknowledged entries in term %d)", ErrForgot, n.term, m.GetTerm())
	}
	if n.claim.term != m.GetTerm() {
		n.claim = claim{term: m.GetTerm()}
	}
	n.claim.index = max(n.claim.index, m.GetCommit())
	return nil
}

// A claim is what the leader of a term says that this member acknowledged: all up to an index.
type claim struct{ term, index uint64 }

// differs finds out that an entry of which this member's leader says that it acknowledged it is another one here than there.
func (n *Node) differs(m *raftpb.Message) error {
	if n.claim.term != m.GetTerm() || m.GetIndex() > n.claim.index {
		return nil
	}
	if term, err := n.store.Term(m.GetIndex()); err == nil && term != m.GetLogTerm() {
		return fmt.Errorf("%w (its entry %d is of term %d, and it acknowledged one of term %d)", ErrForgot, m.GetIndex(), term, m.GetLogTerm())
	}
	return nil
}

// doubted cuts what a heartbeat says is committed down to what this member knows to be in its log as it is in the
// leader's: everything, if its last entry is one of that leader's own. Raft takes the leader's word for the rest, since the
// member acknowledged it; but one that was put back may have another entry in that place, and would apply it. An honest
// member that is told so lacks entries of this term, which the leader is sending it.
func (n *Node) doubted(m *raftpb.Message) {
	if m.GetType() != raftpb.MsgHeartbeat {
		return
	}
	if term, err := n.store.Term(n.store.last()); err == nil && term == m.GetTerm() {
		return
	}
	m.Commit = new(min(m.GetCommit(), n.store.hard.commit))
}

// takenBack notices on the leader that a member lacks what it acknowledged in this term.
// Raft takes such a refusal for an old one, or sends the same entries again and again,
// as fast as the network goes; so it is not shown, and the member stays where it is. Old it
// is not: it was sent after everything else that came from there. And raft's
// search for where the logs part never goes under an entry that both have.
func (n *Node) takenBack(r received) bool {
	m := r.m.raft
	if m.GetType() != raftpb.MsgAppResp || !m.GetReject() || !r.newest || !n.leads || m.GetTerm() != n.term {
		return false
	}
	acknowledged := uint64(0)
	if n.gate.term == n.term {
		acknowledged = n.gate.acks[r.from] // raft may have been shown less
	}
	n.raft.WithProgress(func(number uint64, _ raft.ProgressType, p tracker.Progress) {
		if number == r.from {
			acknowledged = max(acknowledged, p.Match)
		}
	})
	// It refuses the entries behind one that it acknowledged: it has fewer now, or another one there.
	if m.GetRejectHint() >= acknowledged && m.GetIndex() > acknowledged {
		return false
	}
	n.forgetful[r.from]++
	return true
}

// unheard drops what is known of a member that was removed.
func (n *Node) unheard(member uint64) {
	delete(n.heard, member)
	delete(n.versions, member)
	delete(n.forgetful, member)
	n.transfers.drop(member)
}
