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

// A relay that is started again has forgotten what it was asked: whoever asked is told so at once, and not told
// once more when the answer comes.
func TestRelayForgets(t *testing.T) {
	r := quiet(t)
	y := newRelay(r, 3)
	r.run(r.now + 5*second)
	told := 0
	y.ask(registration(y, 1), func(a *vaultapi.Answer) {
		if told++; a != nil {
			t.Error("it was answered")
		}
	})
	was := y.book
	y.restart()
	if told != 1 || y.book == was || len(y.passages) > 0 {
		t.Errorf("told %d times, and %d questions are under way", told, len(y.passages))
	}
	if r.run(r.now + relayFor); told != 1 {
		t.Errorf("told %d times", told)
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

// registration is a request that the history knows of.
func registration(y *relay, n uint64) *request {
	q := &request{body: y.pool.secrets[0].propose(id(n), 1)}
	q.digest = digest(q.body)
	y.history.asked[requestKey(y.pool.accounts[0], q.body)] = q
	return q
}

// asked is the member that answers a request.
func asked(t *testing.T, y *relay, n uint64) *host {
	var got *vaultapi.Answer
	y.ask(registration(y, n), func(a *vaultapi.Answer) { got = a })
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
