package replica_test

import (
	"fmt"
	"testing"
)

// A toll counts the chunks that reach member 3 of a group, and cuts it off when some have.
type toll struct {
	g             *group
	chunks, until int
}

const (
	chunkBytes = 200 << 10 // at least, of the last one too
	tollAt     = 4         // of the chunks of a picture
	tollOf     = 7         // they are
)

// halfway is a group of three whose member 3 has a part of a picture, and is cut off. Of the others the log is cut
// short where they made checkpoints.
func halfway(t testing.TB, g *group, checkpoints ...uint64) *toll {
	t.Helper()
	l := &toll{g: behindBy(t, g, 10, 60000, checkpoints...), until: tollAt}
	g.listen = func(p packet) {
		if p.to != 3 || len(p.data) < chunkBytes || g.cut != nil && g.cut(p.from, p.to) {
			return
		}
		if l.chunks == l.until {
			g.cut, l.until = apart(3), -1
			return
		}
		l.chunks++
	}
	for range 60 {
		if g.tick(1); g.cut != nil {
			return l
		}
	}
	t.Fatal("member 3 fetches nothing")
	return nil
}

// whole lets time pass on a network that is whole again, until member 3 has what the others have, and checks how many
// chunks reached it in all.
func (l *toll) whole(chunks int) {
	l.g.t.Helper()
	l.g.cut = nil
	l.g.tick(100)
	l.g.must(1, 10)
	l.g.tick(10)
	l.g.agree()
	if l.chunks != chunks {
		l.g.t.Errorf("%d chunks came, not %d", l.chunks, chunks)
	}
}

// A link that breaks in the middle of a picture costs nothing of what came over it: for two seconds, for six and a half,
// for a minute, for nearly five.
func TestFetchGoesOnAfterACut(t *testing.T) {
	for _, ticks := range []int{40, 130, 1200, 5900} {
		t.Run(fmt.Sprint(ticks), func(t *testing.T) {
			l := halfway(t, grown(t, 1, 3), 1, 2)
			l.g.tick(ticks)
			l.whole(tollOf)
		})
	}
}

// Nor does it where the leader loses its majority by that, and leads no more for a while: of three members one
// is down, and who fetches is the other.
func TestFetchGoesOnWhenTheLeaderLeadsAgain(t *testing.T) {
	l := halfway(t, grown(t, 2, 3), 1, 2)
	g := l.g
	g.crash(2)
	g.tick(130)
	if st := g.seats[1].node.Status(); st.Role == "leader" {
		t.Fatal("it leads on, and the test shows nothing")
	}
	if open := g.seats[1].w.open.Load(); open != 1 {
		t.Errorf("%d pictures are kept", open)
	}
	g.cut = nil
	g.tick(100)
	g.start(2)
	l.whole(tollOf)
}

// Another leader's picture is the same bytes if nothing was changed meanwhile: what came is a part of it. Else all
// comes anew.
func TestFetchWhenTheLeaderChanges(t *testing.T) {
	for changed, want := range map[bool]int{false: tollOf, true: tollAt + tollOf} {
		t.Run(fmt.Sprint(changed), func(t *testing.T) {
			l := halfway(t, grown(t, 3, 3), 1, 2)
			g := l.g
			g.seats[1].node.TransferLeadership(2)
			g.tick(20)
			g.crash(1)
			g.start(1)
			if changed {
				g.must(2, 10)
			}
			if lead := g.leader().number; lead != 2 {
				t.Fatalf("member %d leads", lead)
			}
			l.whole(want)
		})
	}
}

// Who starts again begins anew, with the picture that there is: its file was without a name, and its key in memory only.
func TestFetchAfterARestart(t *testing.T) {
	l := halfway(t, grown(t, 4, 3), 1, 2)
	l.g.crash(3)
	l.g.start(3)
	l.whole(tollAt + tollOf)
}

// The secret before serves a member that is away from its picture, as it does one that fetches: under the new one alone it
// would hear nobody.
func TestSecretWaitsForWhoComesBack(t *testing.T) {
	l := halfway(t, rekeyed(t, 5, 3), 1, 2)
	secret := l.g.rekey(1)
	l.g.tick(1200) // twice the overlap
	l.whole(tollOf)
	l.g.tick(100)
	l.g.under(secret, 1, 1, 2, 3)
}

// What a member fetched is kept for it only as long as it is one.
func TestNothingIsKeptForWhoWasRemoved(t *testing.T) {
	l := halfway(t, grown(t, 6, 3), 1, 2)
	l.g.change(1, "remove 3")
	l.g.tick(110)
	if open := l.g.seats[1].w.open.Load(); open != 0 {
		t.Errorf("%d pictures are kept", open)
	}
}

// A part of a picture is thrown away when the log brought what it has: from another leader, that has more of it.
func TestFetchEndsWhenTheLogCame(t *testing.T) {
	l := halfway(t, grown(t, 7, 3), 1)
	g := l.g
	g.seats[1].node.TransferLeadership(2)
	g.tick(20)
	g.crash(1)
	g.cut = nil
	g.tick(20)
	if open := g.seats[3].w.open.Load(); open != 0 {
		t.Errorf("%d parts of pictures are kept", open)
	}
	g.start(1)
	g.must(2, 10)
	g.tick(10)
	g.agree()
}

// Nor does a disk without room keep one for who is away: after ten seconds it is gone.
func TestNoPictureIsKeptOnAFullDisk(t *testing.T) {
	g := newGroup(t, 8)
	disks := fullDisks(g)
	grow(g, 3)
	halfway(t, g, 1, 2)
	s := g.seats[1]
	disks[s.w].full = true
	for range 40 {
		_ = g.propose(2, 60000)
	}
	g.tick(210)
	if st := s.node.Status(); st.RoomError == nil || s.w.open.Load() != 0 {
		t.Errorf("%d pictures are kept, with %v", s.w.open.Load(), st.RoomError)
	}
}
