package replica_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"keepsake.example/replica"
)

// A group is some members and the network between them, all by hand and in one goroutine.
// A test says what the network loses.
type group struct {
	t               testing.TB
	random          *rand.Rand
	seats           map[uint64]*seat
	wires           []packet
	cut             func(from, to uint64) bool // nil: nothing is lost
	shuffle, double bool
	c               func(*replica.Config) // nil, or what is special
	may             error                 // why a member may halt
	versions        map[uint64]uint32     // of members, if not 1
	listen          func(packet)          // nil, or who hears everything
	locks           *locksmith            // nil, or who opens the boxes of new secrets

	acknowledged, unknown map[string]bool
	count                 int
}

// A seat is where a member runs.
type seat struct {
	number uint64
	w      *world
	node   *replica.Node // nil while it is down
	clock  uint64
	err    error // why it halted
	later  []func()
	manual bool // background parts wait in later
}

type packet struct {
	from, to uint64
	data     []byte
}

func newGroup(t testing.TB, seed uint64) *group {
	return &group{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), seats: map[uint64]*seat{},
		acknowledged: map[string]bool{}, unknown: map[string]bool{},
	}
}

func (g *group) config(s *seat) replica.Config {
	c := s.w.config()
	c.Send = func(to uint64, data []byte) { g.wires = append(g.wires, packet{s.number, to, slices.Clone(data)}) }
	c.Clock = func() uint64 { return s.clock }
	c.Rand = fountain{g.random}
	c.Background = func(part func()) {
		if s.manual {
			s.later = append(s.later, part)
			return
		}
		part()
	}
	if v := g.versions[s.number]; v != 0 {
		c.Version, c.NewMachine = v, func() replica.Machine { return &toy{version: v} }
	}
	if g.locks != nil {
		c.NewMachine, c.OpenSecret = newSafe, g.locks.opener(s.number)
	}
	if g.c != nil {
		g.c(&c)
	}
	return c
}

// fountain is a source of random bytes that a seed determines.
type fountain struct{ r *rand.Rand }

func (f fountain) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(f.r.Uint32())
	}
	return len(p), nil
}

// found makes the first member.
func (g *group) found() {
	g.t.Helper()
	s := &seat{number: 1, w: newWorld(), clock: 1000}
	g.seats[1] = s
	check(g.t, replica.Create(g.t.Context(), g.config(s), 1, [][]byte{[]byte(genesis)}))
	g.start(1)
}

func (g *group) start(number uint64) {
	g.t.Helper()
	if err := g.tryStart(number); err != nil {
		g.t.Fatalf("starting member %d: %v", number, err)
	}
}

func (g *group) tryStart(number uint64) error {
	s := g.seats[number]
	node, err := replica.OpenNode(g.t.Context(), g.config(s))
	s.node, s.err = node, nil
	return err
}

// crash takes the power from a member, and leaves of its disk what was synced.
func (g *group) crash(number uint64) {
	s := g.seats[number]
	s.node, s.later = nil, nil
	s.w = s.w.after(g.random)
}

// join makes a newcomer, whose secret comes from another member.
func (g *group) join(number uint64) {
	g.t.Helper()
	s := &seat{number: number, w: newWorld(), clock: 1000}
	g.seats[number] = s
	var secret [32]byte
	g.any().Secret(func(b []byte) { copy(secret[:], b) })
	check(g.t, replica.Join(g.t.Context(), g.config(s), number, &secret))
	g.start(number)
}

func (g *group) any() *replica.Node {
	for _, n := range g.numbers() {
		if s := g.seats[n]; s.node != nil && s.err == nil {
			return s.node
		}
	}
	g.t.Fatal("nobody runs")
	return nil
}

func (g *group) numbers() []uint64 { return slices.Sorted(maps.Keys(g.seats)) }

// step lets everybody work, and the network deliver, until nothing happens any more.
func (g *group) step() {
	for {
		for _, n := range g.numbers() {
			g.work(g.seats[n])
		}
		if len(g.wires) == 0 {
			return
		}
		g.deliver()
	}
}

func (g *group) work(s *seat) {
	if s.node == nil || s.err != nil {
		return
	}
	if s.err = s.node.Step(); s.err != nil && !errors.Is(s.err, replica.ErrRemoved) && !errors.Is(s.err, errPower) && (g.may == nil || !errors.Is(s.err, g.may)) {
		g.t.Errorf("member %d halted: %v", s.number, s.err)
	}
	if s.err != nil {
		_ = s.node.Close()
	}
}

func (g *group) deliver() {
	due := g.wires
	g.wires = nil
	if g.shuffle {
		g.random.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	}
	for _, p := range due {
		if g.listen != nil {
			g.listen(p)
		}
		s := g.seats[p.to]
		if s == nil || s.node == nil || s.err != nil || g.cut != nil && g.cut(p.from, p.to) {
			continue
		}
		s.node.Receive(slices.Clone(p.data))
		if g.double && g.random.IntN(3) == 0 {
			s.node.Receive(p.data)
		}
	}
}

// tick lets time pass.
func (g *group) tick(n int) {
	for range n {
		for _, number := range g.numbers() {
			if s := g.seats[number]; s.node != nil && s.err == nil {
				s.clock += 50
				s.node.Tick()
			}
		}
		g.step()
	}
}

// leader waits for one, whom enough know.
func (g *group) leader() *seat {
	g.t.Helper()
	for range 400 {
		g.tick(1)
		best := (*seat)(nil)
		for _, n := range g.numbers() {
			s := g.seats[n]
			if s.node != nil && s.err == nil && s.node.Status().Role == "leader" && (best == nil || s.node.Status().Term > best.node.Status().Term) {
				best = s
			}
		}
		if best != nil && best.node.Status().Applied == best.node.Status().Last {
			return best
		}
	}
	g.t.Fatal("no leader")
	return nil
}

// propose proposes one new entry at a member and lets time pass until its fate is known.
func (g *group) propose(number uint64, size int) error {
	g.count++
	e := fmt.Sprintf("entry %d %0*d", g.count, size, 0)
	var got error
	known := false
	g.unknown[e] = true
	g.seats[number].node.Propose([]byte(e), func(effect any, err error) {
		if known {
			g.t.Errorf("%.20q was answered twice", e)
		}
		got, known = err, true
		switch {
		case err == nil:
			g.acknowledged[e] = true
			if effect == nil {
				g.t.Errorf("%.20q has no effect", e)
			}
		case !errors.Is(err, replica.ErrUnknown):
			delete(g.unknown, e)
		}
	})
	g.step()
	for range 200 {
		if known || g.seats[number].err != nil || g.seats[number].node == nil {
			break
		}
		g.tick(1)
	}
	if !known {
		got = replica.ErrUnknown
	}
	return got
}

// must proposes until it succeeds.
func (g *group) must(number uint64, size int) {
	g.t.Helper()
	var err error
	for range 20 {
		if err = g.propose(number, size); err == nil {
			return
		}
		g.tick(5)
	}
	g.t.Fatalf("member %d cannot propose: %v", number, err)
}

// change changes the members, at any of them.
func (g *group) change(at uint64, text string) {
	g.t.Helper()
	for range 20 {
		var got error
		known := false
		g.seats[at].node.Change([]byte(text), func(effect any, err error) {
			got, known = err, true
			if err == nil && effect != "done" {
				g.t.Errorf("%s: %v", text, effect)
			}
		})
		for range 100 {
			if known {
				break
			}
			g.tick(1)
		}
		if known && got == nil {
			return
		}
		g.tick(3)
	}
	g.t.Fatalf("%s: no success", text)
}

// grown is a group of n voters.
func grown(t testing.TB, seed uint64, n int) *group {
	t.Helper()
	g := newGroup(t, seed)
	grow(g, n)
	return g
}

func grow(g *group, n int) {
	g.t.Helper()
	g.found()
	for number := uint64(2); number <= uint64(n); number++ {
		g.change(1, fmt.Sprint("add ", number))
		g.join(number)
		g.tick(30)
		g.change(1, fmt.Sprint("promote ", number))
	}
	g.tick(10)
	g.agree()
}

// agree checks that all who run have the same, and that nothing acknowledged is missing.
func (g *group) agree() {
	g.t.Helper()
	var first []string
	for _, n := range g.numbers() {
		s := g.seats[n]
		if s.node == nil || s.err != nil {
			continue
		}
		m, ok := toyOf(s.node.Peek())
		if !ok {
			g.t.Errorf("member %d has no state: %+v", n, s.node.Status())
			continue
		}
		if first == nil {
			first = m.entries
			g.complete(m.entries)
		}
		if !slices.Equal(first, m.entries) {
			g.t.Errorf("member %d has %d entries, another %d; status %+v", n, len(m.entries), len(first), s.node.Status())
		}
		for _, seen := range s.node.Status().Members {
			if seen.Forgot > 0 && g.may == nil {
				g.t.Errorf("member %d takes %d for one that forgot", n, seen.Number)
			}
		}
	}
}

// toyOf finds the toy in a machine.
func toyOf(m replica.Machine) (*toy, bool) {
	if n, ok := m.(*noting); ok {
		return &n.toy, true
	}
	if n, ok := m.(*safe); ok {
		return &n.toy, true
	}
	t, ok := m.(*toy)
	return t, ok
}

func entriesIn(m replica.Machine) []string {
	t, _ := toyOf(m)
	return t.entries
}

// complete checks one member's state.
func (g *group) complete(entries []string) {
	g.t.Helper()
	there := unique(g.t, entries)
	for e := range g.acknowledged {
		if !there[e] {
			g.t.Errorf("%.20q was acknowledged and is lost", e)
		}
	}
}

// read reads at a member, and wants to see all that was acknowledged before.
func (g *group) read(number uint64) error {
	g.t.Helper()
	before := maps.Clone(g.acknowledged)
	got := errors.New("no answer")
	s := g.seats[number]
	s.node.Read(func(err error) {
		if got = err; err != nil {
			return
		}
		there := map[string]bool{}
		for _, e := range entriesIn(s.node.Peek()) {
			there[e] = true
		}
		for e := range before {
			if !there[e] {
				g.t.Errorf("a read at member %d does not see %.20q", number, e)
			}
		}
	})
	for range 60 {
		g.tick(1)
		if got == nil {
			return nil
		}
	}
	return got
}

func TestGroupGrows(t *testing.T) {
	g := grown(t, 1, 3)
	for n := uint64(1); n <= 3; n++ {
		g.must(n, 10)
		check(t, g.read(n))
	}
	g.tick(4)
	g.agree()
}
