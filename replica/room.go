package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

const (
	roomTicks   = 20  // between two looks whether there is room again
	inviteTicks = 200 // between two invitations to lead that a member takes which has no room
)

// cramped is for what there was no room.
type cramped struct {
	err  error  // nil: there was
	size int    // of what was to have it
	next uint64 // tick of the next look
}

// roomFor makes room for so many bytes of entries, besides those that raft was given
// already, for a vote, and for the empty entry of whoever is elected by it.
func (n *Node) roomFor(entries int) error {
	size := batchHead + entryHead + n.taken + entries
	if entries > 0 {
		return n.roomed(size, n.room(size))
	}
	return n.roomed(size, n.reserve(size))
}

// roomed keeps why there was no room. A vote that still finds a place at the end of a file
// does not say that there is room again for entries.
func (n *Node) roomed(size int, err error) error {
	if err != nil || size >= n.cramped.size {
		n.cramped = cramped{err: err, size: size, next: n.ticks + roomTicks}
	}
	return err
}

// unload writes what raft was given, where that is the first of a log file: if what comes next
// needs a larger one, that takes the place of the file, and may fail when the file is gone.
func (n *Node) unload() error {
	if n.log.fresh() && n.raft.HasReady() {
		return n.process()
	}
	return nil
}

// look finds out whether there is room again: what found none may never come again. Nothing is
// under way then for which room was made. A leader that has none for anything tries again to be rid of
// the leadership.
func (n *Node) look() {
	c := n.cramped
	if c.err == nil || n.ticks < c.next || n.log.size >= n.logLimit() {
		return
	}
	if n.roomed(c.size, n.reserve(c.size)) != nil && n.reserve(batchHead+entryHead) != nil {
		n.handover.due = true
	}
}

func (n *Node) logLimit() int64 { return logFactor * n.c.CheckpointBytes }

func (n *Node) room(size int) error {
	if n.log.size >= n.logLimit() {
		n.tried = 0 // nothing grows any more that consider could wait for
		return fmt.Errorf("%w: the log is %d bytes long and waits for a checkpoint", ErrFull, n.log.size)
	}
	return n.reserve(size)
}

func (n *Node) reserve(size int) error {
	if err := n.log.reserve(size); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return nil
}

// fits makes room for what a message makes durable. Without room it is dropped, and
// comes again: a full disk halts nobody.
func (n *Node) fits(m *raftpb.Message) bool {
	if n.cramped.err != nil && n.weightless(m) {
		return true
	}
	entries := m.GetEntries()
	if m.GetType() == raftpb.MsgReadIndex || m.GetType() == raftpb.MsgReadIndexResp {
		entries = nil
	}
	err := n.roomFor(entriesSize(entries))
	n.handover.due = n.handover.due || errors.Is(err, ErrNoSpace)
	return err == nil || n.weightless(m)
}

// weightless says whether a message makes nothing durable: to a leader, an answer of its own term, by
// which it may see entries committed that are all on its disk, or a question. If it took none without room, nobody
// could be shown to have its whole log, and it could hand over to nobody. But that a change of the
// members is committed is made durable (persist).
func (n *Node) weightless(m *raftpb.Message) bool {
	if n.Leads() == 0 {
		return false
	}
	switch m.GetType() {
	case raftpb.MsgReadIndex:
		return true
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp:
		return m.GetTerm() == n.term && !hasChange(n.store.entries, n.durable)
	}
	return false
}

// outranked ends the leadership of a member that hears of a later leader and has no room for its term.
func (n *Node) outranked(m *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		if n.Leads() != 0 && m.GetTerm() > n.term && n.store.member(m.GetFrom()) {
			n.stepDown()
		}
	}
}

// handover is how a leader without room is rid of the leadership.
type handover struct {
	due     bool     // there was no room: another should lead
	asked   []uint64 // who was told to, and may have no room either
	invited uint64   // tick at which this member took such an invitation though it had no room itself; 0: never
}

// giveWay hands the leadership to another voter when there was no room: to one after the other, until one leads.
func (n *Node) giveWay() {
	h := &n.handover
	if !h.due || n.raft.BasicStatus().LeadTransferee != 0 {
		return
	}
	h.due = false
	if n.cramped.err == nil {
		return // there is room again
	}
	to := n.furthest(true, h.asked)
	if to == 0 {
		h.asked = nil
		to = n.furthest(true, nil)
	}
	h.asked = append(h.asked, to)
	n.TransferLeadership(to)
}

// declines says whether this member does not want to lead: it has no room for what came lately, and took an invitation a while ago.
// Members of which each has room for votes, and none for what is proposed, would hand the leadership round.
func (n *Node) declines(m *raftpb.Message) bool {
	if m.GetType() != raftpb.MsgTimeoutNow || n.cramped.err == nil {
		return false
	}
	if i := n.handover.invited; i != 0 && n.ticks < i+inviteTicks {
		return true
	}
	n.handover.invited = n.ticks
	return false
}
