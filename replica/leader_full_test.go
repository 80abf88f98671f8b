package replica_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// others are the members that run but one.
func (g *group) others(n uint64) (list []uint64) {
	for _, o := range g.numbers() {
		if s := g.seats[o]; o != n && s.node != nil && s.err == nil {
			list = append(list, o)
		}
	}
	return list
}

// A leader without room hands over at once, in the middle of the work: it is shown what the others have, though it has no room
// itself. (When it dropped their answers it waited for one, and then the others for an election: 30 ticks.) It does not lead
// any more soon after, and does again when there is room.
func TestFullLeaderIsReplacedInTime(t *testing.T) {
	var took []int
	for seed := range uint64(5) {
		g := newGroup(t, seed)
		disks := fullDisks(g)
		grow(g, 5)
		f := farOf(g)
		for range 10 {
			s := f.seats[f.lead()]
			disks[s.w].full = true
			for s.node.Status().RoomError == nil && f.now < 1_000_000 {
				f.busy(1)
			}
			ms := f.until(f.others(s.number))
			took = append(took, (ms+49)/50)
			if f.busy(300); s.node.Status().Role == "leader" {
				t.Errorf("seed %d: after %d ms and 6 ticks it still leads: %+v", seed, ms, s.node.Status())
			}
			disks[s.w].full = false
			f.busy(2500)
			s.node.TransferLeadership(s.number)
			if f.busy(500); s.node.Status().Role != "leader" {
				t.Errorf("seed %d: there is room, and it does not lead", seed)
			}
		}
		f.settled()
	}
	slices.Sort(took)
	half, all := took[len(took)/2], took[len(took)-1]
	t.Logf("half within %d ticks, all within %d", half, all)
	if half > 8 || all > 16 {
		t.Errorf("half within %d ticks, all within %d", half, all)
	}
}

// noLogs is a disk that has room for a checkpoint, and not for the log after it.
type noLogs struct {
	*world
	full bool
}

type noLog struct{ replica.Draft }

func (d *noLogs) Create() (replica.Draft, error) {
	draft, err := d.world.Create()
	if err == nil && d.full {
		draft = noLog{draft}
	}
	return draft, err
}

func (d noLog) Publish(name string) error {
	if strings.HasPrefix(name, "log-") {
		return errFull
	}
	return d.Draft.Publish(name)
}

// logless is a group in which members 1 to n have everything and no room for anything more. Member 1 leads.
func logless(t *testing.T, members, n int) (g *group, mend func()) {
	g = newGroup(t, 5)
	disks := disksOf(g, func(w *world) *noLogs { return &noLogs{world: w} })
	grow(g, members)
	g.lead(1)
	g.tick(3)
	for number := n; number > 0; number-- {
		s := g.seats[uint64(number)]
		disks[s.w].full = true
		s.node.Checkpoint(func(err error) { check(t, err) })
		g.work(s)
	}
	return g, func() {
		for _, d := range disks {
			d.full = false
		}
	}
}

// A leader without room is rid of the leadership soon though nothing is proposed, and if its first try comes to nothing, since
// the next one has no room either, tries again.
func TestFullLeaderTriesAgain(t *testing.T) {
	for full, ticks := range []int{1: 6, 2: 34} { // 34: eight, twenty until it looks again, and what the other one needs
		g, mend := logless(t, 5, full)
		g.tick(ticks)
		if l := g.leaders(); full > 0 && (len(l) != 1 || l[0] <= uint64(full)) {
			t.Errorf("without room are 1 to %d; leaders: %v; %+v", full, l, g.seats[1].node.Status())
		}
		mend()
		g.settled()
	}
}

// votesOnly is a group whose members have room for votes: some of them for nothing that is larger. Member 1 leads.
func votesOnly(t *testing.T, members int, full ...uint64) (g *group, disks map[*world]*fullDisk) {
	g = newGroup(t, 5)
	disks = fullDisks(g)
	grow(g, members)
	for _, s := range g.seats {
		s.node.Checkpoint(func(err error) { check(t, err) })
		g.tick(3)
	}
	g.lead(1)
	g.must(1, 10)
	for _, n := range full {
		disks[g.seats[n].w].full = true
	}
	return g, disks
}

// large proposes something large at whoever says that he leads, at every tick, and counts until it is taken.
func (g *group) large(ticks int) (after int) {
	taken := false
	for ; after < ticks && !taken; after++ {
		for _, n := range g.leaders() {
			g.seats[n].node.Propose(make([]byte, 5000), func(_ any, err error) { taken = taken || err == nil })
		}
		g.tick(1)
	}
	return after
}

// Of five members three have room, and one of them is found: whoever was asked before, and had none, is not asked again before it.
func TestMemberWithRoomIsFound(t *testing.T) {
	g, disks := votesOnly(t, 5, 1, 2)
	if after := g.large(60); after > 50 {
		t.Errorf("members 1 and 2 have no room; after %d ticks %v leads", after, g.leaders())
	}
	for _, d := range disks {
		d.full = false
	}
	g.settled()
}

// Whoever had no room when he was asked is asked again when all have been: he may have some now.
func TestMemberThatGotRoomIsFound(t *testing.T) {
	g, disks := votesOnly(t, 5, 1, 2, 3, 4, 5)
	if after := g.large(700); after < 700 {
		t.Fatal("there is room for it")
	}
	for n := range uint64(3) {
		disks[g.seats[n+3].w].full = false
	}
	if after := g.large(700); after == 700 {
		t.Errorf("members 3 to 5 have room; after %d ticks %v leads", after, g.leaders())
	}
	for _, d := range disks {
		d.full = false
	}
	g.settled()
}

// Where nobody has room no term follows the other, and all goes on when there is room.
func TestAllAreFull(t *testing.T) {
	g, mend := logless(t, 3, 3)
	g.tick(2)
	was := g.seats[1].node.Status()
	for range 20 {
		if err := g.propose(1, 10); err == nil {
			t.Fatal("proposed without room")
		}
		g.tick(20)
	}
	s := g.seats[1].node.Status()
	if s.Term != was.Term || s.Batch != was.Batch {
		t.Errorf("term %d and %d batches before, then %+v", was.Term, was.Batch, s)
	}
	mend()
	g.must(2, 10)
	g.settled()
}

// Members that have room for votes, and none for what is proposed, do not hand the leadership round until there is no
// room for votes either.
func TestFullMembersDoNotHandTheLeadershipRound(t *testing.T) {
	g, disks := votesOnly(t, 3, 1, 2, 3)
	was := g.leader().node.Status().Term
	if after := g.large(200); after < 200 {
		t.Fatal("there is room for it")
	}
	if now := g.leader().node.Status().Term; now > was+6 {
		t.Errorf("%d terms in ten seconds", now-was)
	}
	g.tick(200)
	was = g.leader().node.Status().Term
	if g.tick(2 * 200); g.leader().node.Status().Term != was { // what there was no room for comes no more
		t.Errorf("from term %d to %d, and nothing was proposed", was, g.leader().node.Status().Term)
	}
	for _, d := range disks {
		d.full = false
	}
	g.settled()
}

// That a change of the members is committed has to be made durable. A leader that has no room for that does not
// see it committed.
func TestFullLeaderWithAChangeUnderWay(t *testing.T) {
	for size := 20; size < 400; size += 20 { // so that it ends with more room left, or less
		g := newGroup(t, 5)
		disks := fullDisks(g)
		grow(g, 3)
		g.lead(1)
		g.cut = apart(1)
		g.seats[1].node.Change([]byte("add 4"), func(any, error) {})
		g.step()
		disks[g.seats[1].w].full = true
		var full error
		for full == nil { // and nothing of it is committed
			g.count++
			g.seats[1].node.Propose(fmt.Appendf(nil, "more %0*d", size, g.count), func(_ any, err error) { full = err })
			g.step()
		}
		g.cut = nil
		g.tick(60) // a member that halts fails the test
		disks[g.seats[1].w].full = false
		g.settled()
	}
}
