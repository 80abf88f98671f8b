package replica

import (
	"cmp"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"keepsake.example/anchor"
)

// Status is a picture for people and metrics.
type Status struct {
	Member    uint64 // number of this replica
	Role      string // "leader", "follower", "candidate", "learner", "empty" (joined, and without state yet), "removed" or "halted"
	Leader    uint64 // who leads, as far as is known here; 0 for nobody
	Term      uint64
	Last      uint64 // index of the last entry of the log
	Committed uint64 // index
	Applied   uint64 // index
	// Batch counts the durable batches since the replica was made: it is what
	// the anchor counts.
	Batch      uint64
	LogBytes   int64  // of the log since the last checkpoint
	Checkpoint uint64 // index at which the picture of the last checkpoint was taken
	// CheckpointError is why the last checkpoint failed; nil when it did not.
	CheckpointError error
	// RoomError is why there was no room in the log for the last that others sent or that was
	// proposed: ErrNoSpace, or ErrFull where the log waits for a checkpoint. Nil again when there is room for as much. Until then this
	// member may fall behind, and acknowledges nothing new.
	RoomError  error
	Members    []MemberStatus // by rising numbers, this one among them
	QuorumTime uint64         // see Time
	Dropped    uint64         // messages that were not taken: not for this member, replayed, edited, or no room for them
	Queued     int            // proposals and reads that wait
	Anchor     anchor.Description
	Secret     SecretStatus
	Halted     error // why the replica halted; nil otherwise
}

// MemberStatus is one member of the group, as this one sees it.
type MemberStatus struct {
	Number  uint64
	Learner bool
	Active  bool   // a message of it arrived within the last election timeout; true of this member
	Match   uint64 // index up to which it has the log; only the leader knows, else 0
	Lag     uint64 // entries that the leader has and it has not; only the leader knows
	Version uint32 // that it told last; 0: not heard since this member started
	// Forgot counts the messages that showed a leader that it lacks what it had
	// acknowledged: its disk and its anchor were put back. It stays behind until it is
	// removed.
	Forgot uint64
}

// Dropped returns Status's Dropped alone: for those who ask at every message.
func (n *Node) Dropped() uint64 { return n.dropped }

// Status returns a picture of the node.
func (n *Node) Status() Status {
	s := n.raft.BasicStatus()
	status := Status{
		Member: n.base.member, Role: n.role(s.RaftState), Leader: s.Lead, Term: s.HardState.GetTerm(),
		Last: n.store.last(), Committed: s.HardState.GetCommit(), Applied: n.applied,
		Batch: n.log.chain.number, LogBytes: n.log.size,
		Checkpoint: n.base.index, CheckpointError: n.lastErr, RoomError: n.cramped.err,
		Members: n.members(), QuorumTime: n.Time(), Dropped: n.dropped, Queued: len(n.queue) + len(n.readers),
		Anchor: n.c.Anchor.Describe(), Halted: n.halted, Secret: n.secretStatus(),
	}
	return status
}

func (n *Node) role(s raft.StateType) string {
	switch {
	case n.halted != nil:
		return "halted"
	case n.store.empty():
		return "empty"
	case n.leaving > 0:
		return "removed"
	case s == raft.StateLeader:
		return "leader"
	case !n.store.votes(n.base.member):
		return "learner"
	case s != raft.StateFollower:
		return "candidate"
	}
	return "follower"
}

// members lists the group as this member sees it.
func (n *Node) members() (all []MemberStatus) {
	last := n.store.last()
	for _, learner := range []bool{false, true} {
		numbers := n.store.voters
		if learner {
			numbers = n.store.learners
		}
		for _, number := range numbers {
			m := MemberStatus{
				Number: number, Learner: learner, Active: number == n.base.member, Version: n.version(number), Forgot: n.forgetful[number],
			}
			if heard, ok := n.heard[number]; ok && n.ticks-heard < electionTicks {
				m.Active = true
			}
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b MemberStatus) int { return cmp.Compare(a.Number, b.Number) })
	if n.lead != n.base.member {
		return all
	}
	n.raft.WithProgress(func(number uint64, _ raft.ProgressType, p tracker.Progress) {
		i := slices.IndexFunc(all, func(m MemberStatus) bool { return m.Number == number })
		if i >= 0 {
			all[i].Match, all[i].Lag = p.Match, last-min(p.Match, last)
		}
	})
	return all
}
