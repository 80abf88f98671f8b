package sim

import (
	"slices"
	"time"

	"keepsake.example/chatd/nearest"
	"keepsake.example/vaultapi"
)

// relay is a chatd. Which member it asks, and which it passes over, chatd/nearest decides; what chatd does round that
// with goroutines and HTTP (chatd/upstream.go, probe.go), it does in events: probes, and the same request again
// to the next one.
type relay struct {
	*run
	number   uint64
	book     *book
	passages []*passage // under way
}

// book is what a process of chatd knows: the members in its configuration, and what nearest knows of them.
type book struct {
	members []uint64
	nearest *nearest.Servers
}

// The limits of chatd, which probes twice as often, shorter where a run is: one try takes less time than a member
// tries to decide, so that a request can be at several.
const (
	relayFor   = 5 * second
	tryFor     = 1200 * millisecond
	tryMost    = 12
	pauseFirst = 50 * millisecond
	pauseMost  = 500 * millisecond
	probeFor   = 500 * millisecond
	probeEvery = 500 * time.Millisecond
	passOver   = 250 * time.Millisecond
)

// newRelay makes a chatd in one of the data centers.
func newRelay(r *run, place int) *relay {
	y := &relay{run: r, number: relayNumber + uint64(place)}
	y.open()
	return y
}

// open starts a process of it, whose operator has written down who belongs to the fleet now.
func (y *relay) open() {
	b := &book{}
	for _, m := range y.fleet.roster.Members {
		b.members = append(b.members, m.Number)
	}
	b.nearest = nearest.New(len(b.members), nearest.Options{Every: probeEvery, PassOver: passOver, Chance: func(d time.Duration) time.Duration {
		return time.Duration(y.random.Int64N(int64(d)))
	}})
	y.book = b
	y.note("relay", y.number, uint64(len(b.members)))
	for i := range b.members {
		y.watch(b, i)
	}
}

// restart ends the process, with all that it was asked, and starts it again.
func (y *relay) restart() {
	y.open()
	for _, p := range slices.Clone(y.passages) {
		p.end(nil)
	}
}

// date is the clock of nearest: one that does not go back.
func (y *relay) date() time.Time { return time.UnixMicro(epoch*1000 + y.now) }

// micros is how long nearest wants to wait, in the simulator's time: not less.
func micros(d time.Duration) int64 { return int64((d + time.Microsecond - 1) / time.Microsecond) }

// watch probes a member again and again.
func (y *relay) watch(b *book, i int) {
	y.after(micros(b.nearest.Wait(i, y.date())), func() {
		switch {
		case y.book != b:
		case b.nearest.Due(i, y.date()):
			y.probe(b, i)
		default:
			y.watch(b, i)
		}
	})
}

// probe asks a member for nothing. It refuses where it knows of no leader.
func (y *relay) probe(b *book, i int) {
	began, over := y.date(), false
	once := func(why string) {
		if over || y.book != b {
			return
		}
		over = true
		b.nearest.Probed(i, began, y.date(), why)
		y.recall()
		y.watch(b, i)
	}
	y.after(probeFor, func() { once("silent") })
	y.reach(b.members[i], func(h *host, answer func(func())) {
		why := "no leader"
		if h.node.Status().Leader != 0 {
			why = ""
		}
		answer(func() { once(why) })
	}, func() { once("refused") })
}

// reach brings something to a member, which may answer. Where no process runs, that is told, or it is not.
func (y *relay) reach(number uint64, do func(h *host, answer func(func())), refused func()) {
	h := y.host(number)
	if h == nil {
		return // its machine comes later
	}
	answer := func(what func()) { y.net.carry(h.number, y.number, what) }
	y.net.carry(y.number, h.number, func() {
		if !h.up && y.chance(0.5) {
			answer(refused)
			return
		}
		h.get(func() { do(h, answer) })
	})
}

// passage is one request on its way through a relay.
type passage struct {
	*relay
	book    *book
	request *request
	done    func(*vaultapi.Answer)
	until   int64
	tried   []bool
	tries   int
	pause   int64
	ticket  *nearest.Ticket // of the try under way; nil: none
	over    bool
}

// ask gets a request answered, or not: then nil, and nobody knows.
func (y *relay) ask(q *request, done func(*vaultapi.Answer)) {
	p := &passage{relay: y, book: y.book, request: q, done: done, until: y.now + relayFor, tried: make([]bool, len(y.book.members)), pause: pauseFirst}
	y.passages = append(y.passages, p)
	p.try()
}

// end answers, and forgets.
func (p *passage) end(a *vaultapi.Answer) {
	p.over = true
	p.passages = slices.DeleteFunc(p.passages, func(o *passage) bool { return o == p })
	p.done(a)
}

// try gives the request to one member, of those that were not tried first.
func (p *passage) try() {
	if p.over {
		return
	}
	if p.tries++; p.tries > tryMost || p.now >= p.until {
		p.end(nil)
		return
	}
	if !slices.Contains(p.tried, false) {
		clear(p.tried)
	}
	t := p.book.nearest.Take(p.date(), p.tried)
	p.tried[t.Server], p.ticket = true, t
	patience := int64(tryFor)
	if t.Away {
		patience = probeFor
	}
	p.after(min(patience, p.until-p.now), func() { p.came(t, nil) })
	p.reach(p.book.members[t.Server], func(h *host, answer func(func())) {
		h.serve(p.request, func(a *vaultapi.Answer) { answer(func() { p.came(t, a) }) })
	}, func() { p.came(t, nil) })
}

// came is the end of a try: an answer, or nil for none.
func (p *passage) came(t *nearest.Ticket, a *vaultapi.Answer) {
	if p.over || p.ticket != t {
		return // it comes too late: others were asked
	}
	p.ticket = nil
	switch {
	case a != nil:
		t.Answered(p.date(), true)
		p.end(a)
	case p.now >= p.until:
		t.Left()
		p.end(nil)
	default:
		t.Failed(p.date(), "no answer") // not Undecided: here is one group, and a member that cannot decide this decides nothing
		p.again()
		p.recall()
	}
}

// again tries the next: at once while one answers, else after a pause, in which they may choose a leader.
func (p *passage) again() {
	d := int64(0)
	if !p.book.nearest.Answers() {
		d = p.pause + p.between(0, p.pause)
		p.pause = min(2*p.pause, pauseMost)
	}
	p.after(d, p.try)
}

// recall ends the tries at members that are passed over since.
func (y *relay) recall() {
	for _, p := range slices.Clone(y.passages) {
		if t := p.ticket; t != nil && t.Life.Err() != nil {
			p.came(t, nil)
		}
	}
}
