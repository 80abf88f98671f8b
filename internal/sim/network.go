package sim

import "slices"

// network is everything between the machines, in hostile hands.
type network struct {
	*run
	loss, double, slow float64 // chances for each message
	replay, edit       float64
	repeats            bool   // messages come twice or edited in this run
	ambush             ambush // nil: none
	cut                map[link]bool
	far                [places][places]int64 // one way, in microseconds
	kept               []*packet             // what the hostile host keeps
}

// places is how many data centers there are; a member's is its number modulo this.
const places = 7

type link struct{ from, to uint64 }

// packet is one sealed message on its way.
type packet struct {
	from, to uint64
	bytes    []byte
	taken    []uint64 // boots of the receiver that took it
	edited   bool
}

func newNetwork(r *run) *network {
	n := &network{run: r, cut: map[link]bool{}}
	for a := range places {
		for b := range a {
			d := r.between(millisecond, r.farthest)
			n.far[a][b], n.far[b][a] = d, d+r.between(0, d/4)
		}
		n.far[a][a] = 200
	}
	return n
}

// relays have numbers from here on, of the first data center.
const relayNumber = 143 * places

func (n *network) delay(from, to uint64) int64 {
	d := n.far[from%places][to%places]
	d += n.random.Int64N(d/4 + 300)
	if n.chance(n.slow) {
		d += n.random.Int64N(2 * second)
	}
	return d
}

// arrives decides what becomes of one message: zero times, once or twice, later.
func (n *network) carry(from, to uint64, deliver func()) {
	if n.cut[link{from, to}] || n.chance(n.loss) {
		return
	}
	n.after(n.delay(from, to), deliver)
	if n.chance(n.double) {
		n.after(n.delay(from, to), deliver)
	}
}

// send takes a sealed message from a member.
func (n *network) send(h *host, to uint64, message []byte) {
	n.note("send", h.number, to, uint64(len(message)), sum(message))
	p := &packet{from: h.number, to: to, bytes: message}
	if n.ambush != nil && n.ambush.keeps(p) {
		return
	}
	n.carry(p.from, p.to, func() { n.deliver(p) })
	n.attack(p)
}

// attack is the hostile host: it keeps, repeats, edits and misdirects.
func (n *network) attack(p *packet) {
	if n.replay == 0 && n.edit == 0 {
		return
	}
	const keep = 64
	if len(n.kept) < keep {
		n.kept = append(n.kept, p)
	} else {
		n.kept[n.random.IntN(keep)] = p
	}
	if n.chance(n.replay) {
		old := pick(n.world, n.kept)
		n.after(n.between(0, second), func() { n.deliver(old) })
	}
	if n.chance(n.edit) {
		bad := n.spoil(pick(n.world, n.kept))
		n.after(n.between(0, 100*millisecond), func() { n.deliver(bad) })
	}
}

// spoil changes one bit, cuts the end off, or sends it to somebody else or back.
func (n *network) spoil(p *packet) *packet {
	bad := &packet{from: p.from, to: p.to, bytes: slices.Clone(p.bytes), edited: true}
	switch n.random.IntN(4) {
	case 0:
		bad.bytes = bad.bytes[:n.random.IntN(len(bad.bytes))]
	case 1:
		bad.to = pick(n.world, n.hosts).number
		bad.edited = bad.to != p.to
	case 2:
		bad.bytes = append(bad.bytes, byte(n.random.IntN(256)))
	default:
		bad.bytes[n.random.IntN(len(bad.bytes))] ^= 1 << n.random.IntN(8)
	}
	return bad
}

// deliver gives a message to the process at its end, if there is one.
func (n *network) deliver(p *packet) {
	h := n.host(p.to)
	if h == nil {
		return
	}
	if h.up && !h.frozen { // most of the time
		n.hand(p, h)
		return
	}
	h.get(func() { n.hand(p, h) })
}

// hand gives a message to a process that runs.
func (n *network) hand(p *packet, h *host) {
	defer h.touch()
	if !n.repeats { // nothing comes twice in this run, or edited
		h.node.Receive(p.bytes)
		return
	}
	before := h.node.Dropped()
	h.node.Receive(slices.Clone(p.bytes))
	again := p.edited || slices.Contains(p.taken, uint64(h.boot)) && !isHello(p.bytes)
	took := h.node.Dropped() == before
	if again && took {
		n.fail(sealedOnce, "member %d took a message of %d that was edited or had been taken before", h.number, p.from)
	}
	if took {
		p.taken = append(p.taken, uint64(h.boot))
	}
}

// isolate cuts a member off: from it, to it, or both.
func (n *network) isolate(number uint64, out, in bool) {
	for _, h := range n.hosts {
		if h.number != number {
			n.cut[link{number, h.number}] = n.cut[link{number, h.number}] || out
			n.cut[link{h.number, number}] = n.cut[link{h.number, number}] || in
		}
	}
}

// cutOff cuts some members off from others.
func (n *network) cutOff(these, those []*host) {
	for _, a := range these {
		for _, b := range those {
			n.cut[link{a.number, b.number}], n.cut[link{b.number, a.number}] = true, true
		}
	}
}

// split cuts the members into two parts.
func (n *network) split() {
	var sides [2][]*host
	for _, h := range n.hosts {
		i := n.random.IntN(2)
		sides[i] = append(sides[i], h)
	}
	n.cutOff(sides[0], sides[1])
}

// heal ends all cuts.
func (n *network) heal() { clear(n.cut) }

// misfortune draws how bad the network of a run is.
func (n *network) misfortune() {
	if n.chance(0.5) {
		n.loss = n.random.Float64() * 0.15
	}
	if n.chance(0.3) {
		n.double = n.random.Float64() * 0.2
	}
	if n.chance(0.3) {
		n.slow = n.random.Float64() * 0.1
	}
	if n.chance(0.4) {
		n.replay, n.edit = n.random.Float64()*0.1, n.random.Float64()*0.05
	}
	n.repeats = n.double > 0 || n.replay > 0 || n.edit > 0
}

// calm ends all that.
func (n *network) calm() {
	n.loss, n.double, n.slow, n.replay, n.edit = 0, 0, 0, 0, 0
	n.heal()
}

// isHello says whether a message opens a session: it may come more than once
// (spec/replication.md §11).
func isHello(b []byte) bool { return len(b) > 1 && b[1] == 1 }
