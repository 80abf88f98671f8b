package replica_test

import (
	"testing"

	"keepsake.example/replica"
)

// Whoever wins an election puts an entry of its own into the log. On a disk that is full
// then, whatever is left of the log file must be enough for it, or the member must not
// stand. (Seed 21035 of the simulator: there was room for the vote and not for the entry.)
func TestElectedOnAFullDisk(t *testing.T) {
	g := newGroup(t, 3)
	disks := map[*world]*fullDisk{}
	g.c = func(c *replica.Config) {
		w := c.Disk.(*world)
		if disks[w] == nil {
			disks[w] = &fullDisk{world: w}
		}
		c.Disk = disks[w]
	}
	grow(g, 3)
	elected := 0
	for room := int64(200); room < 500; room += 5 {
		was := g.leader()
		next := g.seats[g.other(was.number)]
		leave(g, was, next, room)
		disks[next.w].full = true
		was.node.TransferLeadership(next.number)
		g.tick(3)
		if next.err == nil && next.node.Status().Role == "leader" {
			elected++
		}
		disks[next.w].full = false
		g.settled()
		if t.Failed() {
			t.Fatalf("with %d bytes left", room)
		}
	}
	if elected == 0 || elected == 60 {
		t.Errorf("%d of 60 were elected: the test shows nothing", elected)
	}
}

// leave fills a member's log file but for some bytes, or one or two less: the names of entries grow.
func leave(g *group, leader, s *seat, room int64) {
	g.t.Helper()
	const small = 10
	before := replica.LogRoom(s.node)
	for {
		g.must(leader.number, small)
		now := replica.LogRoom(s.node)
		over := before - now // of a small entry
		if over > 0 && now >= room+over {
			g.must(leader.number, small+int(now-room-over))
			break
		}
		before = now
	}
	if got := replica.LogRoom(s.node); got > room || got < room-2 {
		g.t.Fatalf("%d bytes are left, want %d", got, room)
	}
}
