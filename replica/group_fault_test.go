package replica_test

import (
	"errors"

	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// apart cuts some members off from the others, in both directions.
func apart(some ...uint64) func(from, to uint64) bool {
	in := map[uint64]bool{}
	for _, n := range some {
		in[n] = true
	}
	return func(from, to uint64) bool { return in[from] != in[to] }
}

// other is a member that runs and is not n.
func (g *group) other(n uint64) uint64 {
	for _, o := range g.numbers() {
		if s := g.seats[o]; o != n && s.node != nil && s.err == nil {
			return o
		}
	}
	g.t.Fatal("nobody else runs")
	return 0
}

// settled lets time pass until everybody should have everything.
func (g *group) settled() {
	g.t.Helper()
	g.cut, g.shuffle, g.double = nil, false, false
	g.leader()
	g.tick(40)
	g.agree()
}

func TestLeaderIsLost(t *testing.T) {
	for _, size := range []int{3, 5} {
		g := grown(t, uint64(size), size)
		for range 4 {
			was := g.leader()
			g.must(was.number, 100)
			g.crash(was.number)
			now := g.leader()
			if now.number == was.number {
				t.Fatal("who crashed leads")
			}
			for n := range g.seats {
				if n != was.number {
					g.must(n, 10)
					check(t, g.read(n))
				}
			}
			g.start(was.number)
			g.settled()
		}
	}
}

// A leader that is cut off acknowledges nothing and answers no read, as little as
// it loses what others commit meanwhile.
func TestPartition(t *testing.T) {
	g := grown(t, 2, 5)
	was := g.leader()
	second := g.other(was.number)
	g.cut = apart(was.number, second)
	read := errors.New("no answer")
	was.node.Read(func(err error) { read = err })
	if err := g.propose(was.number, 10); !errors.Is(err, replica.ErrUnknown) {
		t.Errorf("a leader without a majority: %v", err)
	}
	g.tick(60)
	if read == nil {
		t.Error("a leader without a majority answered a read")
	}
	if err := g.propose(second, 10); !errors.Is(err, replica.ErrNotLeader) {
		t.Errorf("a follower without a leader: %v", err)
	}
	now := g.leader()
	if now.number == was.number || now.number == second {
		t.Fatalf("member %d leads a minority", now.number)
	}
	g.must(now.number, 10)
	g.settled()
	for n := range g.seats {
		g.must(n, 10)
	}
	g.settled()
}

// Links that carry one way only, and everything that a network does to datagrams.
func TestBadNetwork(t *testing.T) {
	for seed := range uint64(6) {
		g := grown(t, seed, 3)
		g.shuffle, g.double = true, true
		for range 20 {
			a, b := 1+g.random.Uint64N(3), 1+g.random.Uint64N(3)
			g.cut = func(from, to uint64) bool { return from == a && to == b || g.random.IntN(10) == 0 }
			_ = g.propose(1+g.random.Uint64N(3), g.random.IntN(3000))
			if g.random.IntN(3) == 0 {
				n := 1 + g.random.Uint64N(3)
				_ = g.read(n)
			}
			g.tick(g.random.IntN(20))
		}
		g.settled()
		for n := range g.seats {
			g.must(n, 10)
		}
	}
}

// The power of one member goes at every one of its durable steps, while all propose
// and make checkpoints: nothing acknowledged is lost, and the member comes back.
func TestCrashAtEveryStep(t *testing.T) {
	for _, victim := range []string{"leader", "follower"} {
		for limit := 1; limit < 400; limit += 3 {
			g := grown(t, uint64(limit), 3)
			s := g.leader()
			if victim == "follower" {
				s = g.seats[g.other(s.number)]
			}
			s.w.mu.Lock()
			s.w.step, s.w.trace, s.w.limit, s.w.fault = 0, nil, limit, errPower
			s.w.mu.Unlock()
			for i := 0; i < 6; i++ {
				_ = g.propose(1+uint64(i%3), 1500)
				if n := g.seats[1+uint64(i)%3]; i%2 == 0 && n.err == nil {
					n.node.Checkpoint(func(error) {})
				}
				g.tick(2)
			}
			met := s.w.step >= limit
			g.crash(s.number)
			g.leader()
			g.must(g.other(s.number), 10)
			g.start(s.number)
			g.settled()
			if !met {
				if limit < 30 {
					t.Errorf("only %d steps of the %s", limit, victim)
				}
				break
			}
		}
	}
}

// All crash at once, again and again.
func TestEverybodyCrashes(t *testing.T) {
	for seed := range uint64(8) {
		g := grown(t, seed, 3)
		for range 5 {
			for i := range uint64(3) {
				g.seats[i+1].w.limit = g.seats[i+1].w.step + g.random.IntN(80)
				g.seats[i+1].w.fault = errPower
			}
			for i := range 6 {
				_ = g.propose(1+uint64(i%3), 100)
			}
			for n := range uint64(3) {
				g.crash(n + 1)
			}
			for n := range uint64(3) {
				g.start(n + 1)
			}
			g.settled()
		}
	}
}

// A follower whose disk is full drops what it cannot keep, runs on, and catches up.
func TestFollowerWithoutRoom(t *testing.T) {
	g := newGroup(t, 3)
	full := &fullDisk{}
	g.c = func(c *replica.Config) {
		if w, ok := c.Disk.(*world); ok && g.seats[2] != nil && w == g.seats[2].w {
			full.world = w
			c.Disk = full
		}
	}
	grow(g, 3)
	full.full = true
	for range 20 {
		g.must(1, 3000)
	}
	if s := g.seats[2].node.Status(); s.Halted != nil || s.Dropped == 0 || s.Last == g.seats[1].node.Status().Last {
		t.Errorf("a follower on a full disk: %+v", s)
	}
	full.full = false
	g.settled()
}

// A leader whose disk is full refuses, and lets another lead.
func TestLeaderWithoutRoom(t *testing.T) {
	g := newGroup(t, 9)
	disks := map[uint64]*fullDisk{}
	g.c = func(c *replica.Config) {
		for n, s := range g.seats {
			if w, ok := c.Disk.(*world); ok && w == s.w {
				disks[n] = &fullDisk{world: w}
				c.Disk = disks[n]
			}
		}
	}
	grow(g, 3)
	lead := g.leader().number
	disks[lead].full = true
	var err error
	for range 20 {
		if err = g.propose(lead, 3000); err != nil {
			break
		}
	}
	if !errors.Is(err, replica.ErrNoSpace) {
		t.Errorf("a leader on a full disk: %v", err)
	}
	g.tick(5)
	if now := g.leader().number; now == lead {
		t.Error("it leads on")
	}
	for n := range g.seats {
		if n != lead {
			g.must(n, 3000)
		}
	}
	disks[lead].full = false
	g.settled()
}

// What cannot be a message of a member changes nothing, and is counted.
func TestForeignMessages(t *testing.T) {
	g := grown(t, 4, 3)
	var real []packet
	g.cut = func(from, to uint64) bool { return false }
	g.seats[1].node.Propose([]byte("one"), func(any, error) {})
	check(t, g.seats[1].node.Step())
	real = append(real, g.wires...)
	if len(real) == 0 {
		t.Fatal("nothing was sent")
	}
	g.step()
	n := g.seats[real[0].to].node
	before := n.Status()
	bad := [][]byte{nil, {}, make([]byte, 100), []byte(strings.Repeat("x", 3<<20)), real[0].data}
	for i := range real[0].data {
		changed := append([]byte(nil), real[0].data...)
		changed[i] ^= 1 << (i % 8)
		bad = append(bad, changed, real[0].data[:i])
	}
	for _, b := range bad {
		n.Receive(append([]byte(nil), b...))
	}
	g.step()
	after := n.Status()
	if after.Dropped != before.Dropped+uint64(len(bad)) || after.Last != before.Last || after.Term != before.Term {
		t.Errorf("%d bad messages: before %+v, after %+v", len(bad), before, after)
	}
	g.settled()
}

// The clock of a minority pushes the quorum's time nowhere, and holds nothing back.
func TestQuorumTime(t *testing.T) {
	g := grown(t, 5, 3)
	lead := g.leader()
	honest := g.seats[g.other(lead.number)]
	for _, wrong := range []uint64{1, 1 << 42} {
		for _, liar := range g.seats {
			if liar == honest {
				continue
			}
			was := liar.clock
			liar.clock = wrong
			g.tick(10)
			for _, s := range g.seats {
				if now := s.node.Time(); now > honest.clock || now+1000 < honest.clock {
					t.Errorf("member %d says %d, honest clocks %d", s.number, now, honest.clock)
				}
			}
			liar.clock = max(was, honest.clock)
			g.tick(5) // until it has told so: or two clocks would be wrong
		}
	}
}

// A follower that was away for a while gets what it missed from the log, even
// over a checkpoint; one that was away for long gets a picture.
func TestLaggards(t *testing.T) {
	for _, entries := range []int{3, 400} {
		g := newGroup(t, 7)
		g.c = func(c *replica.Config) { c.CheckpointBytes = 200_000 }
		grow(g, 3)
		lead := g.leader().number
		away := g.other(lead)
		g.cut = apart(away)
		g.tick(4)
		for range entries {
			g.must(lead, 2000)
		}
		made := errors.New("none")
		g.seats[lead].node.Checkpoint(func(err error) { made = err })
		g.tick(3)
		check(t, made)
		g.settled()
		// A picture becomes a checkpoint; a log does not.
		if got := g.seats[away].node.Status().Checkpoint; (got > 20) != (entries == 400) {
			t.Errorf("after %d entries the last checkpoint of the follower is at %d", entries, got)
		}
	}
}

// Messages that raft would never send halt a member at most, with a text.
func TestRaftPanics(t *testing.T) {
	g := grown(t, 8, 3)
	follower := g.seats[g.other(g.leader().number)]
	err := replica.Impossible(follower.node)
	if err == nil || !strings.Contains(err.Error(), "out of range") {
		t.Errorf("a commit index beyond the log: %v", err)
	}
	if again := follower.node.Step(); !errors.Is(again, err) && again.Error() != err.Error() {
		t.Errorf("goes on: %v", again)
	}
	follower.node.Tick()
	follower.node.Receive([]byte("anything"))
	answered := 0
	follower.node.Propose([]byte("x"), func(_ any, err error) {
		answered++
		if !errors.Is(err, replica.ErrClosed) {
			t.Errorf("a proposal at a halted member: %v", err)
		}
	})
	_ = follower.node.Close()
	if answered != 1 {
		t.Errorf("answered %d times", answered)
	}
}

// A group whose every step is drawn at random.
func TestGroupModel(t *testing.T) {
	for seed := range uint64(10) {
		g := grown(t, seed, 3)
		g.random = rand.New(rand.NewPCG(seed, 99))
		for range 60 {
			n := 1 + g.random.Uint64N(3)
			s := g.seats[n]
			switch up := s.node != nil && s.err == nil; g.random.IntN(9) {
			case 0:
				if up {
					g.crash(n)
				}
			case 1:
				g.cut = apart(n)
			case 2:
				g.cut, g.shuffle, g.double = nil, g.random.IntN(2) == 0, g.random.IntN(2) == 0
			case 3:
				if up {
					s.node.Checkpoint(func(error) {})
				}
			case 4:
				if up {
					s.node.TransferLeadership(1 + g.random.Uint64N(3))
				}
			case 5:
				if up {
					_ = g.read(n)
				}
			default:
				if !up {
					g.start(n)
				}
				_ = g.propose(n, g.random.IntN(4000))
			}
			g.tick(g.random.IntN(12))
		}
		for n, s := range g.seats {
			if s.node == nil || s.err != nil {
				g.start(n)
			}
		}
		g.settled()
		g.must(1, 10)
		g.settled()
	}
}

// On every member: durable, anchored, then sent, then applied, then answered.
func TestOrderOfSteps(t *testing.T) {
	g := newGroup(t, 10)
	var trace *[]string
	note := func(what string) {
		if trace != nil {
			*trace = append(*trace, what)
		}
	}
	g.c = func(c *replica.Config) {
		send := c.Send
		c.Send = func(to uint64, data []byte) {
			note("send")
			send(to, data)
		}
		c.NewMachine = func() replica.Machine { return &noting{toy: toy{}, note: note} }
	}
	grow(g, 3)
	g.tick(4)
	step := func(s *seat) string {
		s.w.mu.Lock()
		s.w.trace = nil
		s.w.mu.Unlock()
		trace = &s.w.trace
		check(t, s.node.Step())
		trace = nil
		return strings.Join(slices.Compact(s.w.trace), ", ")
	}
	lead := g.leader()
	const durable = "write, sync, advance, advance, hear of it"
	lead.node.Propose([]byte("one"), func(any, error) { note("answer") })
	if got := step(lead); got != durable+", send" {
		t.Errorf("the leader proposes: %s", got)
	}
	follower := g.seats[g.other(lead.number)]
	for _, p := range g.wires {
		if p.to == follower.number {
			follower.node.Receive(p.data)
		}
	}
	g.wires = nil
	if got := step(follower); got != durable+", send" {
		t.Errorf("a follower acknowledges: %s", got)
	}
	for _, p := range g.wires {
		lead.node.Receive(p.data)
	}
	if got := step(lead); got != "send, apply, answer" {
		t.Errorf("the leader commits: %s", got)
	}
}

// noting is a toy that tells when it applies, and answers with the entry.
type noting struct {
	toy
	note func(string)
}

func (m *noting) Apply(entry []byte, asked bool) (any, error) {
	m.note("apply")
	if _, err := m.toy.Apply(entry, asked); err != nil {
		return nil, err
	}
	return string(entry), nil
}
