package sim

import (
	"fmt"
	"strings"

	"keepsake.example/vaultapi"
)

// level says whether all members of the fleet run and have the whole history.
func (r *run) level() bool {
	for _, m := range r.fleet.roster.Members {
		h := r.host(m.Number)
		if h == nil || !h.up || h.machine() == nil || h.machine().at != uint64(len(r.history.places)) {
			return false
		}
	}
	return !r.fleet.busy && r.fleet.needed() == nil && r.secrets.level()
}

// standing is where everybody is, for people.
func (r *run) standing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "history of %d;", len(r.history.places))
	for _, m := range r.fleet.roster.Members {
		h := r.host(m.Number)
		switch {
		case h == nil:
			fmt.Fprintf(&b, " %d: not admitted;", m.Number)
		case !h.up || h.machine() == nil:
			fmt.Fprintf(&b, " %d: up %v, lost %v;", m.Number, h.up, h.lost)
		default:
			s := h.node.Status()
			fmt.Fprintf(&b, " %d: %s of term %d at %d, last %d, committed %d, secret %+v;", m.Number, s.Role, s.Term, h.machine().at, s.Last, s.Committed, s.Secret)
		}
	}
	return b.String()
}

// probe asks for a commit, which must come, and for its time, which must be that of honest clocks.
func (r *run) probe() {
	q := &request{account: 0, body: r.pool.secrets[0].propose(id(1<<40), 1)}
	q.digest = digest(q.body)
	r.history.asked[requestKey(r.pool.accounts[0], q.body)] = q
	var got *vaultapi.Answer
	until := r.now + 20*second
	for got == nil && r.now < until && r.failed == nil {
		over := false
		r.relays[0].ask(q, func(a *vaultapi.Answer) { got, over = a, true })
		for !over && r.now < until && r.failed == nil {
			r.run(r.now + 20*millisecond)
		}
	}
	switch {
	case r.failed != nil:
	case got == nil:
		r.fail(alive, "a request after all faults is not answered: %s", r.standing())
	case got.Time+2000 < r.date():
		r.fail(honestTime, "the vault is %d ms behind honest clocks", r.date()-got.Time)
	}
	for until := r.now + 10*second; r.failed == nil && !r.level() && r.now < until; {
		r.run(r.now + 100*millisecond)
	}
}

// compareAll compares the states of all members, which have the whole history.
func (r *run) compareAll() {
	if !r.level() {
		r.fail(alive, "not all members have the whole history: %s", r.standing())
		return
	}
	first := uint64(0)
	for _, m := range r.fleet.roster.Members {
		s := r.host(m.Number).machine().sum()
		if first == 0 {
			first = s
		}
		if s != first {
			r.fail(oneState, "member %d differs from others at the end", m.Number)
		}
	}
}
