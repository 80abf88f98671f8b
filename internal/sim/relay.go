package sim

import "keepsake.example/vaultapi"

// relay is a chatd: it gives a request to the member it thinks best, and when that
// does not answer, the same request to another.
type relay struct {
	*run
	number uint64
	best   uint64 // the member that answered last
}

// How long a relay waits for one member, and how many it asks.
const (
	tryFor  = 1200 * millisecond
	tryMost = 3
)

// ask gets a request answered, or not: then nil, and nobody knows.
func (y *relay) ask(q *request, done func(*vaultapi.Answer)) {
	y.try(q, 1, done)
}

func (y *relay) try(q *request, n int, done func(*vaultapi.Answer)) {
	if n > tryMost {
		done(nil)
		return
	}
	h := y.choose(n)
	over := false
	once := func(a *vaultapi.Answer) {
		if over {
			return
		}
		over = true
		if a != nil {
			y.best = h.number
			done(a)
			return
		}
		y.best = 0
		y.try(q, n+1, done)
	}
	y.after(tryFor, func() { once(nil) })
	y.net.carry(y.number, h.number, func() {
		h.get(func() {
			h.serve(q, func(a *vaultapi.Answer) {
				y.net.carry(h.number, y.number, func() { once(a) })
			})
		})
	})
}

// choose picks a member: the one that answered last, else any.
func (y *relay) choose(n int) *host {
	if h := y.host(y.best); n == 1 && h != nil && !y.chance(0.2) {
		return h
	}
	var up []*host
	for _, h := range y.hosts {
		if !h.lost && (y.fleet.belongs(h) || y.chance(0.1)) {
			up = append(up, h)
		}
	}
	return pick(y.world, up)
}
