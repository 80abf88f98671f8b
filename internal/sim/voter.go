package sim

// oneVoter lets one member hear of a candidate, and dies as soon as it has voted. Its vote is kept until the others,
// and it again, have chosen another in the same term, if they can: it must not vote again.
type oneVoter struct {
	*candidacy
	voter *host
	term  uint64 // in which the candidate asks for votes
	voted bool
}

// lurkForVoter waits for a candidate for oneVoter.
func (f *faults) lurkForVoter() {
	f.stalk("one voter", func(c *candidacy) stalker { return &oneVoter{candidacy: c} })
}

func (o *oneVoter) keeps(p *packet) bool {
	switch {
	case p.from == o.whom.number:
		return o.asks(p)
	case p.to != o.whom.number || o.term == 0:
		return false
	case o.voter != nil && p.from == o.voter.number && !o.voted && o.voter.node.Status().Term == o.term:
		o.voted = true
		o.after(0, o.die)
	}
	o.kept = append(o.kept, p)
	return true
}

// asks lets the first one that is asked for its vote hear that, and nobody else.
func (o *oneVoter) asks(p *packet) (lost bool) {
	if s := o.whom.node.Status(); o.term == 0 && s.Role == "candidate" && s.Term > o.seen {
		o.term, o.voter = s.Term, o.host(p.to)
	}
	return o.term != 0 && (o.voted || o.voter == nil || p.to != o.voter.number)
}

func (o *oneVoter) die() {
	if o.voter.up {
		o.voter.crash(o.chance(0.5))
		o.after(o.between(10, 40)*millisecond, o.voter.start)
	}
}

func (o *oneVoter) over() bool { return o.now > o.until || o.led(o.term) }
