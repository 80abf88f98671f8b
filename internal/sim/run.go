package sim

import (
	"io"

	"keepsake.example/roster"
	"keepsake.example/vault"
)

// honestSkew is how far apart honest clocks are, in milliseconds.
const honestSkew = 100

// Options say what to run.
type Options struct {
	Seed uint64
	// Reseed makes all randomness that is not the simulator's own (raft's and package crypto's)
	// follow from a number: cryptotest.SetGlobalRandom.
	Reseed func(seed uint64)
	Trace  io.Writer // nil: nobody reads along

	hooks hooks
}

// Result is what came of a run.
type Result struct {
	Failure *Failure // nil: everything held
	Digest  uint64   // of all that happened
	// How much happened: entries of the history, answers to clients, processes
	// started, and accounts whose history porcupine had no time for.
	Entries, Answers, Starts, Undecided int
}

// run is one run.
type run struct {
	*world
	hooks   hooks
	pool    *pool
	history *history
	net     *network
	fleet   *fleet
	faults  *faults
	clients *clients
	secrets *secrets
	hosts   []*host
	relays  []*relay
	stamps  int64
	starts  int

	members     int
	tolerate    int
	policy      vault.Policy
	checkpoints int64 // bytes of log between two
	farthest    int64 // one way, microseconds
	settling    bool  // nothing goes wrong any more
}

// Run does one run. Not for concurrent use, because of the global randomness.
func Run(o Options) Result {
	r := &run{world: newWorld(o.Seed, o.Trace), pool: thePool(), hooks: o.hooks}
	r.muted = o.hooks.mute
	r.draw()
	found(r, o)
	o.Reseed(o.Seed)
	r.secrets = newSecrets(r, o.Seed)
	r.populate()
	r.run(r.now + r.between(2, 7)*second)
	r.settle()
	r.finish()
	if o.hooks.judged != nil {
		o.hooks.judged(r)
	}
	return Result{
		Failure: r.failed, Digest: r.digest,
		Entries: len(r.history.places), Answers: len(r.history.answers), Starts: r.starts, Undecided: r.history.undecided,
	}
}

// draw decides what kind of run it is.
func (r *run) draw() {
	r.members = pick(r.world, []int{3, 3, 3, 5, 5, 7})
	if r.members > 3 && r.chance(0.6) {
		r.tolerate = 1 + r.random.IntN(r.members/2-1)
	}
	for roster.Needed(r.members, r.tolerate) >= r.members {
		r.tolerate--
	}
	r.policy = pick(r.world, policies)
	r.checkpoints = pick(r.world, []int64{2 << 10, 8 << 10, 32 << 10, 1 << 20})
	r.farthest = pick(r.world, []int64{2 * millisecond, 20 * millisecond, 80 * millisecond})
}

// date is what an ideal clock shows, in milliseconds since 1970.
func (r *run) date() uint64 { return epoch + uint64(r.now/millisecond) }

func (r *run) host(number uint64) *host {
	for _, h := range r.hosts {
		if h.number == number {
			return h
		}
	}
	return nil
}

// populate brings the founded fleet to life, and everybody who troubles it.
func (r *run) populate() {
	r.note("run", uint64(r.members), uint64(r.tolerate), uint64(r.policy.MaxAttempts), uint64(r.checkpoints))
	for _, h := range r.hosts {
		h.start()
	}
	for _, place := range r.random.Perm(places)[:r.between(2, 3)] {
		r.relays = append(r.relays, newRelay(r, place))
	}
	r.net.misfortune()
	r.clients = newClients(r)
	r.faults = newFaults(r)
	r.faults.begin()
	if r.chance(0.5) {
		r.fleet.churn = 0.2
	}
	if r.chance(0.3) {
		r.fleet.hostile = 0.3
	}
	r.fleet.attend()
}

// settle ends the faults and waits until the fleet serves again.
func (r *run) settle() {
	r.settling, r.clients.ended = true, true
	r.note("settle")
	r.net.calm()
	for _, h := range r.hosts {
		h.wrong, h.power.limit, h.disk.full, h.disk.liar = 0, 0, false, false
		h.wake()
		if !h.up {
			r.after(r.between(0, second), h.start)
		}
	}
	r.run(r.now + second)
	until := r.now + 40*second
	for r.now < until && r.failed == nil && !(r.clients.busy == 0 && r.level()) {
		r.run(r.now + 250*millisecond)
	}
	if r.failed == nil && !(r.clients.busy == 0 && r.level()) {
		r.fail(alive, "%d requests without an answer, %s", r.clients.busy, r.standing())
	}
}

// finish looks at what can only be judged at the end.
func (r *run) finish() {
	if r.failed == nil {
		r.probe()
	}
	if r.failed == nil {
		r.compareAll()
	}
	if r.failed == nil {
		r.secrets.judge()
	}
	if r.failed == nil {
		r.history.linear()
	}
	for _, h := range r.hosts {
		if h.up {
			h.crash(false)
		}
	}
}
