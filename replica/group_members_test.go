package replica_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"keepsake.example/replica"
)

// voters is who votes, as one member sees it.
func (g *group) voters(at uint64) (numbers []uint64) {
	for _, m := range g.seats[at].node.Status().Members {
		if !m.Learner {
			numbers = append(numbers, m.Number)
		}
	}
	return numbers
}

func TestLearner(t *testing.T) {
	g := grown(t, 1, 1)
	g.change(1, "add 2")
	g.join(2)
	g.tick(30)
	if s := g.seats[2].node.Status(); s.Role != "learner" || s.Applied != g.seats[1].node.Status().Applied {
		t.Errorf("learner: %+v", s)
	}
	g.must(2, 10) // forwards, and hears the effect
	check(t, g.read(2))
	g.crash(1)
	g.tick(100)
	if s := g.seats[2].node.Status(); s.Role != "learner" || s.Leader != 0 {
		t.Errorf("a learner without a leader: %+v", s)
	}
	g.start(1)
	g.settled()
	// Without the learner the only voter goes on.
	g.crash(2)
	g.must(1, 10)
	g.start(2)
	g.settled()
}

// leaders are those who say that they lead.
func (g *group) leaders() (all []uint64) {
	for _, n := range g.numbers() {
		if s := g.seats[n]; s.node != nil && s.err == nil && s.node.Status().Role == "leader" {
			all = append(all, n)
		}
	}
	return all
}

func TestRemove(t *testing.T) {
	for _, size := range []int{2, 3, 5} {
		for _, whom := range []string{"leader", "follower"} {
			for _, by := range []string{"itself", "another"} {
				t.Run(fmt.Sprint(size, whom, by), func(t *testing.T) { removeOne(t, size, whom, by) })
			}
		}
	}
}

func removeOne(t *testing.T, size int, whom, by string) {
	g := grown(t, uint64(size), size)
	gone := g.leader().number
	if whom == "follower" {
		gone = g.other(gone)
	}
	at := gone
	if by == "another" {
		at = g.other(gone)
	}
	g.must(gone, 10)
	g.change(at, fmt.Sprint("remove ", gone))
	g.tick(2)
	if heirs := g.leaders(); len(heirs) != 1 || heirs[0] == gone {
		t.Errorf("members %d lead at once after member %d was removed", heirs, gone)
	}
	for range 200 {
		if g.seats[gone].err != nil {
			break
		}
		g.tick(1)
	}
	if err := g.seats[gone].err; !errors.Is(err, replica.ErrRemoved) {
		t.Fatalf("a member that was removed: %v", err)
	}
	lead := g.leader()
	if v := g.voters(lead.number); len(v) != size-1 || slices.Contains(v, gone) {
		t.Errorf("voters %d after member %d was removed", v, gone)
	}
	g.must(lead.number, 10)
	// It stays removed, and disturbs nobody.
	term := lead.node.Status().Term
	err := g.tryStart(gone)
	for range 100 {
		g.tick(1)
	}
	if err == nil {
		err = g.seats[gone].err
	}
	if !errors.Is(err, replica.ErrRemoved) {
		t.Errorf("it started again: %v", err)
	}
	if now := lead.node.Status(); now.Term != term || now.Role != "leader" {
		t.Errorf("it disturbed the leader of term %d: %+v", term, now)
	}
	g.settled()
}

// The leader of two removes itself, and its last words are lost: the other one
// still finds out that it is alone.
func TestLastWordsAreLost(t *testing.T) {
	for lost := range 12 {
		g := grown(t, uint64(lost), 2)
		lead := g.leader().number
		other := g.other(lead)
		n := 0
		g.seats[lead].node.Change([]byte(fmt.Sprint("remove ", lead)), func(any, error) {})
		g.cut = func(from, to uint64) bool {
			n++
			return from == lead && n > lost && n <= lost+40
		}
		g.tick(20)
		g.cut = nil
		g.tick(100)
		if s := g.seats[other].node.Status(); s.Role != "leader" || len(s.Members) != 1 {
			t.Errorf("after %d messages: %+v, the other: %v", lost, s, g.seats[lead].err)
		}
		g.must(other, 10)
		g.settled()
	}
}

func TestDemote(t *testing.T) {
	g := grown(t, 5, 3)
	lead := g.leader().number
	g.change(lead, fmt.Sprint("demote ", lead))
	now := g.leader()
	if now.number == lead || g.seats[lead].node.Status().Role != "learner" {
		t.Errorf("after its demotion: %+v", g.seats[lead].node.Status())
	}
	g.must(lead, 10)
	g.change(now.number, fmt.Sprint("promote ", lead))
	g.settled()
	if v := g.voters(lead); len(v) != 3 {
		t.Errorf("voters %d", v)
	}
}

// What the machine refuses changes nothing, everywhere.
func TestChangeIsRefused(t *testing.T) {
	g := grown(t, 6, 3)
	for _, text := range []string{"nonsense", "promote 9", "remove 9", "demote 9"} {
		got := any(nil)
		g.seats[2].node.Change([]byte(text), func(effect any, err error) { got = effect; check(t, err) })
		g.tick(20)
		if got != "refused" {
			t.Errorf("%s: %v", text, got)
		}
	}
	if v := g.voters(1); len(v) != 3 {
		t.Errorf("voters %d", v)
	}
	g.settled()
}

// One change at a time: the second waits for nothing, and is certainly not made.
func TestSecondChangeIsPending(t *testing.T) {
	g := grown(t, 7, 3)
	lead := g.leader().number
	g.tick(5)
	var results []error
	for _, text := range []string{"add 4", "add 5"} {
		g.seats[lead].node.Change([]byte(text), func(_ any, err error) { results = append(results, err) })
	}
	g.tick(10)
	if len(results) != 2 || !errors.Is(results[0], replica.ErrPending) || results[1] != nil {
		t.Errorf("two changes at a time: %v", results)
	}
	if n := len(g.seats[lead].node.Status().Members); n != 4 {
		t.Errorf("%d members", n)
	}
}

// A newcomer crashes at every one of its durable steps, from Join to its promotion.
func TestJoinAndCrash(t *testing.T) {
	for limit := 1; ; limit++ {
		g := grown(t, uint64(limit), 1)
		g.must(1, 3000)
		g.change(1, "add 2")
		s := &seat{number: 2, w: newWorld(), clock: 1000}
		s.w.limit, s.w.fault = limit, errPower
		g.seats[2] = s
		var secret [32]byte
		g.seats[1].node.Secret(func(b []byte) { copy(secret[:], b) })
		if replica.Join(t.Context(), g.config(s), 2, &secret) == nil && g.tryStart(2) == nil {
			g.tick(20)
		}
		met := s.w.step >= limit
		g.crash(2)
		if !s.w.anchored.founded {
			check(t, replica.Join(t.Context(), g.config(s), 2, &secret))
		}
		g.start(2)
		g.tick(150)
		g.change(1, "promote 2")
		g.must(2, 10)
		g.settled()
		if !met {
			if limit < 20 {
				t.Errorf("only %d steps", limit)
			}
			return
		}
	}
}

// An empty member answers nothing and stands for nothing.
func TestEmptyMember(t *testing.T) {
	g := grown(t, 8, 1)
	s := &seat{number: 2, w: newWorld(), clock: 1000}
	g.seats[2] = s
	secret := [32]byte{1}
	if err := replica.Join(t.Context(), g.config(s), 0, &secret); err == nil {
		t.Error("member 0 joined")
	}
	check(t, replica.Join(t.Context(), g.config(s), 2, &secret))
	if err := replica.Join(t.Context(), g.config(s), 2, &secret); !errors.Is(err, replica.ErrExists) {
		t.Errorf("joined twice: %v", err)
	}
	g.start(2)
	g.tick(100)
	if st := s.node.Status(); st.Role != "empty" || st.Term != 0 || s.node.Peek() != nil {
		t.Errorf("%+v", st)
	}
	if err := g.propose(2, 10); !errors.Is(err, replica.ErrEmpty) {
		t.Errorf("proposing: %v", err)
	}
	if err := g.read(2); !errors.Is(err, replica.ErrNotLeader) {
		t.Errorf("reading: %v", err)
	}
	made := errors.New("no answer")
	s.node.Checkpoint(func(err error) { made = err })
	g.tick(3)
	check(t, made)
	g.crash(2)
	g.start(2) // of another secret: nobody ever speaks to it
	if g.seats[1].node.Status().Members[0].Lag != 0 {
		t.Error("counted as a member")
	}
}

func TestLeadershipIsHandedOver(t *testing.T) {
	g := grown(t, 9, 3)
	for range 3 {
		for to := uint64(1); to <= 3; to++ {
			g.must(to, 10)
			g.tick(3)
			g.seats[1+to%3].node.TransferLeadership(to) // asked of whoever
			g.tick(12)
			if lead := g.leader().number; lead != to {
				t.Errorf("member %d leads, not %d", lead, to)
			}
			g.must(1, 10)
		}
	}
	was := g.leader()
	was.node.TransferLeadership(0)
	g.tick(12)
	if g.leader() == was {
		t.Error("still leads")
	}
	g.settled()
}
