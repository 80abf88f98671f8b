package replica

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"
)

// spec/replication.md §12: what the number is good for, for every small group, by
// looking at all sets of members instead of at sums.
func TestQuorumArithmetic(t *testing.T) {
	for n := 1; n <= 8; n++ {
		if quorum(n, 0) != majority(n) {
			t.Errorf("n=%d: without tolerance %d, want raft's majority", n, quorum(n, 0))
		}
		for r := 0; r <= 2; r++ {
			q := quorum(n, r)
			if q > n {
				continue // nothing is decided at all
			}
			leastMeeting(t, fmt.Sprintf("n=%d r=%d: an election misses a committed entry", n, r), n, q, q, r)
			leastMeeting(t, fmt.Sprintf("n=%d r=%d: two leaders in a term, or a read by a deposed one", n, r), n, q, majority(n), r)
			// One member more or less at a time, and more tolerance later: what was committed
			// before is met by elections after, and the other way round.
			if n < 8 && quorum(n+1, r) <= n+1 {
				leastMeeting(t, fmt.Sprintf("n=%d to %d, r=%d", n, n+1, r), n+1, q, quorum(n+1, r), r)
			}
			for more := r; more <= 2; more++ {
				if quorum(n, more) <= n {
					leastMeeting(t, fmt.Sprintf("n=%d, r=%d to %d", n, r, more), n, q, quorum(n, more), more)
				}
			}
			if q > majority(n) && meeting(n, q-1, q-1) > r && meeting(n, q-1, majority(n)) > r {
				t.Errorf("n=%d r=%d: %d would do instead of %d", n, r, q-1, q)
			}
		}
	}
}

// leastMeeting fails unless every a members of n share more than r with every b members.
func leastMeeting(t *testing.T, what string, n, a, b, r int) {
	t.Helper()
	if got := meeting(n, a, b); got <= r {
		t.Errorf("%s: %d and %d of %d can have only %d in common", what, a, b, n, got)
	}
}

func meeting(n, a, b int) int {
	least := n
	for x := range 1 << n {
		for y := range 1 << n {
			if bits.OnesCount(uint(x)) == a && bits.OnesCount(uint(y)) == b {
				least = min(least, bits.OnesCount(uint(x&y)))
			}
		}
	}
	return least
}

// What operators choose from.
func TestQuorumTable(t *testing.T) {
	for _, tt := range []struct{ n, r, q int }{{3, 0, 2}, {5, 0, 3}, {7, 0, 4}, {3, 1, 3}, {5, 1, 4}, {7, 1, 5}, {7, 2, 6}, {5, 2, 5}, {4, 1, 3}, {6, 1, 4}, {3, 2, 4}} {
		if got := quorum(tt.n, tt.r); got != tt.q {
			t.Errorf("n=%d, r=%d: %d, want %d", tt.n, tt.r, got, tt.q)
		}
	}
}

func voters(n int) (v []uint64) {
	for i := range n {
		v = append(v, uint64(i+1))
	}
	return v
}

func answer(kind raftpb.MessageType, from, term, index uint64) *raftpb.Message {
	return &raftpb.Message{Type: kind.Enum(), From: new(from), To: new(uint64(1)), Term: new(term), Index: new(index)}
}

// shown is what a gate lets through, as "from:index".
func shown(let []*raftpb.Message) (s []string) {
	for _, m := range let {
		s = append(s, fmt.Sprintf("%d:%d", m.GetFrom(), m.GetIndex()))
	}
	return s
}

func want(t testing.TB, what string, let []*raftpb.Message, s ...string) {
	t.Helper()
	if !slices.Equal(shown(let), s) {
		t.Errorf("%s: raft sees %v, want %v", what, shown(let), s)
	}
}

// Grants come to raft when enough are there, each once, and only of voters and of
// this election; a refusal comes at once.
func TestGateHoldsVotesBack(t *testing.T) {
	for _, kind := range []struct{ ask, answer raftpb.MessageType }{{raftpb.MsgVote, raftpb.MsgVoteResp}, {raftpb.MsgPreVote, raftpb.MsgPreVoteResp}} {
		g := newGate(1)
		g.members(voters(5), 1, 0) // 4 of 5
		election := func(term uint64) {
			for _, v := range voters(5)[1:] {
				request := answer(kind.ask, 1, term, 0)
				request.To = new(v)
				g.sent(request)
			}
		}
		grant := func(from, term uint64) []*raftpb.Message { return g.pass(answer(kind.answer, from, term, 0), 6, 0) }
		want(t, "a vote that nobody asked for", grant(2, 7))
		election(7)
		want(t, "first", grant(2, 7))
		want(t, "the same again", grant(2, 7))
		want(t, "a learner", grant(9, 7))
		want(t, "of an earlier election", grant(3, 6))
		refusal := answer(kind.answer, 5, 7, 0)
		refusal.Reject = new(true)
		want(t, "refusal", g.pass(refusal, 6, 0), "5:0")
		want(t, "second", grant(4, 7))
		want(t, "third", grant(3, 7), "2:0", "4:0", "3:0")
		want(t, "fourth", grant(5, 7), "5:0")
		election(7) // comes again only where the term is not used up
		want(t, "the election again", grant(2, 7))
		want(t, "its second", grant(3, 7))
		want(t, "its third", grant(4, 7), "2:0", "3:0", "4:0")
		election(8)
		want(t, "the next one", grant(2, 8))
		want(t, "of the one before", grant(3, 7))
		want(t, "its second", grant(4, 8))
		want(t, "its third", grant(5, 8), "2:0", "4:0", "5:0")
	}
}

// An acknowledgement shows raft no more than enough others have; the rest follows
// when they do. A learner's neither counts nor passes first.
func TestGateCapsAcknowledgements(t *testing.T) {
	g := newGate(1)
	want(t, "members", g.members(voters(5), 1, 10)) // 4 of 5: three others
	ack := func(from, index uint64) []*raftpb.Message {
		return g.pass(answer(raftpb.MsgAppResp, from, 3, index), 3, 10)
	}
	want(t, "behind what is committed", ack(5, 7), "5:7")
	want(t, "first", ack(2, 20), "2:10")
	want(t, "second", ack(3, 15), "3:10")
	want(t, "a learner", ack(9, 20), "9:10")
	want(t, "third", ack(4, 12), "4:12", "2:12", "3:12", "9:12")
	want(t, "third goes on", ack(4, 30), "4:15", "2:15", "3:15", "9:15")
	want(t, "nothing new is still a sign", ack(4, 30), "4:15")
	want(t, "the fifth", ack(5, 18), "5:18", "2:18", "4:18", "9:18")
	want(t, "another term's", g.pass(answer(raftpb.MsgAppResp, 2, 2, 99), 3, 10), "2:99") // raft drops it
	want(t, "fewer members need fewer", g.members(voters(4), 1, 18), "2:20", "4:20", "9:20")
	want(t, "another term: nothing is left", g.pass(answer(raftpb.MsgAppResp, 2, 4, 40), 4, 20), "2:20")
	refusal := answer(raftpb.MsgAppResp, 2, 4, 40)
	refusal.Reject = new(true)
	want(t, "a refusal", g.pass(refusal, 4, 20), "2:40")
	want(t, "a heartbeat", g.pass(answer(raftpb.MsgHeartbeatResp, 2, 4, 0), 4, 20), "2:0")
}

// A learner that is promoted brings raft nothing that too few have.
func TestGateAndPromotedLearner(t *testing.T) {
	g := newGate(1)
	g.members(voters(2), 1, 5)
	want(t, "learner", g.pass(answer(raftpb.MsgAppResp, 3, 1, 100), 1, 5), "3:5")
	want(t, "promoted", g.members(voters(3), 1, 5)) // 3 of 3
	want(t, "the other voter", g.pass(answer(raftpb.MsgAppResp, 2, 1, 50), 1, 5), "2:50", "3:50")
}

// Tolerance that is raised counts for what is acknowledged from then on, and knows
// what was acknowledged before.
func TestGateToleranceRaised(t *testing.T) {
	g := newGate(1)
	g.members(voters(5), 0, 5)
	want(t, "without", g.pass(answer(raftpb.MsgAppResp, 2, 1, 100), 1, 5), "2:100")
	want(t, "raised", g.members(voters(5), 1, 5))
	want(t, "second", g.pass(answer(raftpb.MsgAppResp, 3, 1, 100), 1, 5), "3:5")
	want(t, "third", g.pass(answer(raftpb.MsgAppResp, 4, 1, 90), 1, 5), "4:90", "3:90")
}

// With no tolerance every message passes as it is.
func TestGateWithoutTolerance(t *testing.T) {
	g := newGate(1)
	want(t, "members", g.members(voters(5), 0, 0))
	for kind := range travels {
		m := answer(kind, 2, 5, 9)
		if let := g.pass(m, 5, 0); len(let) != 1 || let[0] != m {
			t.Errorf("%v: %v", kind, let)
		}
	}
}

// A group too small for its tolerance decides nothing.
func TestGateImpossible(t *testing.T) {
	g := newGate(1)
	g.members(voters(3), 2, 5)
	for _, v := range []uint64{2, 3} {
		want(t, "ack", g.pass(answer(raftpb.MsgAppResp, v, 1, 100), 1, 5), fmt.Sprintf("%d:5", v))
	}
}

// A model of what raft commits: the m-th highest of its own end and what it was shown. It never passes
// what a quorum has, gets there in the end, and nobody's progress goes back. Members come
// and go one at a time.
func TestGateProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		g := newGate(1)
		n, tolerate := rapid.IntRange(2, 7).Draw(r, "voters"), rapid.IntRange(1, 2).Draw(r, "tolerate")
		w := &gateModel{r: r, end: 1000, has: map[uint64]uint64{}, match: map[uint64]uint64{}}
		w.look(n, tolerate, g.members(voters(n), tolerate, 0))
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			if rapid.IntRange(0, 9).Draw(r, "kind") == 0 {
				n = min(max(n+rapid.SampledFrom([]int{-1, 1}).Draw(r, "change"), 2), 7)
				w.look(n, tolerate, g.members(voters(n), tolerate, w.committed))
				continue
			}
			from := uint64(rapid.IntRange(2, 8).Draw(r, "from"))
			w.has[from] = max(w.has[from], rapid.Uint64Range(0, w.end).Draw(r, "index"))
			w.look(n, tolerate, g.pass(answer(raftpb.MsgAppResp, from, 1, w.has[from]), 1, w.committed))
		}
		for from := uint64(2); from <= 8; from++ {
			w.has[from] = w.end
			w.look(n, tolerate, g.pass(answer(raftpb.MsgAppResp, from, 1, w.end), 1, w.committed))
		}
		if quorum(n, tolerate) <= n && w.committed != w.end {
			r.Fatalf("all have %d, and %d are committed", w.end, w.committed)
		}
	})
}

type gateModel struct {
	r              *rapid.T
	end, committed uint64
	has, match     map[uint64]uint64
}

func (w *gateModel) look(n, tolerate int, let []*raftpb.Message) {
	for _, m := range let {
		w.match[m.GetFrom()] = max(w.match[m.GetFrom()], m.GetIndex())
	}
	marks, holders := []uint64{w.end}, func(index uint64) (count int) {
		for _, v := range voters(n) {
			if v == 1 || w.has[v] >= index {
				count++
			}
		}
		return count
	}
	for _, v := range voters(n)[1:] {
		marks = append(marks, w.match[v])
	}
	slices.Sort(marks)
	if c := marks[len(marks)-majority(n)]; c > w.committed {
		if holders(c) < quorum(n, tolerate) {
			w.r.Fatalf("%d is committed with %d of %d", c, holders(c), n)
		}
		w.committed = c
	}
}
