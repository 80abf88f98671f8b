package sim

import (
	"context"
	"slices"

	"keepsake.example/replica"
	"keepsake.example/vault"
)

// template is a fleet that was founded without faults: every run that wants such a
// fleet begins with a copy of its disks.
type template struct {
	now     int64
	hosts   []stored
	skews   []int64
	history history
	fleet   fleet
}

type kind struct{ members, tolerate, policy int }

var templates = map[kind]*template{}

// policies are the limits of runs: few attempts and short waits, so that both end.
var policies = []vault.Policy{
	{MaxAttempts: 1, CoolDown: 3000, Grace: 2000, Insecure: true},
	{MaxAttempts: 2, Waits: []uint64{0}, CoolDown: 5000, Grace: 500, Insecure: true},
	{MaxAttempts: 3, Waits: []uint64{0, 1000}, CoolDown: 2000, Grace: 4000, Insecure: true},
	{MaxAttempts: 5, Waits: []uint64{0, 0, 300, 2000}, CoolDown: 8000, Grace: 1000, Insecure: true},
}

// found gives a run a founded fleet.
func found(r *run, o Options) {
	k := kind{r.members, r.tolerate, slices.IndexFunc(policies, func(p vault.Policy) bool { return p.MaxAttempts == r.policy.MaxAttempts })}
	t := templates[k]
	if t == nil {
		o.Reseed(uint64(k.members*100 + k.tolerate*10 + k.policy))
		t = newTemplate(k, r)
		templates[k] = t
	}
	r.now = t.now
	r.history, r.fleet, r.net = newHistory(r), newFleet(r), newNetwork(r)
	r.history.places, r.history.time, r.history.acked = slices.Clone(t.history.places), t.history.time, t.history.acked
	r.history.rules = rules{r.policy}
	r.fleet.roster, r.fleet.target = t.fleet.roster.Clone(), r.members
	for s, ok := range t.fleet.sufficient {
		r.fleet.sufficient[s] = ok
	}
	for i, s := range t.hosts {
		h := r.newHost(uint64(i) + 1)
		h.put(s, true)
		h.rolled, h.stateful, h.skew, h.knows = false, true, t.skews[i], t.history.acked
	}
}

// newTemplate founds a fleet: one member, and the others join it.
func newTemplate(k kind, like *run) *template {
	r := &run{
		world: newWorld(uint64(k.members), like.world.trace), pool: like.pool, members: k.members, tolerate: k.tolerate, policy: like.policy,
		checkpoints: 1 << 20, farthest: millisecond, settling: true,
	}
	r.history, r.fleet, r.net = newHistory(r), newFleet(r), newNetwork(r)
	r.history.rules = rules{r.policy}
	r.fleet.roster = newRoster(r)
	r.fleet.target = k.members
	r.clients = &clients{run: r}
	r.create()
	r.fleet.attend()
	for until := 5 * minute; r.now < int64(until) && r.failed == nil && !(r.level() && r.fleet.voters() == k.members && int(r.fleet.roster.Tolerate) == k.tolerate); {
		r.run(r.now + 50*millisecond)
	}
	if r.failed != nil || !r.level() {
		panic("sim: internal error: founding a fleet without faults: " + r.standing() + errorText(r.failed))
	}
	for _, h := range r.hosts {
		h.node.Checkpoint(func(error) {})
		h.touch()
	}
	r.run(r.now + second)
	t := &template{now: r.now} // and nothing else of this run, which is not to stay in memory
	t.history.places, t.history.time, t.history.acked = r.history.places, r.history.time, r.history.acked
	t.fleet.roster, t.fleet.sufficient = r.fleet.roster, r.fleet.sufficient
	for _, h := range r.hosts {
		t.hosts, t.skews = append(t.hosts, stored{h.disk.image(), *h.counter, 0}), append(t.skews, h.skew)
	}
	for _, h := range r.hosts {
		h.crash(false)
	}
	return t
}

func errorText(f *Failure) string {
	if f == nil {
		return ""
	}
	return "; " + f.Error()
}

// create founds the group with its first member.
func (r *run) create() {
	h := r.newHost(1)
	g := &vault.Command{Kind: vault.Genesis, Time: r.date(), Fleet: r.pool.fleet, IdentitySeed: vault.Seed(r.pool.identity.Seed()), NamingKey: vault.Seed{7}, Policy: r.policy}
	if err := replica.Create(context.Background(), h.config(), 1, [][]byte{r.fleet.roster.Encode(), g.Encode()}); err != nil {
		r.fail(unharmed, "creating the first member: %v", err)
		return
	}
	h.start()
}
