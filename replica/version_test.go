package replica_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// tell proposes an entry as it is and returns what became of it.
func (g *group) tell(at uint64, entry string) error {
	g.t.Helper()
	got, known := error(nil), false
	g.seats[at].node.Propose([]byte(entry), func(_ any, err error) { got, known = err, true })
	for range 100 {
		if g.step(); known {
			return got
		}
		g.tick(1)
	}
	g.t.Fatalf("nobody says what became of %q", entry)
	return nil
}

// as starts a member again as another version of the program.
func (g *group) as(number uint64, version uint32) {
	g.t.Helper()
	g.crash(number)
	g.versions[number] = version
	g.start(number)
	g.tick(30)
}

// lead makes a member the leader.
func (g *group) lead(number uint64) {
	g.t.Helper()
	for range 10 {
		if l := g.leader(); l.number != number {
			l.node.TransferLeadership(number)
			g.tick(10)
			continue
		}
		return
	}
	g.t.Fatalf("member %d does not lead", number)
}

// spoken is a group of three whose members speak these versions.
func spoken(t testing.TB, seed uint64, versions ...uint32) *group {
	t.Helper()
	g := newGroup(t, seed)
	g.versions = map[uint64]uint32{}
	for i, v := range versions {
		g.versions[uint64(i)+1] = v
	}
	grow(g, len(versions))
	return g
}

// What version each member speaks is known where all are heard, and a member that was not heard is of none.
func TestVersionsAreTold(t *testing.T) {
	g := spoken(t, 1, 2, 2, 1)
	l := g.leader().node
	for _, m := range l.Status().Members {
		if m.Version != g.versions[m.Number] {
			t.Errorf("member %d speaks %d, told as %d", m.Number, g.versions[m.Number], m.Version)
		}
	}
	if v := l.LeastVersion(); v != 1 {
		t.Errorf("the least is %d", v)
	}
	g.as(3, 2)
	if v := g.leader().node.LeastVersion(); v != 2 {
		t.Errorf("after the upgrade the least is %d", v)
	}
	g.change(1, "add 4")
	g.tick(5)
	if v := g.leader().node.LeastVersion(); v != 0 {
		t.Errorf("with a learner that was never heard the least is %d", v)
	}
	g.change(1, "remove 4")
	if v := g.leader().node.LeastVersion(); v != 2 {
		t.Errorf("without it the least is %d", v)
	}
}

// A leader proposes a form only when every member reads it, learners too, whoever brings it.
func TestFormsWaitForEverybody(t *testing.T) {
	g := spoken(t, 2, 2, 2, 1)
	g.lead(1)
	if err := g.tell(1, "v2 early"); !errors.Is(err, replica.ErrVersion) {
		t.Errorf("at a new leader beside an old member: %v", err)
	}
	if err := g.tell(2, "v2 early"); !errors.Is(err, replica.ErrVersion) {
		t.Errorf("forwarded to it: %v", err)
	}
	g.lead(3)
	for n := uint64(1); n <= 3; n++ {
		if err := g.tell(n, "v2 early"); !errors.Is(err, replica.ErrVersion) && !errors.Is(err, replica.ErrNotLeader) {
			t.Errorf("at member %d under an old leader: %v", n, err)
		}
		g.must(n, 10)
	}
	g.as(3, 2)
	g.lead(1)
	g.change(1, "add 4")
	if err := g.tell(1, "v2 early"); !errors.Is(err, replica.ErrVersion) {
		t.Errorf("beside a learner that nobody heard: %v", err)
	}
	g.versions[4] = 1
	g.join(4)
	g.tick(30)
	if err := g.tell(1, "v2 early"); !errors.Is(err, replica.ErrVersion) {
		t.Errorf("beside an old learner: %v", err)
	}
	g.as(4, 2)
	for n := uint64(1); n <= 4; n++ {
		if err := g.tell(n, "v2 now"+strings.Repeat("!", int(n))); err != nil {
			t.Errorf("all speak it, at member %d: %v", n, err)
		}
	}
	g.tick(10)
	g.agree()
}

// Once the group agreed on a least version, who is not heard holds up nothing.
func TestAgreedVersion(t *testing.T) {
	g := spoken(t, 3, 2, 2, 2)
	g.crash(3)
	g.crash(2)
	g.start(2)
	g.tick(30)
	g.lead(2)
	if err := g.tell(2, "v2 early"); !errors.Is(err, replica.ErrVersion) {
		t.Errorf("a member was not heard since the start: %v", err)
	}
	g.seats[2].node.Change([]byte("least"), func(_ any, err error) { check(t, err) })
	g.tick(5)
	if err := g.tell(2, "v2 agreed"); err != nil {
		t.Error(err)
	}
}

// An old member that meets what it cannot read halts and says what to do: in the log, and in a picture. Upgraded, it has everything.
func TestOldMemberHalts(t *testing.T) {
	for _, picture := range []bool{false, true} {
		g := spoken(t, 4, 2, 2, 2)
		g.lead(1)
		g.crash(3)
		check(t, g.tell(1, "v2 mark"))
		if picture {
			g.must(1, 200)
			for _, n := range []uint64{1, 2} {
				made := errors.New("none")
				g.seats[n].node.Checkpoint(func(err error) { made = err })
				g.tick(5)
				check(t, made)
			}
			for range 40 { // so much that the checkpoint leaves nothing for who is away
				g.must(1, 1<<15)
			}
			for _, n := range []uint64{1, 2} {
				g.seats[n].node.Checkpoint(func(err error) { check(t, err) })
				g.tick(5)
			}
		}
		g.may = replica.ErrNewer
		g.versions[3] = 1
		err := g.tryStart(3)
		for range 100 {
			if err != nil || g.seats[3].err != nil {
				break
			}
			g.tick(1)
		}
		if err = errors.Join(err, g.seats[3].err); !errors.Is(err, replica.ErrNewer) || !strings.Contains(err.Error(), "upgrade this replica") {
			t.Fatalf("picture %v: an old member ends with %v", picture, err)
		}
		g.as(3, 2)
		g.tick(150) // the leader gives up the transfer that nobody asks for any more
		g.settled()
	}
}

// A member whose disk and anchor were put back, under the leader that saw it further: it halts itself when the leader
// says what it had acknowledged, with a text for people.
func TestForgottenIsNoticed(t *testing.T) {
	g := grown(t, 5, 3)
	leader := g.leader().number
	victim := leader%3 + 1
	image := g.seats[victim].w.image()
	g.must(leader, 10)
	g.tick(3)
	g.may = replica.ErrForgot
	g.crash(victim)
	g.putBack(victim, image)
	g.tick(3)
	if err := g.seats[victim].err; !errors.Is(err, replica.ErrForgot) || !strings.Contains(err.Error(), "under a new number") {
		t.Errorf("a member that forgot: %v", err)
	}
	if l := g.leader(); l.number != leader {
		t.Errorf("leader %d instead of %d", l.number, leader)
	}
	g.must(leader, 10)
}

// What it forgot may not be committed yet: then only the leader can tell, from a refusal that raft takes for an old one.
func TestLeaderNoticesWhoForgot(t *testing.T) {
	g := grown(t, 6, 5)
	leader := g.leader().number
	victim := leader%5 + 1
	g.tick(3)
	image := g.seats[victim].w.image()
	g.cut = func(from, to uint64) bool { return from != leader && from != victim || to != leader && to != victim }
	g.seats[leader].node.Propose([]byte("acknowledged by one other"), func(any, error) {})
	g.tick(1)
	g.may = replica.ErrForgot
	g.crash(victim)
	g.putBack(victim, image)
	for range 3 { // the members meet anew, and raft tries
		g.seats[leader].node.Propose([]byte("next"), func(any, error) {})
		g.tick(1)
	}
	seen := false
	for _, m := range g.seats[leader].node.Status().Members {
		if m.Forgot > 0 {
			seen = m.Number == victim
		}
	}
	if !seen {
		t.Errorf("the leader noticed nothing: %+v", g.seats[leader].node.Status().Members)
	}
	if err := g.seats[victim].err; err != nil {
		t.Errorf("nothing told the member itself: %v", err)
	}
}

// A member that was put back can have as many entries as it acknowledged, and another one in the last place: that of a leader
// who was replaced. It must not take the heartbeat of the new one for leave to apply it, whether the image is of the old term or
// already of the new one. (The simulator's seed 44251.)
func TestForgottenAppliesNothingElse(t *testing.T) {
	g := grown(t, 11, 5)
	leader, victim, images := g.replacing()
	halted, went := 0, 0
	g.may = replica.ErrForgot
	for i, image := range images {
		g.crash(victim)
		g.putBack(victim, image)
		for range 10 {
			g.tick(1)
			if slices.Contains(entriesIn(g.seats[victim].node.Peek()), replaced) {
				t.Fatalf("image %d: the member that was put back applied an entry that nobody committed", i)
			}
		}
		if g.seats[victim].err != nil {
			halted++
		} else {
			went++
		}
	}
	g.must(leader, 10)
	if halted == 0 || went == 0 {
		t.Errorf("%d halted, %d went on: want both", halted, went)
	}
}

const replaced = "in no majority's log"

// replacing has an entry in the log of one member replaced by that of another leader, and takes images of that member meanwhile.
func (g *group) replacing() (leader, victim uint64, images []*world) {
	old := g.leader().number
	victim = old%5 + 1
	minority := func(n uint64) bool { return n == old || n == victim }
	g.cut = func(from, to uint64) bool { return minority(from) != minority(to) }
	g.seats[old].node.Propose([]byte(replaced), func(any, error) {})
	g.step()
	g.crash(old)
	g.away(victim)
	leader = g.leader().number
	g.cut = nil
	images = g.images(victim, 12)
	g.tick(30)
	return leader, victim, images
}

// The same, with entries that the leader wants it to have: it refuses them, and is not sent them again and again, as fast as the network goes. In the end it
// has everything, or has halted. (The simulator's seed 110875.)
func TestForgottenIsNotSentTheSameForEver(t *testing.T) {
	g := grown(t, 11, 5)
	leader, victim, images := g.replacing()
	g.may = replica.ErrForgot
	sent, went, other := 0, 0, 0
	g.listen = func(p packet) {
		if sent++; sent > 5_000 {
			t.Fatal("they go on without end")
		}
	}
	for i, image := range images {
		g.crash(victim)
		g.must(leader, 10)
		g.putBack(victim, image)
		sent = 0
		g.must(leader, 10)
		g.tick(20)
		g.must(leader, 10)
		g.tick(20)
		if s := g.seats[victim]; s.err == nil && g.lost(victim) {
			t.Fatalf("image %d: it neither halts nor catches up", i)
		} else if s.err == nil {
			went++
		} else if strings.Contains(s.err.Error(), "it acknowledged one of term") {
			other++
		}
	}
	if went == 0 || other == 0 {
		t.Errorf("%d went on, %d had another entry: want both", went, other)
	}
}

// images lets time pass and takes images of a member's disk and anchor after each of its steps.
func (g *group) images(member uint64, ticks int) (images []*world) {
	for range ticks {
		for _, n := range g.numbers() {
			if s := g.seats[n]; s.node != nil && s.err == nil {
				s.clock += 50
				s.node.Tick()
			}
		}
		for busy := true; busy; busy = len(g.wires) > 0 {
			g.deliver()
			for _, n := range g.numbers() {
				g.work(g.seats[n])
			}
			images = append(images, g.seats[member].w.image())
		}
	}
	return images
}
