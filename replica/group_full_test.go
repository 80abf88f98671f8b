package replica_test

import (
	"fmt"
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

// A message for which there is no room is dropped, and leaves to the ones taken before it, which are not on the disk yet, the room that was made for them. (Seed 89226 of
// the simulator: a try to begin a longer file gave up the one that had it.)
func TestFullBetweenTwoMessages(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) { fullBetween(t, late) })
	}
}

func fullBetween(t *testing.T, late bool) {
	g := newGroup(t, 5)
	disks := map[*world]*fullDisk{}
	g.c = func(c *replica.Config) {
		w := c.Disk.(*world)
		if disks[w] == nil {
			disks[w] = &fullDisk{world: w, late: late}
		}
		c.Disk = disks[w]
	}
	grow(g, 3)
	one := 0
	for room := int64(200); room < 800; room += 10 {
		leader := g.leader()
		follower := g.seats[g.other(leader.number)]
		leave(g, leader, follower, room)
		g.tick(1)
		disks[follower.w].full = true
		before := follower.node.Status().Last
		for _, text := range []string{"one", "two"} {
			leader.node.Propose(fmt.Appendf(nil, "%s %0100d", text, room), func(any, error) {})
			g.work(leader)
		}
		g.deliver()
		g.work(follower)
		if follower.err == nil && follower.node.Status().Last == before+1 {
			one++
		}
		g.step()
		disks[follower.w].full = false
		g.crash(follower.number)
		g.start(follower.number)
		g.settled()
		if t.Failed() {
			t.Fatalf("with %d bytes left", room)
		}
	}
	if one == 0 {
		t.Error("the second of two messages never found the disk full: the test shows nothing")
	}
}
