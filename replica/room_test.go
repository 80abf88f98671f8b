package replica_test

import (
	"errors"
	"testing"

	"keepsake.example/replica"
)

// disksOf gives every member a disk that is made of its own, in whatever life of it.
func disksOf[D replica.Disk](g *group, of func(*world) D) map[*world]D {
	disks := map[*world]D{}
	g.c = func(c *replica.Config) {
		w := c.Disk.(*world)
		if _, is := disks[w]; !is {
			disks[w] = of(w)
		}
		c.Disk = disks[w]
	}
	return disks
}

// fullDisks gives every member a disk that can be full.
func fullDisks(g *group) map[*world]*fullDisk {
	return disksOf(g, func(w *world) *fullDisk { return &fullDisk{world: w} })
}

// A member without room says so all the time, though it has room for votes at the end of its file, and no more when there is room.
func TestRoomError(t *testing.T) {
	g := newGroup(t, 3)
	disks := fullDisks(g)
	grow(g, 3)
	leader := g.leader()
	follower := g.seats[g.other(leader.number)]
	leave(g, leader, follower, 300)
	disks[follower.w].full = true
	g.must(leader.number, 1000)
	g.tick(4)
	g.cut = func(from, _ uint64) bool { return from == follower.number } // so that only heartbeats come
	for range 60 {
		g.tick(1)
		err := follower.node.Status().RoomError
		if !errors.Is(err, replica.ErrNoSpace) || !errors.Is(err, errFull) {
			t.Fatalf("a full disk: %v", err)
		}
	}
	if err := leader.node.Status().RoomError; err != nil {
		t.Errorf("the leader, which has room: %v", err)
	}
	g.cut, disks[follower.w].full = nil, false
	g.tick(4) // the leader tries again
	if err := follower.node.Status().RoomError; err != nil {
		t.Errorf("there is room again: %v", err)
	}
	g.agree()
}

// The same of proposals, which may never come again.
func TestRoomErrorOfProposals(t *testing.T) {
	g := newGroup(t, 3)
	disks := fullDisks(g)
	g.found()
	s := g.seats[1]
	disks[s.w].full = true
	if err := g.propose(1, 5000); !errors.Is(err, replica.ErrNoSpace) {
		t.Fatalf("a proposal: %v", err)
	}
	g.tick(50)
	if err := s.node.Status().RoomError; !errors.Is(err, errFull) {
		t.Errorf("a full disk: %v", err)
	}
	disks[s.w].full = false
	g.tick(20)
	if err := s.node.Status().RoomError; err != nil {
		t.Errorf("there is room again: %v", err)
	}
}
