package replica

import (
	"errors"
	"sync"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"keepsake.example/internal/planted"
)

const (
	// maxInbox is how many messages share a step, and wait of one member: those over it come again, or
	// are obsolete.
	maxInbox = 1024
	// So many bytes of entries from a leader share one sync at most.
	maxTaken = 4 << 20
)

// wires is what a node knows of the other members.
type wires struct {
	sessions *secrets
	gate     *gate
	heard    map[uint64]uint64 // tick at which a member was last heard
	versions map[uint64]uint32 // that a member told last
	// forgetful are the members that took back what they had acknowledged: how many
	// refusals said so.
	forgetful map[uint64]uint64
	claim     claim
	inbox     []received
	taken     int // bytes of entries that raft was given since they were last made durable
	many      int // and how many they are
	dropped   uint64
	cramped   cramped
	handover  handover

	// timeMu guards what Time needs: Replica's callers ask from their own goroutines.
	timeMu sync.Mutex
	hours  *hours
	leads  bool
}

type received struct {
	from   uint64
	newest bool
	m      *peerMessage
}

// Receive takes a sealed message from the network, whoever sent it, and owns it. What is not
// of another member to this one, or was taken before, is dropped and counted. The
// work that follows is done by the next Step.
func (n *Node) Receive(message []byte) {
	if n.closed || n.halted != nil {
		return
	}
	o, err := n.sessions.open(message)
	if o.reply != nil {
		n.dispatch(o.from, o.reply)
	}
	if err != nil {
		n.dropped++
		if unread(message, err) {
			n.strangers++
		}
		return
	}
	if o.plain == nil {
		return // a hello
	}
	m, err := decodeMessage(o.plain, o.from, n.base.member)
	if err != nil || len(n.inbox) >= maxInbox {
		n.dropped++
		return
	}
	n.inbox = append(n.inbox, received{o.from, o.newest, m})
}

// unread says whether a message may be one of the group under a secret that this member does
// not have: a hello that nobody made whom it can hear, or what is meant for a run of it that is
// over. Whoever met that run under the new secret says no hello any more, and does not hear ours.
func unread(message []byte, err error) bool {
	return errors.Is(err, errForged) && message[1] == wireHello || errors.Is(err, errForeign) && len(message) > 1 && message[1] == wireSealed
}

func (n *Node) dispatch(to uint64, message []byte) {
	if n.c.Send != nil {
		n.c.Send(to, message)
	}
}

// send seals a message to another member, and says whether it left. What cannot be
// sealed yet is lost, as on any network; so is what is for a member that was removed.
func (n *Node) send(to uint64, m *peerMessage) (left bool, err error) {
	m.reading, m.told, m.version = n.c.Clock(), n.Time(), n.c.Version
	sealed, err := n.sessions.seal(to, m)
	if errors.Is(err, errCrowd) || errors.Is(err, errForeign) {
		return false, nil
	}
	if err != nil || sealed == nil {
		return false, err
	}
	n.dispatch(to, sealed)
	return sealed[1] == wireSealed, nil
}

// meet says hello to the members that are strangers still.
func (n *Node) meet() error {
	if n.ticks%meetTicks != 1 {
		return nil
	}
	for _, members := range [][]uint64{n.store.voters, n.store.learners} {
		for _, to := range members {
			if to == n.base.member {
				continue
			}
			hellos, err := n.sessions.meet(to)
			if err != nil && !errors.Is(err, errCrowd) {
				return err
			}
			for _, hello := range hellos {
				n.dispatch(to, hello)
			}
		}
	}
	return nil
}

// messages works off the inbox.
func (n *Node) messages() error {
	for i, r := range n.inbox {
		n.inbox[i] = received{}
		if n.many > 0 && n.many+len(r.m.raft.GetEntries()) > maxEntries {
			if err := n.process(); err != nil { // or the batch would be one that nobody reads
				return err
			}
		}
		if err := n.take(r); err != nil {
			return err
		}
		if n.taken >= maxTaken {
			if err := n.process(); err != nil {
				return err
			}
		}
	}
	n.inbox = n.inbox[:0]
	return nil
}

func (n *Node) take(r received) error {
	n.heard[r.from] = n.ticks
	if r.newest {
		n.versions[r.from] = r.m.version
		n.reported(r.from, r.m.reading)
	}
	switch {
	case r.m.raft != nil:
		return n.takeRaft(r)
	case r.m.forward != nil:
		return n.takeForward(r.from, r.m.forward)
	case r.m.refused != nil:
		n.takeRefused(r.m.refused.sequence, ErrNotLeader)
	case r.m.because != nil:
		n.takeRefused(r.m.because.sequence, reasons[r.m.because.reason])
	case r.m.request != nil:
		return n.takeRequest(r.from, r.m.request)
	case r.m.chunk != nil:
		return n.takeChunk(r.from, r.m.chunk)
	}
	return nil
}

// takeRaft gives raft what another member's says.
func (n *Node) takeRaft(r received) error {
	m := r.m.raft
	if planted.OldAppend || planted.OldAck || planted.OldVote {
		n.renew(m)
	}
	if err := n.unload(); err != nil {
		return err
	}
	if !n.known(m, r.from) || n.votedFor(m) || !n.fits(m) || n.declines(m) {
		n.dropped++
		n.outranked(m)
		return nil
	}
	if m.GetType() == raftpb.MsgSnap && m.GetTerm() >= n.term && !n.passed(m) {
		n.hold(m)
		return nil
	}
	if err := n.forgot(m); err != nil {
		return err
	}
	n.doubted(m)
	if n.yield(m, r.from); n.takenBack(r) || n.waived(m) {
		return nil
	}
	for _, let := range n.gate.pass(m, n.term, n.committedFor(m)) {
		if err := n.raft.Step(let); err != nil {
			n.dropped++ // raft takes nothing of it
		}
	}
	if m.GetType() == raftpb.MsgAppResp && !m.GetReject() && n.transfers.reached(r.from, m.GetIndex()) {
		// Raft sees by itself that a picture has arrived only if its log still goes on from
		// there; else it would wait for ever for this to be said.
		n.raft.ReportSnapshot(r.from, raft.SnapshotFinish)
	}
	n.taken, n.many = n.taken+entriesSize(m.GetEntries()), n.many+len(m.GetEntries())
	n.notice()
	if r.from == n.lead && m.GetTerm() == n.term {
		if err := n.calm(m.GetType()); err != nil {
			return err
		}
		n.timeMu.Lock()
		n.hours.told(r.from, m.GetTerm(), r.m.told)
		n.timeMu.Unlock()
		return n.heardOf(m)
	}
	return nil
}

// renew is a bug to be planted: what was said in an earlier term is taken for said in this one. (Raft drops it.)
func (n *Node) renew(m *raftpb.Message) {
	t := m.GetType()
	old := planted.OldAppend && t == raftpb.MsgApp || planted.OldAck && t == raftpb.MsgAppResp || planted.OldVote && t == raftpb.MsgVoteResp
	if old && m.GetTerm() > 0 && m.GetTerm() < n.term {
		m.Term = new(n.term)
	}
}

// committedFor is the commit index, for the message that the gate looks at it for.
func (n *Node) committedFor(m *raftpb.Message) uint64 {
	if m.GetType() != raftpb.MsgAppResp {
		return 0
	}
	return n.raft.BasicStatus().HardState.GetCommit()
}

// known refuses what only a member may say. A leader or a candidate may be one of whom this
// member has not heard yet: it was behind when that one was added. Raft itself refuses
// answers of strangers.
//
// Nor does raft see what would stop it: a question with a term or anything else without one, and a transfer
// that is asked of who does not lead, which it would pass on, and may not for its term.
func (n *Node) known(m *raftpb.Message, from uint64) bool {
	if (m.GetTerm() == 0) != (m.GetType() == raftpb.MsgReadIndex) {
		return false
	}
	switch m.GetType() {
	case raftpb.MsgTransferLeader:
		return n.store.member(from) && n.raft.BasicStatus().RaftState == raft.StateLeader
	case raftpb.MsgTimeoutNow, raftpb.MsgReadIndex:
		return n.store.member(from)
	}
	return true
}

// votedFor says whether the candidate has this member's vote in this term already. Raft would give it once
// more. But a candidate asks once in a term, unless it has forgotten that it did (§12): it may have won, and would
// win again, and then its entries of the two times have the same term and are not the same.
func (n *Node) votedFor(m *raftpb.Message) bool {
	h := n.raft.BasicStatus().HardState
	return m.GetType() == raftpb.MsgVote && m.GetTerm() == h.GetTerm() && m.GetFrom() == h.GetVote()
}

// reported takes a member's reading of its clock.
func (n *Node) reported(member, reading uint64) {
	n.timeMu.Lock()
	defer n.timeMu.Unlock()
	n.hours.report(member, reading)
}

// Time returns the quorum's time in milliseconds since 1970 (spec/replication.md
// §13): what a majority's clocks have reached. It never goes back here. 0:
// nothing is known yet.
func (n *Node) Time() uint64 {
	reading := n.c.Clock()
	n.timeMu.Lock()
	defer n.timeMu.Unlock()
	n.hours.report(n.self, reading)
	if n.leads {
		return n.hours.lead(n.self)
	}
	return n.hours.time()
}

// Current says whether Time is what the leader of this term says, or a majority to this
// member as the leader: not before a leader was heard, where it can be as old as
// the last start, or as the moment when this member was cut off.
func (n *Node) Current() bool {
	reading := n.c.Clock()
	n.timeMu.Lock()
	defer n.timeMu.Unlock()
	n.hours.report(n.self, reading)
	return n.hours.current(n.leads)
}

// post sends what raft has to say, now that what it speaks of is durable and anchored. It returns
// to whom a picture could not be offered.
func (n *Node) post(messages []*raftpb.Message) (failed []uint64, err error) {
	for _, m := range messages {
		if m.GetType() == raftpb.MsgSnap && !n.transfers.start(m.GetTo(), m.GetSnapshot()) {
			failed = append(failed, m.GetTo())
			continue
		}
		n.gate.sent(m)
		if m.GetType() == raftpb.MsgVoteResp && !m.GetReject() {
			n.elapsed = 0
		}
		if _, err := n.send(m.GetTo(), &peerMessage{raft: m}); err != nil {
			return nil, err
		}
	}
	return failed, nil
}

func (n *Node) unsent(failed []uint64) {
	for _, to := range failed {
		n.raft.ReportSnapshot(to, raft.SnapshotFailure)
	}
}
