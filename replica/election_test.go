package replica_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"keepsake.example/replica"
)

// far is a group whose messages take time: virtual milliseconds, of which a tick has 50, and
// members that do not tick at one moment.
type far struct {
	*group
	now   int
	sent  int
	phase map[uint64]int
	way   []late
	slow  int // that a step of the network and of the disk takes longer, at most
}

type late struct {
	packet
	due, order int
}

func newFar(t *testing.T, seed uint64, members int) *far {
	return farOf(grown(t, seed, members))
}

func farOf(g *group) *far {
	f := &far{group: g, phase: map[uint64]int{}, slow: 5}
	for _, n := range f.numbers() {
		f.phase[n] = f.random.IntN(50)
	}
	return f
}

// delay is how long a message takes: 15 to 60 ms from one of five places to another.
func (f *far) delay(from, to uint64) int {
	return 15*max(int(from)-int(to), int(to)-int(from)) + f.random.IntN(f.slow+1)
}

// work lets a member work, and puts on the way what it sends.
func (f *far) work(s *seat) {
	f.group.work(s)
	for _, p := range f.wires {
		f.sent++
		f.way = append(f.way, late{p, f.now + f.delay(p.from, p.to), f.sent})
	}
	f.wires = nil
}

// pass lets a millisecond pass.
func (f *far) pass() {
	f.now++
	slices.SortFunc(f.way, func(a, b late) int { return cmp.Or(a.due-b.due, a.order-b.order) })
	for len(f.way) > 0 && f.way[0].due <= f.now {
		p := f.way[0]
		f.way = f.way[1:]
		if s := f.seats[p.to]; s.node != nil && s.err == nil && (f.cut == nil || !f.cut(p.from, p.to)) {
			s.node.Receive(p.data)
			f.work(s)
		}
	}
	for _, n := range f.numbers() {
		if s := f.seats[n]; s.node != nil && s.err == nil && (f.now+f.phase[n])%50 == 0 {
			s.clock += 50
			s.node.Tick()
			f.work(s)
		}
	}
}

// load proposes something at a member, and notes that it was answered.
func (f *far) load(number uint64, answered *bool) {
	s := f.seats[number]
	if s == nil || s.node == nil || s.err != nil {
		return
	}
	f.count++
	entry := fmt.Sprintf("entry %d", f.count)
	f.unknown[entry] = true
	s.node.Propose([]byte(entry), func(_ any, err error) {
		if err == nil {
			*answered, f.acknowledged[entry] = true, true
		}
	})
	f.work(s)
}

// busy lets time pass while somebody proposes now and then.
func (f *far) busy(milliseconds int) {
	var answered bool
	for range milliseconds {
		f.pass()
		if f.random.IntN(40) == 0 {
			f.load(1+uint64(f.random.IntN(len(f.seats))), &answered)
		}
	}
}

// until is how many milliseconds pass until what survivors propose is answered.
func (f *far) until(survivors []uint64) (took int) {
	var answered bool
	for !answered && took < 20000 {
		f.pass()
		if took++; f.random.IntN(25) == 0 {
			f.load(survivors[f.random.IntN(len(survivors))], &answered)
		}
	}
	return took
}

// lead waits until somebody leads for a while.
func (f *far) lead() (number uint64) {
	for range 200 {
		f.busy(100)
		for _, n := range f.numbers() {
			if s := f.seats[n]; s.node != nil && s.err == nil && s.node.Status().Role == "leader" {
				number = n
			}
		}
		if number != 0 {
			return number
		}
	}
	f.t.Fatal("no leader")
	return 0
}

// outage cuts the network so that what the leader is asked no majority can answer, and counts the
// milliseconds until what those that are left propose is answered, and the terms that
// had no leader.
func (f *far) outage(kind loss) (took, failed int) {
	lead := f.lead()
	gone, left := []uint64{lead}, []uint64(nil)
	for _, i := range f.random.Perm(len(f.seats)) {
		switch n := uint64(i + 1); {
		case n == lead:
		case len(gone) < kind.members:
			gone = append(gone, n)
		default:
			left = append(left, n)
		}
	}
	was := f.seats[left[0]].node.Status().Term
	f.cut = func(from, to uint64) bool {
		return slices.Contains(gone, to) && !slices.Contains(gone, from) || slices.Contains(gone, from) && !slices.Contains(gone, to) && !kind.speaks
	}
	took = f.until(left)
	for _, n := range left {
		failed = max(failed, int(f.seats[n].node.Status().Term-was)-1)
	}
	f.cut = nil
	f.busy(500)
	return took, failed
}

// loss is of so many members, one of which leads; perhaps they are deaf only. Half of the outages
// are over within so many ticks, nine in ten, and all.
type loss struct {
	members         int
	speaks          bool
	half, most, all int
}

// A leader that hears nobody leads for one election timeout, whenever raft looked last whether it does.
func TestLeaderThatIsAloneStops(t *testing.T) {
	for after := range 16 {
		g := grown(t, 1, 3)
		g.settled()
		g.tick(after)
		alone := g.leader()
		g.cut = apart(alone.number)
		ticks := 0
		for alone.node.Leads() != 0 && ticks < 100 {
			g.tick(1)
			ticks++
		}
		if ticks < 6 || ticks > 9 {
			t.Errorf("cut off %d ticks later, it leads for %d ticks", after, ticks)
		}
	}
}

// Five members are 30 to 120 ms from each other, there and back. When the leader is lost, and
// perhaps one more, so that all three that are left must agree, half of the outages
// are over within 20 ticks (a second), and all within 40 (two seconds). A leader that hears nobody
// is noticed by nobody else, since the others hear it: it tells one of them to stand. Hardly a term ends
// without a leader because two stood for it.
func TestLeaderIsReplacedInTime(t *testing.T) {
	for _, kind := range []loss{{1, false, 20, 24, 40}, {2, false, 20, 26, 40}, {1, true, 16, 18, 24}} {
		var took []int
		split := 0
		for seed := range uint64(5) {
			f := newFar(t, seed, 5)
			for range 25 {
				ms, failed := f.outage(kind)
				took, split = append(took, (ms+49)/50), split+failed
			}
			f.settled()
		}
		slices.Sort(took)
		half, most, all := took[len(took)/2], took[len(took)*9/10], took[len(took)-1]
		t.Logf("%+v: half within %d ticks, nine in ten within %d, all within %d; %d of %d terms without a leader", kind, half, most, all, split, split+len(took))
		if half > kind.half || most > kind.most || all > kind.all {
			t.Errorf("%+v: half within %d ticks, nine in ten within %d, all within %d", kind, half, most, all)
		}
		if split > len(took)/12 {
			t.Errorf("%+v: of %d terms %d had no leader", kind, split+len(took), split)
		}
	}
}

// Whoever stands in vain stands again sooner, three times, since then no leader is in
// anybody's way; after that the way may be longer than it thinks. Once a leader has
// spoken it waits as long as at first.
func TestStandsAgainSooner(t *testing.T) {
	soonest, latest := 100, 0
	for seed := range uint64(10) {
		g := grown(t, seed, 3)
		alone := g.other(g.leader().number)
		for _, times := range []int{6, 2, 1} {
			for i, ticks := range g.stands(alone, times) {
				if from, to := patienceOf(i); ticks < from || ticks > to {
					t.Errorf("seed %d: stood after %d ticks, the time %d", seed, ticks, i)
				}
				if i == 1 {
					soonest, latest = min(soonest, ticks), max(latest, ticks)
				}
			}
			g.settled()
		}
	}
	if soonest > 5 || latest < 10 {
		t.Errorf("stood again after %d to %d ticks", soonest, latest)
	}
}

// patienceOf is after how many ticks a member stands for the i-th time, from 0. The
// leader's last word may be two ticks old.
func patienceOf(i int) (from, to int) {
	switch {
	case i == 0:
		return 6, 16
	case i <= 3:
		return 4, 11
	}
	return 8, 15
}

// stands cuts a member off, and counts the ticks until it stands for election, so many
// times: it then has something to say.
func (g *group) stands(alone uint64, times int) (after []int) {
	spoke := false
	g.cut = func(from, to uint64) bool {
		spoke = spoke || from == alone
		return from == alone || to == alone
	}
	for ticks := 1; len(after) < times && ticks < 100; ticks++ {
		spoke = false
		if g.tick(1); spoke {
			after, ticks = append(after, ticks), 0
		}
	}
	return after
}

// While a transfer is under way raft takes no proposals. One to a member that is down must not go on
// when nobody waits for it any more.
func TestTransferIsEnded(t *testing.T) {
	g := grown(t, 3, 3)
	leader := g.leader()
	dead := g.other(leader.number)
	g.crash(dead)
	try := func() (got error) {
		got = errors.New("no answer")
		leader.node.Propose([]byte(fmt.Sprint("try ", g.count)), func(_ any, err error) { got = err })
		g.count++
		g.step()
		return got
	}
	check(t, try())
	leader.node.TransferLeadership(dead)
	if err := try(); !errors.Is(err, replica.ErrNotLeader) {
		t.Fatalf("during a transfer: %v", err)
	}
	replica.KeepLeadership(leader.node)
	check(t, try())
}

// Current: not after a start, not while no leader is heard, and after a read.
func TestCurrent(t *testing.T) {
	g := grown(t, 1, 3)
	all := func(what string, want bool) {
		t.Helper()
		for _, n := range g.numbers() {
			if got := g.seats[n].node.Current(); got != want {
				t.Errorf("%s: member %d says %v", what, n, got)
			}
		}
	}
	all("after the members have grown together", true)
	for _, n := range g.numbers() {
		g.crash(n)
		g.start(n)
	}
	all("after all were started again", false)
	g.settled()
	g.tick(2) // a heartbeat
	all("after an election", true)
	lone := g.other(g.leader().number)
	g.away(lone)
	g.tick(30)
	if g.seats[lone].node.Current() {
		t.Error("who is cut off knows the time")
	}
	before := g.seats[lone].node.Time()
	g.away()
	g.tick(50)
	check(t, g.read(lone))
	if n := g.seats[lone].node; !n.Current() || n.Time() <= before {
		t.Errorf("after a read: %d, and it was %d", n.Time(), before)
	}
}
