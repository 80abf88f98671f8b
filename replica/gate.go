package replica

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// quorum is how many of n voters must have an entry, or grant a vote, so that
// the group survives r members whose storage was put back (spec/replication.md §12). With r = 0 it is
// raft's majority. It can be more than n: then nothing is decided.
func quorum(n, r int) int {
	m := majority(n)
	return max(m, n-m+r+1)
}

func majority(n int) int { return n/2 + 1 }

// A gate stands in front of raft and makes it need quorum members where it would
// take a majority: it holds votes back until enough were granted, and shows raft of each
// acknowledgement only so much as enough others acknowledged too. Raft itself stays
// as it is. With tolerate 0 everything passes.
type gate struct {
	self     uint64
	voters   []uint64
	tolerate int

	term  uint64
	acks  map[uint64]uint64 // highest index that a member acknowledged in this term
	given map[uint64]uint64 // of these, what raft was shown

	votes map[raftpb.MessageType]*ballot // by type of the answer
}

// A ballot gathers the grants of one election, or of one election before the
// election.
type ballot struct {
	term  uint64
	asked map[uint64]bool
	from  map[uint64]bool   // who granted
	held  []*raftpb.Message // grants that raft was not shown
}

func newGate(self uint64) *gate {
	g := &gate{self: self, votes: map[raftpb.MessageType]*ballot{}}
	g.begin(0)
	return g
}

// begin forgets the acknowledgements of another term.
func (g *gate) begin(term uint64) {
	g.term, g.acks, g.given = term, make(map[uint64]uint64), make(map[uint64]uint64)
}

// members says who votes now, and how many members may lose what they had. It returns
// what raft may see in consequence.
func (g *gate) members(voters []uint64, tolerate int, committed uint64) []*raftpb.Message {
	g.voters, g.tolerate = slices.Sorted(slices.Values(voters)), tolerate
	return g.release(committed)
}

// others is how many other voters must agree with this one.
func (g *gate) others() int { return quorum(len(g.voters), g.tolerate) - 1 }

// votesHere reports whether a member is another voter.
func (g *gate) votesHere(member uint64) bool {
	return member != g.self && slices.Contains(g.voters, member)
}

// sent looks at what raft sends: a vote request begins another election, unless
// it is of the present one, to another voter.
func (g *gate) sent(m *raftpb.Message) {
	answer := raftpb.MsgVoteResp
	switch m.GetType() {
	case raftpb.MsgVote:
	case raftpb.MsgPreVote:
		answer = raftpb.MsgPreVoteResp
	default:
		return
	}
	b := g.votes[answer]
	if b == nil || b.term != m.GetTerm() || b.asked[m.GetTo()] {
		b = &ballot{term: m.GetTerm(), asked: make(map[uint64]bool), from: make(map[uint64]bool)}
		g.votes[answer] = b
	}
	b.asked[m.GetTo()] = true
}

// pass takes one of raft's messages that arrived, and returns what raft may see
// now: nothing, the message, or that and what was held back before. The term is the one
// raft is in, committed its commit index.
func (g *gate) pass(m *raftpb.Message, term, committed uint64) []*raftpb.Message {
	if term != g.term {
		g.begin(term)
	}
	if m.GetReject() {
		return []*raftpb.Message{m}
	}
	switch m.GetType() {
	case raftpb.MsgAppResp:
		if m.GetTerm() == g.term {
			return g.ack(m, committed)
		}
	case raftpb.MsgVoteResp, raftpb.MsgPreVoteResp:
		if g.tolerate > 0 {
			return g.vote(m)
		}
	}
	return []*raftpb.Message{m}
}

// vote holds a grant back until quorum members, with ourselves, granted.
func (g *gate) vote(m *raftpb.Message) []*raftpb.Message {
	b := g.votes[m.GetType()]
	if b == nil || b.term != m.GetTerm() || !g.votesHere(m.GetFrom()) {
		return nil // of another election, or of one who has no vote in it
	}
	if !b.from[m.GetFrom()] {
		b.from[m.GetFrom()] = true
		b.held = append(b.held, m)
	}
	granted := 0
	for _, v := range g.voters {
		if b.from[v] {
			granted++
		}
	}
	if granted < g.others() {
		return nil
	}
	let := b.held
	b.held = nil
	return let
}

// ack notes how far a member's log goes, and shows raft what that allows.
func (g *gate) ack(m *raftpb.Message, committed uint64) []*raftpb.Message {
	from := m.GetFrom()
	g.acks[from] = max(g.acks[from], m.GetIndex())
	if g.tolerate == 0 {
		g.given[from] = max(g.given[from], m.GetIndex())
		return []*raftpb.Message{m}
	}
	shown := min(m.GetIndex(), g.limit(committed))
	g.given[from] = max(g.given[from], shown)
	// Even one that brings nothing new: it tells raft that the member is there.
	first := &raftpb.Message{Type: m.Type, To: m.To, From: m.From, Term: m.Term, Index: new(shown)}
	return append([]*raftpb.Message{first}, g.release(committed)...)
}

// limit is the highest index that, with our own log, enough voters have. What is
// committed already may always be shown; were it not, raft would take a new leader's
// followers for empty, and send them everything.
func (g *gate) limit(committed uint64) uint64 {
	var acks []uint64
	for _, v := range g.voters {
		if v != g.self {
			acks = append(acks, g.acks[v])
		}
	}
	slices.Sort(acks)
	need := g.others()
	switch {
	case need > len(acks):
		return committed
	case need <= 0:
		return ^uint64(0)
	}
	return max(committed, acks[len(acks)-need])
}

// release shows raft what may be shown now of what was held back. A learner's
// acknowledgements do not count, but are held back like the others: it may
// become a voter, and raft then counts what it was shown before.
func (g *gate) release(committed uint64) (let []*raftpb.Message) {
	limit := ^uint64(0)
	if g.tolerate > 0 {
		limit = g.limit(committed)
	}
	for _, member := range sortedKeys(g.acks) {
		if shown := min(g.acks[member], limit); shown > g.given[member] {
			g.given[member] = shown
			let = append(let, &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), To: new(g.self), From: new(member), Term: new(g.term), Index: new(shown)})
		}
	}
	return let
}
