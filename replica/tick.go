package replica

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// Ticks, of 50 ms: in a group with 120 ms from one member to another a lost leader is
// replaced within a second or so.
const (
	heartbeatTicks = 2
	electionTicks  = 8  // without a leader's word until an election; at random up to twice that
	againTicks     = 4  // from an election that brought no leader to the next: the answers of 120 ms away are here
	hasty          = 3  // so many times; then as at first, since the way may be longer
	readTicks      = 6  // until a question is asked again whose answer was lost
	readPatience   = 40 // until a reading is given up
	meetTicks      = 4  // between hellos to members that did not answer yet
	forwardTicks   = 40 // until nobody knows what became of a forwarded proposal
	transferTicks  = 24 // until a transfer of the leadership is given up: three that raft gives up by itself
)

// clockwork is what ticks drive.
type clockwork struct {
	ticks   uint64
	elapsed int  // ticks since the leader, or a candidate that was voted for, was heard
	timeout int  // of these, until this member stands itself
	hurried bool // it is shorter than it may be while somebody leads
	stood   int  // how often this member stood since a leader spoke
	yielded bool // it lets another go first: what it was granted counts for nothing
}

// Tick tells the node that a tick of time has passed. The work that follows is
// done by the next Step.
func (n *Node) Tick() {
	if n.closed || n.halted != nil {
		return
	}
	n.ticked++
}

// pass works off the ticks.
func (n *Node) pass() error {
	for ; n.ticked > 0; n.ticked-- {
		n.ticks++
		n.sessions.tick()
		if err := errors.Join(n.leave(), n.meet(), n.beat()); err != nil {
			return err
		}
		for _, member := range n.transfers.tick(n.keep()) {
			n.raft.ReportSnapshot(member, raft.SnapshotFailure)
		}
		if err := n.fetching(); err != nil {
			return err
		}
		n.expire()
		n.askAgain()
	}
	return nil
}

// beat lets a leader's raft tick. Of other members raft's own clockwork stands
// still: it draws its delays from a source that no simulator can replay.
func (n *Node) beat() error {
	if n.lead == n.base.member {
		n.giveWay()
		n.raft.Tick()
		n.notice()
		if n.lead == n.base.member && !n.heardByMany() {
			return n.resign()
		}
		return n.relax()
	}
	n.elapsed++
	if n.elapsed == electionTicks && n.lead != 0 {
		// From here on others may be voted for, and nothing is asked of that leader.
		if err := n.raft.ForgetLeader(); err != nil {
			return err
		}
		n.notice()
	}
	if n.elapsed < n.timeout {
		return nil
	}
	n.stood, n.yielded = n.stood+1, false
	if err := n.rewind(); err != nil {
		return err
	}
	// Whoever has no room to vote for itself stands for nothing.
	if !n.store.votes(n.base.member) || n.roomFor(0) != nil {
		return nil
	}
	if err := n.raft.Campaign(); err != nil {
		return err
	}
	n.notice()
	return nil
}

// heardByMany says whether a majority of the voters, itself counted, was heard within an election timeout.
func (n *Node) heardByMany() bool {
	count := 0
	for _, v := range n.store.voters {
		if heard, ok := n.heard[v]; v == n.base.member || ok && n.ticks-heard < electionTicks {
			count++
		}
	}
	return count > len(n.store.voters)/2
}

// resign ends the leadership of a member that hears no majority. Raft looks only once in an
// election timeout whether anybody was heard since it looked last, which is up to twice as late; it
// has no call for it but its ticks. Whoever is not heard may hear all the same, and would wait for another
// timeout: one of them is told to stand at once.
func (n *Node) resign() error {
	if to := n.furthest(false, nil); to != 0 {
		now := &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), To: new(to), From: new(n.base.member), Term: new(n.term)}
		if _, err := n.post([]*raftpb.Message{now}); err != nil {
			return err
		}
	}
	n.stepDown()
	return nil
}

// stepDown ends this member's leadership, and makes nothing durable.
func (n *Node) stepDown() {
	for range 2 * electionTicks {
		if n.Leads() == 0 {
			break
		}
		n.raft.Tick()
	}
	n.notice()
}

// rewind draws the next delay.
func (n *Node) rewind() error {
	var b [1]byte
	if _, err := io.ReadFull(n.c.Rand, b[:]); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	least := electionTicks
	if n.hurried = n.stood > 0 && n.stood <= hasty; n.hurried {
		least = againTicks
	}
	n.elapsed, n.timeout = 0, least+int(b[0])%electionTicks
	return nil
}

// relax draws a delay for a group that has a leader in the place of one for a group that looks for it.
func (n *Node) relax() error {
	if n.stood = 0; !n.hurried {
		return nil
	}
	return n.rewind()
}

// yield lets another go first that stands for the same term at the same time: the one
// with more of the log, or else with the lower number. Two that were both told by all others that
// they may stand would share the votes, and the term would have no leader.
func (n *Node) yield(m *raftpb.Message, from uint64) {
	if m.GetType() != raftpb.MsgPreVote {
		return
	}
	s := n.raft.BasicStatus()
	if s.RaftState != raft.StatePreCandidate || m.GetTerm() != s.HardState.GetTerm()+1 {
		return
	}
	last := n.store.last()
	term, err := n.store.Term(last)
	if err != nil || !n.store.votes(from) {
		return
	}
	if cmp.Or(cmp.Compare(m.GetLogTerm(), term), cmp.Compare(m.GetIndex(), last), cmp.Compare(n.base.member, from)) > 0 {
		n.yielded = true
	}
}

// waived says whether a message grants what this member does not want any more.
func (n *Node) waived(m *raftpb.Message) bool {
	return n.yielded && m.GetType() == raftpb.MsgPreVoteResp && !m.GetReject()
}

// calm waits for an election anew: the leader spoke.
func (n *Node) calm(t raftpb.MessageType) error {
	switch t {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap:
		n.elapsed = 0
		return n.relax()
	}
	return nil
}

// notice looks whether raft follows somebody else now, or another term. Whoever waits for a
// proposal that the last leader had is told that nobody knows.
func (n *Node) notice() {
	s := n.raft.BasicStatus()
	if s.Lead == n.lead && s.HardState.GetTerm() == n.term {
		return
	}
	if s.HardState.GetTerm() != n.term {
		n.elapsed = 0
	}
	n.lead, n.term = s.Lead, s.HardState.GetTerm()
	n.timeMu.Lock()
	n.leads = s.RaftState == raft.StateLeader
	n.hours.follow(n.lead, n.term)
	n.timeMu.Unlock()
	if !n.leads {
		n.transfers.rest()
	}
	for _, sequence := range sortedKeys(n.waiting) {
		if p := n.waiting[sequence]; p.lead != n.lead || p.term != n.term {
			n.forget(p, ErrUnknown)
		}
	}
	n.reask = n.lead != 0
}

// expire gives up proposals that the leader has not been heard of about.
func (n *Node) expire() {
	for _, sequence := range sortedKeys(n.waiting) {
		p := n.waiting[sequence]
		if p.lead == n.base.member {
			continue
		}
		if p.ticks++; p.ticks >= forwardTicks {
			n.forget(p, ErrUnknown)
		}
	}
}

// forget answers a proposal that waited.
func (n *Node) forget(p *proposal, err error) {
	delete(n.waiting, p.sequence)
	n.answer(p, nil, err)
}

// TransferLeadership hands the leadership to a voter, 0: to the one that has the
// most of the log. A member that does not lead asks the leader for it, and 0 does nothing. Until
// the other one leads, for 8 ticks at most, proposals are refused; a leader's own number ends that.
// Whether it succeeds shows in Status.
func (n *Node) TransferLeadership(to uint64) {
	if n.closed || n.halted != nil {
		return
	}
	if to == 0 {
		to = n.nearest()
	}
	if to != 0 && n.lead != 0 {
		n.raft.TransferLeader(to)
	}
}

// Leads returns the term in which this member leads now, 0 where it does not.
func (n *Node) Leads() (term uint64) {
	if s := n.raft.BasicStatus(); s.RaftState == raft.StateLeader {
		return s.HardState.GetTerm()
	}
	return 0
}

// keepLeadership ends a transfer that is under way: while there is one, raft takes no proposals.
func (n *Node) keepLeadership() {
	if n.lead == n.base.member {
		n.TransferLeadership(n.base.member)
	}
}

// nearest is the other voter that has the most of the log, of those that were
// heard lately.
func (n *Node) nearest() uint64 {
	if n.lead != n.base.member {
		return 0
	}
	return n.furthest(true, nil)
}

// furthest is the other voter that has the most of a leader's log, of those that were heard lately,
// or were not, and are not passed over; 0 for none.
func (n *Node) furthest(heard bool, over []uint64) (best uint64) {
	most := uint64(0)
	for _, m := range n.Status().Members {
		if !m.Learner && m.Active == heard && m.Number != n.base.member && !slices.Contains(over, m.Number) && (best == 0 || m.Match > most) {
			best, most = m.Number, m.Match
		}
	}
	return best
}
