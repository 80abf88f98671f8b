package replica_test

import (
	"errors"
	"testing"

	"keepsake.example/replica"
)

// ticksUntil counts the ticks until a proposal at a member is answered.
func (g *group) ticksUntil(number uint64) (ticks int, err error) {
	g.t.Helper()
	known := false
	g.seats[number].node.Propose([]byte("waits"), func(_ any, got error) { known, err = true, got })
	g.step()
	for ; !known && ticks < 200; ticks++ {
		g.tick(1)
	}
	return ticks, err
}

// Who waits hears that nobody knows as soon as the leader is lost, and not when a
// patience ends.
func TestUnknownAtOnce(t *testing.T) {
	g := grown(t, 1, 3)
	lead := g.leader().number
	follower := g.other(lead)
	g.tick(3)
	g.cut = apart(lead)
	if ticks, err := g.ticksUntil(follower); !errors.Is(err, replica.ErrUnknown) || ticks > 10 {
		t.Errorf("at a follower: %v after %d ticks", err, ticks)
	}
	g.settled()
	lead = g.leader().number
	g.tick(3)
	g.cut = apart(lead)
	if ticks, err := g.ticksUntil(lead); !errors.Is(err, replica.ErrUnknown) || ticks > 18 {
		t.Errorf("at the leader: %v after %d ticks", err, ticks)
	}
	if ticks, err := g.ticksUntil(lead); !errors.Is(err, replica.ErrNotLeader) || ticks > 0 {
		t.Errorf("without a leader: %v after %d ticks", err, ticks)
	}
	g.settled()
}

// A message to the leader that is lost is given up in time.
func TestForwardIsLost(t *testing.T) {
	g := grown(t, 2, 3)
	lead := g.leader().number
	follower := g.other(lead)
	lost := false
	g.cut = func(from, to uint64) bool {
		cut := from == follower && !lost
		lost = lost || cut
		return cut
	}
	if ticks, err := g.ticksUntil(follower); !lost || !errors.Is(err, replica.ErrUnknown) || ticks > 41 {
		t.Errorf("%v after %d ticks", err, ticks)
	}
	g.settled()
}

// Whoever forwards a proposal hears why the leader refuses it, where that says what to do: to wait,
// or that it is pointless.
func TestForwarderHearsWhy(t *testing.T) {
	g := newGroup(t, 5)
	g.c = func(c *replica.Config) { c.MaxQueue = 1 }
	grow(g, 3)
	g.lead(1)
	heard := map[uint64]error{}
	for _, n := range []uint64{2, 3} { // the leader's queue has room for one
		g.seats[n].node.Propose([]byte("two at a time"), func(_ any, err error) { heard[n] = err })
	}
	g.tick(3)
	if err := errors.Join(heard[2], heard[3]); len(heard) != 2 || heard[2] == heard[3] || !errors.Is(err, replica.ErrFull) || errors.Is(err, replica.ErrNotLeader) {
		t.Errorf("a full leader: %v", heard)
	}
	g.cut = apart(1) // what it proposes now stays under way
	g.seats[1].node.Change([]byte("add 4"), func(any, error) {})
	g.step()
	g.cut = nil
	pending := error(nil)
	g.seats[2].node.Change([]byte("add 5"), func(_ any, err error) { pending = err })
	g.tick(1)
	if !errors.Is(pending, replica.ErrPending) {
		t.Errorf("a second change: %v", pending)
	}
	g.settled()
}

// What an earlier life of a member proposed answers nobody in the present one.
func TestEarlierLife(t *testing.T) {
	g := newGroup(t, 3)
	g.c = func(c *replica.Config) {
		c.NewMachine = func() replica.Machine { return &noting{note: func(string) {}} }
	}
	g.found()
	for _, text := range []string{"add 2", "add 3"} {
		g.change(1, text)
		g.join(uint64(text[4] - '0'))
		g.tick(30)
	}
	g.change(1, "promote 2")
	g.crash(1)
	g.start(1)
	g.leader()
	g.seats[1].node.TransferLeadership(1)
	g.tick(10)
	g.cut = apart(1)
	for range 300 {
		g.seats[1].node.Propose([]byte("earlier"), func(any, error) {})
	}
	g.step() // in the log of member 1, and committed by nobody
	g.crash(1)
	g.cut = nil
	g.start(1)
	answers := 0
	var insist func(any, error)
	insist = func(effect any, err error) {
		if err != nil {
			g.seats[1].node.Propose([]byte("later"), insist)
			return
		}
		answers++
		if effect != "later" {
			t.Errorf("told %v", effect)
		}
	}
	for range 5 {
		g.seats[1].node.Propose([]byte("later"), insist)
	}
	g.seats[2].node.TransferLeadership(1)
	g.tick(60)
	if answers != 5 {
		t.Errorf("%d answers", answers)
	}
}

// A vote is kept over a restart, or a member could elect two leaders in one term.
func TestVoteIsKept(t *testing.T) {
	g := grown(t, 4, 3)
	g.crash(g.leader().number)
	g.leader()
	kept := 0
	for _, n := range g.numbers() {
		s := g.seats[n]
		if s.node == nil {
			continue
		}
		term, vote := replica.Vote(s.node)
		g.crash(n)
		g.start(n)
		if again, same := replica.Vote(g.seats[n].node); again != term || same != vote {
			t.Errorf("member %d voted for %d in term %d, and after a crash for %d in %d", n, vote, term, same, again)
		}
		if vote != 0 {
			kept++
		}
	}
	if kept < 2 {
		t.Errorf("%d votes", kept)
	}
}

// A fourth of the questions, and of the answers, are lost: reads are answered all the same.
func TestReadsAreAskedAgain(t *testing.T) {
	g := grown(t, 5, 3)
	lead := g.leader().number
	follower := g.other(lead)
	for range 20 {
		g.cut = func(from, to uint64) bool { return (from == follower || to == follower) && g.random.IntN(4) == 0 }
		if err := g.read(follower); err != nil {
			t.Error(err)
		}
		g.cut = nil
		g.tick(10)
		g.must(lead, 10)
	}
}
