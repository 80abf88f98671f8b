package replica_test

import (
	"testing"

	"keepsake.example/replica"
)

// A member asks the leader where to read, and its process ends before the leader has made sure that it leads. The process
// that takes its place does not take the answer to that question for one to its own, which is younger.
func TestReadAfterARestart(t *testing.T) {
	for size := 3; size <= 5; size += 2 {
		g := grown(t, 1, size)
		g.lead(1)
		g.must(1, 10)
		g.tick(10)
		const reader = 2
		g.crash(reader)
		g.start(reader)
		g.tick(9) // and has met everybody
		for g.seats[reader].node.Status().Leader != 1 || g.seats[reader].node.Status().Applied != g.seats[1].node.Status().Applied {
			g.tick(1)
		}
		// Its question arrives; the leader's heartbeats, and what else it says, do not.
		g.cut = func(from, to uint64) bool { return from == 1 }
		g.seats[reader].node.Read(func(error) {})
		g.step()
		g.crash(reader)
		// An entry is committed between two heartbeats, by the others alone.
		g.cut = func(from, to uint64) bool { return from == reader || to == reader }
		check(t, g.propose(1, 10))
		g.start(reader)
		g.cut = nil
		if size == 3 {
			g.cut = func(from, to uint64) bool { return from > 2 || to > 2 }
		}
		check(t, g.read(reader))
	}
}

// A follower that is far behind is given more small entries in one step than one record may have.
func TestManySmallEntries(t *testing.T) {
	g := newGroup(t, 1)
	g.c = manySmall
	grow(g, 3)
	lead := g.leader().number
	away := g.other(lead)
	g.cut = apart(away)
	left := 0
	for n := range 100_000 {
		left++
		g.seats[lead].node.Propose([]byte{byte(n)}, func(_ any, err error) {
			if left--; err != nil {
				t.Error(err)
			}
		})
		if n%4000 == 3999 {
			g.step()
		}
	}
	g.step()
	g.cut = nil
	g.tick(60)
	if s := g.seats[away].node.Status(); left != 0 || s.Applied != g.seats[lead].node.Status().Applied {
		t.Fatalf("%d are left, and the follower is at %d", left, s.Applied)
	}
	g.crash(away)
	if err := g.tryStart(away); err != nil {
		t.Errorf("a member that nothing happened to does not start: %v", err)
	}
}

func manySmall(c *replica.Config) {
	c.MaxBatch, c.LogFileBytes, c.CheckpointBytes = 4096, 8<<20, 64<<20
}
