package sim

// faults is what goes wrong in one run: each kind happens every so often, 0 for
// never, in microseconds.
type faults struct {
	*run
	crash, part, pause, clock, image, lie, fill, transfer, leap, rollback, plot, blackout, wipe, flap, relay int64

	ambush func(*faults) // what lies in wait for a moment; nil for nothing

	down int64 // how long a process is down after a crash, at most
}

// newFaults draws which kinds a run has: every kind alone, and together with others, in some run.
func newFaults(r *run) *faults {
	f := &faults{run: r}
	some := func(p float64, least, most int64) int64 {
		if !r.chance(p) {
			return 0
		}
		return r.between(least, most)
	}
	f.crash = some(0.6, 300*millisecond, 3*second)
	f.part = some(0.5, 500*millisecond, 4*second)
	f.pause = some(0.4, 500*millisecond, 4*second)
	f.clock = some(0.5, 200*millisecond, second)
	f.image = some(0.3, second, 4*second)
	f.lie = some(0.2, second, 4*second)
	f.fill = some(0.15, second, 4*second)
	f.transfer = some(0.4, 300*millisecond, 3*second)
	f.leap = some(0.25, 2*second, 6*second)
	f.blackout = some(0.3, second, 4*second)
	f.wipe = some(0.2, second, 4*second)
	if r.tolerate > 0 {
		f.rollback = some(0.5, second, 4*second)
		f.plot = some(0.6, 300*millisecond, second)
	}
	f.relay = some(0.3, 500*millisecond, 4*second)
	f.down = 2 * second
	if r.chance(0.15) || r.hooks.ambush != nil {
		f.storm()
	}
	if r.hooks.stalls {
		f.pause = f.between(200, 700) * millisecond
	}
	return f
}

// storm is a time of many elections: short crashes, lost messages, cut links.
func (f *faults) storm() {
	f.crash, f.flap, f.down = f.between(60, 250)*millisecond, f.between(30, 150)*millisecond, 40*millisecond
	f.net.loss = 0.3 * f.random.Float64()
	if f.chance(0.5) || f.hooks.ambush != nil {
		f.crash, f.flap, f.net.loss = f.between(1, 3)*second, 0, 0
		f.ambush = pick(f.world, []func(*faults){(*faults).lurk, (*faults).lurkForVotes, (*faults).lurkForAcks, (*faults).lurkForVoter})
	}
	if f.hooks.ambush != nil {
		f.ambush = f.hooks.ambush
	}
}

// begin sets all of them going.
func (f *faults) begin() {
	f.every(f.crash, f.strike)
	f.every(f.part, f.partition)
	f.every(f.pause, f.stop)
	f.every(f.clock, f.jump)
	f.every(f.image, f.putBack)
	f.every(f.lie, f.liar)
	f.every(f.fill, f.full)
	f.every(f.transfer, f.move)
	f.every(f.leap, f.forward)
	f.every(f.rollback, f.rollBack)
	f.every(f.plot, f.betray)
	f.every(f.blackout, f.darkness)
	f.every(f.wipe, f.forget)
	f.every(f.flap, f.cutOne)
	f.every(f.relay, func() { pick(f.world, f.relays).restart() })
	if f.ambush != nil {
		f.ambush(f)
	}
}

func (f *faults) every(d int64, do func()) {
	if d == 0 {
		return
	}
	f.after(f.between(0, 2*d), func() {
		if !f.settling {
			do()
			f.every(d, do)
		}
	})
}

// victim is a member that runs: half of the time the leader, if there is one.
func (f *faults) victim() *host {
	var up []*host
	for _, h := range f.hosts {
		if h.up && !h.frozen {
			up = append(up, h)
		}
	}
	if len(up) == 0 {
		return nil
	}
	if f.chance(0.5) {
		for _, h := range up {
			if h.node.Status().Role == "leader" {
				return h
			}
		}
	}
	return pick(f.world, up)
}

// strike ends a process, cuts the power now, or at one of its next durable steps,
// or lets one of them fail.
func (f *faults) strike() {
	h := f.victim()
	if h == nil {
		return
	}
	switch f.random.IntN(5) {
	case 0:
		h.crash(false)
	case 1:
		h.crash(true)
	default:
		h.power.limit, h.power.once = h.power.steps+1+f.random.IntN(12), f.chance(0.2)
		return
	}
	f.after(f.between(20*millisecond, f.down), h.start)
}

// darkness cuts the power of all members at once.
func (f *faults) darkness() {
	f.note("blackout")
	for _, h := range f.hosts {
		if h.up {
			h.crash(true)
			f.after(f.between(20*millisecond, second), h.start)
		}
	}
}

// forget empties a member's disk and anchor, and lets it join again under its number:
// it must not be welcomed a second time.
func (f *faults) forget() {
	h := f.victim()
	if h == nil || !f.fleet.belongs(h) || f.fleet.spare() < 1 {
		return
	}
	f.note("wipe", h.number)
	h.crash(false)
	power := new(power)
	h.power, h.disk, h.counter, h.images, h.tampered = power, newDisk(power), &counter{power: power}, nil, true
	f.fleet.join(h, f.fleet.nonce())
}

// betray is the best that a host can do with one anchor that it can put back: part of the
// voters is cut off while the others go on; then one of those is put back to before that, and
// together with the first part cut off from the rest.
func (f *faults) betray() {
	n, h := f.fleet.voters(), f.victim()
	if h == nil || !f.fleet.belongs(h) || !f.mayForget(h) {
		return
	}
	first, then := f.sides(h, n-(n/2+1))
	h.save()
	was := h.images[len(h.images)-1]
	f.note("plot", h.number, uint64(len(first)), uint64(len(then)))
	f.net.cutOff(first, append(then, h))
	f.after(f.between(800*millisecond, 1500*millisecond), func() {
		if f.settling || !h.up || !f.mayForget(h) {
			f.net.heal()
			return
		}
		h.crash(true)
		h.put(was, true)
		h.start()
		f.net.heal()
		f.net.cutOff(append(first, h), then)
		f.after(f.between(2*second, 4*second), f.net.heal)
	})
}

// sides parts the members without one: some that do not lead, and the rest.
func (f *faults) sides(but *host, some int) (first, rest []*host) {
	for _, i := range f.random.Perm(len(f.hosts)) {
		o := f.hosts[i]
		switch {
		case o == but || o.lost || !f.fleet.belongs(o):
		case len(first) < some && (!o.up || o.node.Status().Role != "leader"):
			first = append(first, o)
		default:
			rest = append(rest, o)
		}
	}
	return first, rest
}

func (f *faults) partition() {
	h := pick(f.world, f.hosts)
	switch f.random.IntN(6) {
	case 0:
		f.net.isolate(h.number, true, false)
	case 1:
		f.net.isolate(h.number, false, true)
	case 2:
		f.net.split()
	case 3:
		if v := f.victim(); v != nil {
			f.net.isolate(v.number, true, true)
		}
	case 4:
		y := pick(f.world, f.relays)
		f.net.cut[link{y.number, h.number}], f.net.cut[link{h.number, y.number}] = f.chance(0.7), f.chance(0.7)
	default:
		o := pick(f.world, f.hosts)
		f.net.cut[link{h.number, o.number}] = true
	}
	f.note("cut", uint64(len(f.net.cut)))
	f.after(f.between(200*millisecond, 3*second), f.net.heal)
}

// lurk waits for a candidate. Some of the others never hear of it; one who votes for it
// loses its power right after, and is then among those others: it must not vote again.
func (f *faults) lurk() {
	f.await(func(candidate *host) {
		f.trap(candidate)
		f.after(f.between(1, 2)*second, f.lurk)
	})
}

// await waits for a candidate.
func (f *faults) await(do func(candidate *host)) {
	if f.settling {
		return
	}
	for _, h := range f.hosts {
		if f.stands(h) && f.fleet.belongs(h) {
			do(h)
			return
		}
	}
	f.after(10*millisecond, func() { f.await(do) })
}

func (f *faults) stands(h *host) bool {
	return h.up && !h.frozen && h.node.Status().Role == "candidate"
}

func (f *faults) trap(candidate *host) {
	deaf, rest := f.sides(candidate, f.fleet.voters()/2)
	if len(rest) == 0 {
		return
	}
	voter := rest[0]
	f.note("trap", candidate.number, voter.number)
	f.net.cutOff([]*host{candidate}, deaf)
	voter.power.limit, voter.power.once = voter.power.steps+3+f.random.IntN(8), false
	f.down = 20 * millisecond
	f.after(f.between(10, 150)*millisecond, func() { f.net.cutOff([]*host{candidate}, []*host{voter}) })
	f.after(f.between(800, 1500)*millisecond, f.net.heal)
}

// cutOne cuts one link, one way, for a short time.
func (f *faults) cutOne() {
	l := link{pick(f.world, f.hosts).number, pick(f.world, f.hosts).number}
	f.net.cut[l] = true
	f.after(f.between(100*millisecond, second), func() { delete(f.net.cut, l) })
}

// stop stops a process for a while.
func (f *faults) stop() {
	h := f.victim()
	if h == nil {
		return
	}
	f.note("stop", h.number)
	h.frozen = true
	f.after(f.between(200*millisecond, 4*second), h.wake)
}

// jump sets the clock of one of a minority, or sets it right. A clock that was wrong
// once counts as wrong for good: its last reading may still be somebody's newest.
func (f *faults) jump() {
	var suspects []*host
	for _, h := range f.hosts {
		if h.suspect && f.fleet.belongs(h) {
			suspects = append(suspects, h)
		}
	}
	h := f.victim()
	if h == nil || !h.suspect && len(suspects)+1 > (f.fleet.least()-1)/2 {
		if len(suspects) == 0 {
			return
		}
		h = pick(f.world, suspects)
	}
	h.suspect = true
	h.wrong = pick(f.world, []int64{0, -400 * 24 * 3600 * 1000, -3600 * 1000, -5000, 5000, 3600 * 1000, 10 * 24 * 3600 * 1000})
	f.note("clock", h.number, uint64(h.wrong))
}

// putBack keeps images, and puts a member's disk back to one: it must refuse to run.
func (f *faults) putBack() {
	h := f.victim()
	if h == nil {
		return
	}
	if len(h.images) == 0 || f.chance(0.4) {
		h.save()
		return
	}
	if f.fleet.spare() < 1 {
		return
	}
	f.note("image", h.number)
	h.crash(f.chance(0.5))
	h.put(pick(f.world, h.images), false)
	f.after(f.between(20*millisecond, second), h.start)
}

// mayForget says whether the fleet must bear that this member is rolled back with its
// anchor: no more are than it tolerates, and it can do without it.
func (f *faults) mayForget(h *host) bool {
	forgetful := 0
	for _, o := range f.hosts {
		if o.rolled && o != h {
			forgetful++
		}
	}
	return forgetful < f.tolerate && (h.rolled || f.fleet.spare() >= 1)
}

// rollBack puts disk and anchor back together, of no more members than tolerated.
func (f *faults) rollBack() {
	h := f.victim()
	if h == nil {
		return
	}
	if len(h.images) == 0 || f.chance(0.3) {
		h.save()
		return
	}
	if !f.mayForget(h) {
		return
	}
	f.note("roll back", h.number)
	h.crash(true)
	h.put(pick(f.world, h.images), true)
	f.after(f.between(20*millisecond, second), h.start)
}

// liar lets a disk say that it synced, until its power goes.
func (f *faults) liar() {
	h := f.victim()
	if h == nil || f.fleet.spare() < 1 || h.tampered {
		return
	}
	f.note("liar", h.number)
	h.disk.liar, h.lied, h.tampered = true, true, true
	boot := h.boot
	f.after(f.between(20*millisecond, second), func() {
		if h.up && h.boot == boot {
			h.crash(true)
			f.after(f.between(20*millisecond, second), h.start)
		}
		h.disk.liar = false
	})
}

func (f *faults) full() {
	if h := f.victim(); h != nil {
		f.note("full", h.number)
		h.disk.full = true
		f.after(f.between(100*millisecond, 2*second), func() { h.disk.full = false })
	}
}

func (f *faults) move() {
	if h := f.victim(); h != nil {
		to := pick(f.world, f.hosts).number
		f.note("transfer", h.number, to)
		h.node.TransferLeadership(to * uint64(f.random.IntN(2)))
		h.touch()
	}
}

// forward lets everything stand still for a time: all clocks go on.
func (f *faults) forward() {
	d := pick(f.world, []int64{2 * second, 10 * second, 70 * minute, 25 * 60 * minute})
	f.note("leap", uint64(d))
	f.now += d
}
