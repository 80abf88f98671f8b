package sim

import (
	"slices"
	"testing"

	"keepsake.example/vaultapi"
)

// A relay asks the nearest member; when that one dies, the next, with the same request; and it passes the dead one over.
func TestRelayAsksTheNearest(t *testing.T) {
	r := quiet(t)
	y := newRelay(r, 3)
	r.run(r.now + 5*second)
	nearest := slices.MinFunc(r.hosts, func(a, b *host) int {
		return int(r.net.far[a.number%places][3] - r.net.far[b.number%places][3])
	})
	first := asked(t, y, 1)
	if first != nearest {
		t.Errorf("member %d was asked, %d is the nearest", first.number, nearest.number)
	}
	r.after(0, func() { nearest.crash(false) })
	second := asked(t, y, 2)
	if second == nearest {
		t.Error("who is dead was asked")
	}
	if s := y.book.nearest.Status(slices.Index(y.book.members, nearest.number), y.date()); !s.Away {
		t.Error("who is dead is not passed over")
	}
}

// quiet is a run of three members in which nothing goes wrong.
func quiet(t *testing.T) *run {
	r := &run{world: newWorld(7, nil), pool: thePool(), members: 3, policy: policies[0], checkpoints: 1 << 20, farthest: 80 * millisecond}
	o := new(bug).options(t, 7, false)
	found(r, o)
	o.Reseed(7)
	r.secrets, r.faults, r.clients = newSecrets(r, 7), &faults{run: r}, &clients{run: r, made: map[vaultapi.ID]*record{}}
	for _, h := range r.hosts {
		h.start()
	}
	return r
}

// asked is the member that answers a request.
func asked(t *testing.T, y *relay, n uint64) *host {
	q := &request{body: y.pool.secrets[0].propose(id(n), 1)}
	q.digest = digest(q.body)
	y.history.asked[requestKey(y.pool.accounts[0], q.body)] = q
	var got *vaultapi.Answer
	y.ask(q, func(a *vaultapi.Answer) { got = a })
	y.run.run(y.now + relayFor)
	if got == nil || y.failed != nil {
		t.Fatalf("no answer (%v)", y.failed)
	}
	for i, m := range y.book.members {
		if y.book.nearest.Status(i, y.date()).Took > 0 { // who went away has none
			return y.host(m)
		}
	}
	t.Fatal("nobody answered")
	return nil
}
