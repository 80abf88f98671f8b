package sim

// ambush is a hostile network that waits for one moment: it looks at each message before it is sent.
type ambush interface {
	keeps(p *packet) bool // it does not go on its way
}

// handOver ends an ambush: what was kept arrives, in its order.
func (f *faults) handOver(kept []*packet) {
	f.net.ambush = nil
	for i, p := range kept {
		f.after(int64(i), func() { f.net.deliver(p) })
	}
}

// candidacy is what an ambush can wait for: somebody who stands for election, as long as he does.
type candidacy struct {
	*faults
	whom  *host
	boot  int
	seen  uint64 // its term when it was chosen
	until int64
	kept  []*packet
}

// stalker is an ambush for a candidate.
type stalker interface {
	ambush
	over() bool // what it waits for has happened, or will not
}

// stalk lays an ambush for the next candidate, and another one when that is over.
func (f *faults) stalk(name string, lay func(*candidacy) stalker) {
	f.await(func(h *host) {
		c := &candidacy{faults: f, whom: h, boot: h.boot, seen: h.node.Status().Term, until: f.now + lateMost}
		f.note(name, h.number, c.seen)
		a := lay(c)
		f.net.ambush = a
		c.watch(a, func() { f.stalk(name, lay) })
	})
}

func (c *candidacy) watch(a stalker, next func()) {
	if c.settling || c.whom.boot != c.boot || !c.stands(c.whom) || a.over() {
		c.handOver(c.kept)
		c.after(c.between(500, 1500)*millisecond, next)
		return
	}
	c.after(5*millisecond, func() { c.watch(a, next) })
}

// lateVotes keeps the answers to one who stands for election. When it stands again, nobody hears of that until
// the others have chosen another in the same term; then it gets what had been kept. Votes of before must not count.
type lateVotes struct {
	*candidacy
	terms [2]uint64 // of the election whose answers are kept, and of the one in which they arrive
}

// How long votes are kept back, less than until whoever stands does so again; and how long the whole lasts.
const (
	votesCome = 250 * millisecond
	lateMost  = 5 * second
)

// lurkForVotes waits for a candidate for lateVotes.
func (f *faults) lurkForVotes() {
	f.stalk("late votes", func(c *candidacy) stalker { return &lateVotes{candidacy: c} })
}

func (l *lateVotes) keeps(p *packet) bool {
	if p.from == l.whom.number {
		l.look()
		return l.terms[1] != 0
	}
	answer := l.terms[1] != 0 || l.terms[0] != 0 && l.now <= l.until
	if p.to != l.whom.number || !answer {
		return false
	}
	l.kept = append(l.kept, p)
	return true
}

// look sees that it stands in a new term. Before that it asks whether it may: its term is the old one.
func (l *lateVotes) look() {
	switch term := l.whom.node.Status().Term; {
	case !l.stands(l.whom):
	case l.terms[0] == 0 && term > l.seen:
		l.terms[0], l.until = term, l.now+votesCome
	case l.terms[0] != 0 && l.terms[1] == 0 && term > l.terms[0]:
		l.terms[1] = term
	}
}

func (l *lateVotes) over() bool { return l.now > l.until+lateMost || l.led(l.terms[1]) }

// led says whether somebody leads in a term.
func (f *faults) led(term uint64) bool {
	for _, h := range f.hosts {
		if h.up && term != 0 && h.node.Leads() == term {
			return true
		}
	}
	return false
}

// lateAcks parts a leader with a few from the others, and keeps what those few say to it. The others choose another,
// who makes the first one leader again; only then does it get what had been kept. Those few have what they had
// acknowledged, and it is not what the others have at those places: it must not count.
type lateAcks struct {
	*faults
	whom      *host
	term      uint64
	few, rest []*host
	parted    bool // from the rest; later only the few are
	until     int64
	kept      []*packet
}

// lurkForAcks waits for a leader for lateAcks.
func (f *faults) lurkForAcks() {
	if f.settling {
		return
	}
	minority := (f.fleet.voters() - 1) / 2
	for _, h := range f.hosts {
		if h.up && !h.frozen && h.node.Leads() > 0 && f.fleet.belongs(h) && minority > 1 {
			l := &lateAcks{faults: f, whom: h, term: h.node.Leads(), parted: true, until: f.now + lateMost}
			l.few, l.rest = f.sides(h, minority-1)
			f.note("late acknowledgements", h.number, l.term)
			f.net.ambush = l
			f.after(f.between(10, 200)*millisecond, l.part) // something may be kept that the others got
			return
		}
	}
	f.after(100*millisecond, f.lurkForAcks)
}

func (l *lateAcks) part() {
	l.net.cutOff(append([]*host{l.whom}, l.few...), l.rest)
	l.watch()
}

func (l *lateAcks) keeps(p *packet) bool {
	if p.to != l.whom.number {
		return false
	}
	for _, h := range l.few {
		if h.number == p.from {
			l.kept = append(l.kept, p)
			return true
		}
	}
	return false
}

func (l *lateAcks) watch() {
	if l.settling || !l.whom.up || l.now > l.until || l.whom.node.Leads() > l.term {
		l.handOver(l.kept)
		l.net.heal()
		l.after(l.between(200, 1000)*millisecond, l.lurkForAcks)
		return
	}
	for _, h := range l.rest {
		if h.up && !h.frozen && h.node.Leads() > l.term {
			l.giveBack(h)
			break
		}
	}
	l.after(20*millisecond, l.watch)
}

// giveBack lets the one who leads now make the first one leader again.
func (l *lateAcks) giveBack(h *host) {
	if l.parted {
		l.parted = false
		l.net.heal()
		l.net.cutOff(l.few, append([]*host{l.whom}, l.rest...))
	}
	h.node.TransferLeadership(l.whom.number)
	h.touch()
}
