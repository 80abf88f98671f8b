package replica_test

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"keepsake.example/replica"
)

// behind is a group of three whose member 3 was away for so long that it must have
// a picture; the network is whole again.
func behind(t testing.TB, seed uint64) *group {
	t.Helper()
	return behindBy(t, grown(t, seed, 3), 3, 200, 1, 2)
}

// behindBy lets a group of three leave member 3 behind by three checkpoints of some members, with so many entries of a
// size before each.
func behindBy(t testing.TB, g *group, entries, size int, members ...uint64) *group {
	t.Helper()
	g.cut = apart(3)
	for range 3 {
		for range entries {
			g.must(1, size)
		}
		for _, n := range members {
			done := false
			g.seats[n].node.Checkpoint(func(err error) { check(t, err); done = true })
			g.tick(20)
			if !done {
				t.Fatal("no checkpoint")
			}
		}
	}
	g.cut = nil
	return g
}

// The power goes at any step while a picture is fetched and installed: the member
// starts again where it was, or where the picture is, and is then given the rest.
func TestPowerGoesWhileCatchingUp(t *testing.T) {
	stages := map[string]int{}
	for k := 1; ; k++ {
		g := behind(t, uint64(k))
		s := g.seats[3]
		before := s.node.Status()
		s.w.mu.Lock()
		s.w.step, s.w.limit, s.w.fault = 0, k, errPower
		s.w.mu.Unlock()
		g.tick(60)
		if s.w.step < k { // all steps are done
			if s.node.Status().Applied <= before.Last {
				t.Fatal("does not catch up at all")
			}
			break
		}
		g.crash(3)
		g.start(3)
		switch now := s.node.Status(); {
		case now.Checkpoint == before.Checkpoint && now.Last == before.Last:
			stages["old"]++
		case now.Checkpoint > before.Last:
			stages["new"]++
		default:
			t.Fatalf("step %d: came back as %+v from %+v", k, now, before)
		}
		g.tick(60)
		g.must(1, 10)
		g.tick(5)
		g.agree()
	}
	if stages["old"] == 0 || stages["new"] == 0 {
		t.Errorf("came back in %v", stages)
	}
}

// A picture is fetched over a network that shuffles and doubles, while proposals go on, and the leader
// changes in the middle.
func TestCatchUpWhileTheLeaderChanges(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := behind(t, seed)
			g.shuffle, g.double = true, true
			g.seats[3].manual = seed%2 == 0 // what it does in the background waits
			g.tick(int(1 + seed))
			g.seats[1].node.TransferLeadership(2)
			for range 5 {
				g.must(2, 10)
				g.tick(3)
			}
			s := g.seats[3]
			s.manual = false
			for _, part := range s.later {
				part()
			}
			s.later = nil
			g.tick(150)
			g.must(2, 10)
			g.tick(5)
			g.agree()
			if st := s.node.Status(); st.Checkpoint == 0 {
				t.Errorf("no picture: %+v", st)
			}
		})
	}
}

// A picture that is taken over when nobody is known to lead any more does not make a leader of who sent it: it may
// not lead in this term (seed 558654 of the simulator).
func TestPictureTakenOverWithoutALeader(t *testing.T) {
	g := behind(t, 1)
	s := g.seats[3]
	s.manual = true
	for range 40 {
		if g.tick(1); len(s.later) > 0 && s.node.Status().Leader != 0 {
			break
		}
	}
	if len(s.later) == 0 {
		t.Fatal("no picture came")
	}
	g.cut = apart(3)
	g.tick(12)
	if l := s.node.Status().Leader; l != 0 {
		t.Fatalf("%d still leads for who hears nobody", l)
	}
	before := s.node.Status().Applied
	for _, part := range s.later {
		part()
	}
	s.later, s.manual = nil, false
	g.step()
	if now := s.node.Status(); now.Applied <= before || now.Leader != 0 {
		t.Errorf("at %d after %d, led by %d", now.Applied, before, now.Leader)
	}
	g.cut = nil
	g.settled()
}

// What would stop raft does not reach it.
func TestMessagesThatWouldStopRaft(t *testing.T) {
	for _, kind := range []raftpb.MessageType{
		raftpb.MsgTransferLeader, raftpb.MsgReadIndex, raftpb.MsgVote, raftpb.MsgPreVote, raftpb.MsgVoteResp, raftpb.MsgPreVoteResp, raftpb.MsgHeartbeat, raftpb.MsgTimeoutNow,
		raftpb.MsgReadIndexResp, raftpb.MsgAppResp, raftpb.MsgHeartbeatResp, raftpb.MsgApp,
	} {
		g := grown(t, 1, 3)
		g.lead(1)
		for _, back := range []uint64{1000, 1, 0} { // an empty term, the one before, and this one
			for to := uint64(2); to >= 1; to-- {
				term := g.seats[to].node.Status().Term
				check(t, replica.Say(g.seats[3].node, to, kind, term-min(term, back)))
				g.step()
			}
		}
		if t.Failed() {
			t.Fatal(kind)
		}
		g.settled()
	}
}
