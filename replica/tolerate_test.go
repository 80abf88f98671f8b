package replica_test

import (
	"errors"
	"testing"

	"keepsake.example/replica"
)

// Tolerate is one more for each change "tolerate", which else changes nothing.
func (m *toy) Tolerate() (r int) {
	for _, e := range m.entries {
		if e == "tolerate" {
			r++
		}
	}
	return r
}

// tolerant is a group of five that survives that r of them lose what they had.
func tolerant(t testing.TB, seed uint64, r int) *group {
	t.Helper()
	g := grown(t, seed, 5)
	for range r {
		g.seats[1].node.Change([]byte("tolerate"), func(_ any, err error) { check(t, err) })
		g.tick(10)
	}
	return g
}

// away cuts members off from all others.
func (g *group) away(members ...uint64) {
	gone := map[uint64]bool{}
	for _, m := range members {
		gone[m] = true
	}
	g.cut = func(from, to uint64) bool { return gone[from] || gone[to] }
}

// putBack gives a member its disk and its anchor as they were in an image: what no anchor
// that is worth its name lets happen.
func (g *group) putBack(number uint64, image *world) {
	g.t.Helper()
	g.seats[number].w = image
	g.start(number)
}

// lost says whether something acknowledged is missing at a member.
func (g *group) lost(number uint64) bool {
	there := map[string]bool{}
	for _, e := range g.seats[number].node.Peek().(*toy).entries {
		there[e] = true
	}
	for e := range g.acknowledged {
		if !there[e] {
			return true
		}
	}
	return false
}

// Of five with r = 1, four must have an entry, and one may be away.
func TestToleranceNeedsMore(t *testing.T) {
	g := tolerant(t, 1, 1)
	leader := g.leader().number
	others := []uint64{leader%5 + 1, (leader+1)%5 + 1}
	g.away(others[0])
	check(t, g.propose(leader, 10))
	g.away(others...)
	if err := g.propose(leader, 10); !errors.Is(err, replica.ErrUnknown) {
		t.Errorf("three of five acknowledged: %v", err)
	}
	g.away(others[0])
	g.must(g.leader().number, 10)
	g.cut = nil
	g.tick(60)
	g.agree()
}

// A member whose disk and anchor were put back votes as if it had never seen an
// entry. With r = 1 that loses nothing, whichever other member is away; without, an
// acknowledged entry is lost.
func TestToleranceOfAMemberPutBack(t *testing.T) {
	for seed := range uint64(4) {
		g := tolerant(t, seed, 1)
		leader := g.leader().number
		victim, absent := leader%5+1, (leader+2)%5+1
		image := g.seats[victim].w.image()
		g.away(absent)
		check(t, g.propose(leader, 10))
		g.tick(3)
		g.away(leader) // which would see it go back, and make it halt
		g.putBack(victim, image)
		g.tick(60) // the old one gives up
		next := g.leader()
		g.cut = nil
		g.tick(60)
		g.must(g.leader().number, 10)
		g.tick(10)
		g.agree()
		if next.number == victim {
			t.Error("the one that was put back leads")
		}
	}
}

func TestWithoutToleranceAMemberPutBackLoses(t *testing.T) {
	g := tolerant(t, 1, 0)
	leader := g.leader().number
	victim, keeper := leader%5+1, (leader+1)%5+1
	image := g.seats[victim].w.image()
	g.away((leader+2)%5+1, (leader+3)%5+1)
	check(t, g.propose(leader, 10))
	g.away(leader, keeper)
	g.putBack(victim, image)
	for range 400 {
		g.tick(1)
		for n, s := range g.seats {
			if n != leader && n != keeper && s.node.Status().Role == "leader" {
				if !g.lost(n) {
					t.Error("nothing is lost: the tests of tolerance show nothing")
				}
				return
			}
		}
	}
	t.Fatal("no leader")
}

// A leader is put back to before it was elected, and stands again in the term in which it has led: who voted for it does not
// do so again. It would lead twice in one term, with other entries at the same places (seed 352810 of the simulator).
func TestVoteIsGivenOnce(t *testing.T) {
	for seed := range uint64(4) {
		g := tolerant(t, seed, 1)
		g.settled()
		old := g.leader()
		victim, heard := old.number%5+1, (old.number+1)%5+1
		image, term := g.seats[victim].w.image(), old.node.Status().Term+1
		leads := func() bool {
			s := g.seats[victim].node.Status()
			return s.Role == "leader" && s.Term == term
		}
		g.cut = func(from, to uint64) bool { return from == victim && to != heard && leads() }
		old.node.TransferLeadership(victim)
		g.step()
		if !leads() {
			t.Fatal("was not elected: the test shows nothing")
		}
		g.seats[victim].node.Propose([]byte("of the first time"), func(any, error) {})
		g.step()
		g.away(heard)
		g.putBack(victim, image)
		stood := false
		for range 30 { // nobody else becomes impatient
			g.seats[victim].node.Tick()
			g.step()
			s := g.seats[victim].node.Status()
			stood = stood || s.Role == "candidate" && s.Term == term
			if leads() {
				t.Errorf("seed %d: leads twice in term %d", seed, term)
				g.seats[victim].node.Propose([]byte("of the second time"), func(any, error) {})
				g.step()
			}
		}
		if !stood && !t.Failed() {
			t.Error("did not stand again in that term: the test shows nothing")
		}
		g.cut = nil
		g.tick(60)
		g.must(g.leader().number, 10)
		g.settled()
	}
}
