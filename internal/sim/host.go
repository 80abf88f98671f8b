package sim

import (
	"errors"

	"keepsake.example/replica"
)

// host is one machine of the fleet: a disk, an anchor, a clock, and mostly a process.
type host struct {
	*run
	number  uint64
	power   *power
	disk    *disk
	counter *counter
	node    node
	boot    int // which process of this host
	due     bool
	work    func() // what touch and tick ask for, of this process
	beat    func()

	up     bool
	frozen bool     // the process is stopped and will wake up
	inbox  []func() // what came meanwhile
	lost   bool     // it must never run again: rolled back, or removed
	rolled bool     // its disk and its anchor were put back together: it may have forgotten what it said

	skew, wrong int64  // of its clock, in milliseconds
	suspect     bool   // its clock was wrong at some time
	knows       uint64 // the place that its machine has reached, at most
	calls       []*call
	ready       []*call
	images      []stored
	mustRefuse  bool // its disk is older than its anchor
	tampered    bool // its disk was changed or lied: it may refuse to start
	stateful    bool // it has had a state of the group: before, it decides nothing
	lied        bool // its disk holds in memory only what it said was durable
}

// node is a replica.Node.
type node interface {
	Propose(entry []byte, done func(effect any, err error))
	Change(signed []byte, done func(effect any, err error))
	Read(done func(err error))
	Peek() replica.Machine
	Receive(message []byte)
	Tick()
	Step() error
	TransferLeadership(to uint64)
	Time() uint64
	Current() bool
	Leads() (term uint64)
	Status() replica.Status
	Dropped() uint64
	Secret(f func(secret []byte))
	SecretsOf(member uint64, f func(secret []byte) (right bool))
	AdoptSecret(secret *[32]byte) error
	Claim() ([32]byte, error)
	Checkpoint(done func(error))
}

// newHost makes a machine that was never started.
func (r *run) newHost(number uint64) *host {
	p := new(power)
	h := &host{run: r, number: number, power: p, disk: newDisk(p), counter: &counter{power: p, lenient: r.hooks.lenient}, skew: r.between(-honestSkew/2, honestSkew/2)}
	h.schedule()
	r.hosts = append(r.hosts, h)
	return h
}

// config is what a node of this host is opened with.
func (h *host) config() replica.Config {
	boot := h.boot
	alive := func() bool { return h.up && h.boot == boot }
	return replica.Config{
		OpenSecret: func(info, box []byte) (*[32]byte, error) { return h.secrets.open(h, info, box) }, Overlap: h.overlap(),
		Anchor: h.counter, Disk: h.disk,
		NewMachine:      func() replica.Machine { return &wrapper{inner: h.hooks.machine(h), run: h.run, who: h.number} },
		Clock:           h.clock,
		CheckpointBytes: h.checkpoints, LogFileBytes: 8 << 10,
		Send: func(to uint64, message []byte) {
			if alive() && !h.power.gone {
				h.net.send(h, to, message)
			}
		},
		Background: func(part func()) {
			h.after(h.between(0, 30*millisecond), func() {
				if alive() {
					part()
					h.touch()
				}
			})
		},
	}
}

func (h *host) clock() uint64 { return uint64(max(int64(h.date())+h.skew+h.wrong, 1)) }

// start starts a process on the host's disk.
func (h *host) start() {
	if h.up || h.lost || !h.counter.founded {
		return
	}
	h.boot++
	h.starts++
	h.schedule()
	h.power.gone, h.disk.full = false, false
	h.up = true
	node, err := h.hooks.open(h)
	if err == nil && h.power.gone {
		err = errPower
	}
	h.note("start", h.number, uint64(h.boot), boolean(err == nil))
	if err != nil {
		h.up = false
		h.refused(err)
		return
	}
	h.node, h.due, h.frozen, h.inbox = node, false, false, nil
	if h.mustRefuse {
		h.fail(rollback, "member %d runs on a disk that is older than its anchor", h.number)
	}
	h.tampered = h.lied
	h.touch()
	h.beat()
}

// schedule makes what the process of this boot does again and again.
func (h *host) schedule() {
	boot := h.boot
	h.work = func() {
		if h.boot == boot {
			h.due = false
			h.step()
		}
	}
	h.beat = func() { h.tick(boot) }
}

// refused is a start that failed.
func (h *host) refused(err error) {
	var back *replica.RollbackError
	var damaged *replica.DamagedError
	switch {
	case errors.Is(err, errPower) || errors.Is(err, errIO):
		h.crash(errors.Is(err, errPower))
		h.after(h.between(0, second), h.start)
	case errors.As(err, &back) || errors.As(err, &damaged):
		if !h.tampered && !h.mustRefuse {
			h.fail(unharmed, "member %d refuses to start on a disk that nobody touched: %v", h.number, err)
		}
		h.lose()
	case errors.Is(err, replica.ErrRemoved):
		h.lose()
	default:
		h.fail(unharmed, "member %d does not start: %v", h.number, err)
	}
}

// lose gives the host up for good.
func (h *host) lose() {
	h.note("lost", h.number)
	h.crash(false)
	h.lost = true
}

// tick lets the node's time pass.
func (h *host) tick(boot int) {
	if !h.up || h.boot != boot {
		return
	}
	if !h.frozen {
		h.node.Tick()
		h.touch()
		if m := h.machine(); m != nil && m.at > 0 {
			h.stateful = true
		}
	}
	h.after(50*millisecond+h.between(-500, 500), h.beat)
}

// touch lets the node work soon.
func (h *host) touch() {
	if h.due {
		return
	}
	h.due = true
	h.after(h.between(0, 300), h.work)
}

func (h *host) step() {
	if !h.up || h.frozen {
		return
	}
	h.hooks.before(h)
	err := h.node.Step()
	if err == nil && h.power.gone {
		err = errPower // it takes that for want of room
	}
	if err != nil {
		h.halted(err)
		return
	}
	h.history.leads(h)
	for len(h.ready) > 0 && h.up {
		c := h.ready[0]
		h.ready = h.ready[1:]
		c.pump()
	}
}

// halted is a node that runs no more.
func (h *host) halted(err error) {
	h.note("halted", h.number)
	h.say(err)
	switch {
	case errors.Is(err, errPower), errors.Is(err, errIO):
		h.crash(errors.Is(err, errPower))
		h.after(h.between(10*millisecond, h.faults.down), h.start)
	case errors.Is(err, replica.ErrRemoved), h.rolled:
		h.lose()
	default:
		h.fail(unharmed, "member %d halted: %v", h.number, err)
	}
}

// crash ends the process at once; with its power, what was not synced may go too.
func (h *host) crash(cut bool) {
	h.note("crash", h.number, boolean(cut))
	h.up, h.node, h.inbox, h.ready, h.frozen = false, nil, nil, nil, false
	calls := h.calls
	h.calls = nil
	for _, c := range calls {
		c.stop()
	}
	h.power.limit = 0
	if cut {
		h.hooks.cut(h)
		h.disk.cut(h.world)
		h.lied = h.disk.liar
	}
}

// get gives the process something to do, now or when it wakes up.
func (h *host) get(do func()) {
	switch {
	case !h.up:
	case h.frozen:
		h.inbox = append(h.inbox, do)
	default:
		do()
	}
}

// wake lets a stopped process go on, as if no time had passed for it.
func (h *host) wake() {
	if !h.up || !h.frozen {
		return
	}
	h.note("wake", h.number, uint64(len(h.inbox)))
	h.frozen = false
	inbox := h.inbox
	h.inbox = nil
	h.touch()
	for _, do := range inbox {
		h.after(h.between(0, 2*millisecond), func() { h.get(do) })
	}
}

// save keeps an image of disk and anchor.
func (h *host) save() {
	h.images = append(h.images, stored{h.disk.image(), *h.counter, h.disk.synced})
}

// put puts the disk back to an image; with the anchor, if that is put back too.
func (h *host) put(s stored, withAnchor bool) {
	h.disk.load(s.disk)
	if withAnchor {
		power, lenient := h.counter.power, h.counter.lenient
		*h.counter = s.counter
		h.counter.power, h.counter.lenient = power, lenient
		h.disk.synced, h.rolled = s.synced, true
		return
	}
	h.tampered = true
	h.mustRefuse = s.counter.state.Counter < h.counter.state.Counter || s.synced+1 < h.disk.synced
}

// reached notes how far the member's machine came.
func (h *host) reached(place uint64) { h.knows = max(h.knows, place) }

// machine is the state as this member has it; nil without one.
func (h *host) machine() *wrapper {
	m, _ := h.node.Peek().(*wrapper)
	return m
}

func boolean(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
