package sim

import (
	"crypto/ed25519"
	"fmt"

	"keepsake.example/vaultapi"
)

// clients are everybody who has a token for one of the accounts: owners with
// several devices, and thieves.
type clients struct {
	*run
	people  []*person
	made    map[vaultapi.ID]*record
	ids     uint64
	pause   int64 // between two requests of one device, microseconds, at most
	weights []int // of what devices do, by action
	busy    int   // requests under way
	ended   bool
}

// person is one account and what is known to those who use it.
type person struct {
	account int
	records []*record // proposed, oldest first
	live    *record   // as far as is known
	guesses []*guess
	sent    []*request
}

// record is what a Propose was about.
type record struct {
	id      vaultapi.ID
	secret  *secret
	propose *request
}

// guess is one attempt.
type guess struct {
	id     vaultapi.ID
	asked  question
	record *record // whose key answered; nil: not answered
}

// body is the attempt.
func (g *guess) body() vaultapi.Body {
	if g.asked.point == [33]byte{} {
		return &vaultapi.AttemptBody{Attempt: g.id, Blinded: g.asked.element}
	}
	return &vaultapi.HardenedAttemptBody{Attempt: g.id, Blinded: g.asked.element, Blinded2: g.asked.point}
}

// proved is what a proof of the attempt says was asked.
func (g *guess) proved() [32]byte {
	if b, ok := g.body().(*vaultapi.HardenedAttemptBody); ok {
		return b.Question()
	}
	return g.asked.element
}

// guess is a new attempt, in a fleet with a device mostly a hardened one.
func (d *device) guess() *guess { return &guess{id: d.id(), asked: d.question()} }

func (d *device) question() question {
	q := question{element: pick(d.world, d.pool.elements)}
	if hardened(d.run) && d.chance(0.6) {
		q.point = pick(d.world, d.pool.points)
	}
	return q
}

// device acts for a person, one request after the other.
type device struct {
	*clients
	*person
	relay *relay
	who   [8]byte
}

func newClients(r *run) *clients {
	c := &clients{run: r, made: map[vaultapi.ID]*record{}, pause: r.between(20, 400) * millisecond}
	for range actions {
		c.weights = append(c.weights, 1+r.random.IntN(8)*r.random.IntN(2))
	}
	for i := range 1 + r.random.IntN(poolAccounts) {
		p := &person{account: i}
		c.people = append(c.people, p)
		for d := range 1 + r.random.IntN(3) {
			v := &device{clients: c, person: p, relay: pick(r.world, r.relays)}
			copy(v.who[:], fmt.Sprint("dev", d))
			r.after(r.between(0, c.pause), v.act)
		}
	}
	return c
}

func (c *clients) secretOf(record vaultapi.ID) (int, bool) {
	r, ok := c.made[record]
	if !ok {
		return 0, false
	}
	return r.secret.index, true
}

func (c *clients) id() vaultapi.ID {
	c.ids++
	return id(c.ids)
}

// requestKey names a request by account and content.
func requestKey(a vaultapi.Account, b vaultapi.Body) [32]byte {
	d := digest(b)
	for i := range d {
		d[i] ^= a[i]
	}
	return d
}

// ask sends a request, and repeats it sometimes when there was no answer.
func (d *device) ask(q *request, then func(*vaultapi.Answer)) {
	q.account, q.who = d.account, d.who
	if q.digest == [32]byte{} {
		q.digest = digest(q.body)
		key := requestKey(d.pool.accounts[d.account], q.body)
		if old := d.history.asked[key]; old != nil {
			q = old
		} else {
			d.history.asked[key] = q
			d.sent = append(d.sent, q)
		}
	}
	d.busy++
	d.relay.ask(q, func(a *vaultapi.Answer) {
		d.busy--
		if a == nil && d.chance(0.6) && !d.ended {
			d.relay = pick(d.world, d.relays) // the same bytes, to the next chatd
			d.after(d.between(0, second), func() { d.ask(q, then) })
			return
		}
		then(a)
	})
}

// next lets the device act again.
func (d *device) next() {
	if !d.ended {
		d.after(d.between(0, d.pause), d.act)
	}
}

// tell sends a request whose answer changes nothing that the device knows.
func (d *device) tell(q *request) {
	d.ask(q, func(*vaultapi.Answer) { d.next() })
}

// What devices do.
const (
	doRegister = iota
	doRecover
	doGuess
	doRepeat
	doSwap
	doProve
	doForge
	doChange
	doTakeOver
	doDelete
	doDrop
	doCancel
	doStatus
	doReplay
	doRace
	actions
)

func (d *device) act() {
	if d.ended {
		return
	}
	if d.live == nil && d.chance(0.7) {
		d.register(nil, vaultapi.ByNobody)
		return
	}
	[actions]func(){
		doRegister: func() { d.register(nil, vaultapi.ByNobody) },
		doRecover:  d.recover,
		doGuess:    func() { d.attempt(d.guess(), d.next) },
		doRepeat:   d.repeat,
		doSwap:     d.swap,
		doProve:    func() { d.prove(d.older(), d.next) },
		doForge:    d.forge,
		doChange:   func() { d.register(d.live, d.key()) },
		doTakeOver: func() { d.register(d.live, vaultapi.ByNobody) },
		doDelete:   func() { d.remove(d.key()) },
		doDrop:     func() { d.remove(vaultapi.ByNobody) },
		doCancel:   d.cancel,
		doStatus:   func() { d.tell(&request{body: &vaultapi.StatusBody{}}) },
		doReplay:   d.replay,
		doRace:     d.race,
	}[d.choose()]()
}

// choose draws an action by the run's weights.
func (d *device) choose() int {
	total := 0
	for _, w := range d.weights {
		total += w
	}
	n := d.random.IntN(total)
	for i, w := range d.weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return doStatus
}

func (d *device) key() vaultapi.Kind {
	if d.chance(0.5) {
		return vaultapi.ByDevice
	}
	return vaultapi.ByUnlock
}

// register proposes a record and confirms it, by a key of the live one or nobody's.
func (d *device) register(of *record, kind vaultapi.Kind) {
	r := &record{id: d.id(), secret: pick(d.world, d.pool.secrets)}
	limit := 1 + d.random.IntN(int(d.policy.MaxAttempts))
	r.propose = &request{body: r.secret.propose(r.id, uint8(limit))}
	d.made[r.id] = r
	d.records = append(d.records, r)
	d.ask(r.propose, func(a *vaultapi.Answer) {
		if a == nil || a.Code != vaultapi.OK {
			d.next()
			return
		}
		d.confirm(r, of, kind)
	})
}

func (d *device) confirm(r, of *record, kind vaultapi.Kind) {
	b := &vaultapi.ConfirmBody{Record: r.id}
	q := &request{body: b}
	if of != nil && kind != vaultapi.ByNobody {
		proposal := r.propose.body.(*vaultapi.ProposeBody).Digest()
		b.Authority = d.sign(q, of, kind, vaultapi.ConfirmMessage(d.pool.fleet, d.pool.accounts[d.account], of.id, proposal))
		q.about = r.propose.digest
	}
	d.ask(q, func(a *vaultapi.Answer) {
		if a != nil && a.Code == vaultapi.OK {
			d.live = r
		}
		d.next()
	})
}

// sign signs by a key of a record, and says so to the model.
func (d *device) sign(q *request, of *record, kind vaultapi.Kind, message []byte) vaultapi.Authority {
	k := of.secret.unlock
	if kind == vaultapi.ByDevice {
		k = of.secret.device
	}
	q.signer, q.of = *public(k), of.id
	return vaultapi.Authority{Kind: kind, Signature: [64]byte(ed25519.Sign(k, message))}
}

// attempt makes an attempt, and then something.
func (d *device) attempt(g *guess, then func()) {
	d.guesses = append(d.guesses, g)
	d.ask(&request{body: g.body()}, func(a *vaultapi.Answer) {
		d.learn(g, a)
		then()
	})
}

func (d *device) learn(g *guess, a *vaultapi.Answer) {
	switch {
	case a == nil:
	case a.Code == vaultapi.OK:
		if e := evaluationIn(a); e != nil {
			g.record = d.made[e.Record]
		}
	case a.Code == vaultapi.None || a.Code == vaultapi.Destroyed:
		d.live = nil
	}
}

// recover is an attempt with the right password, and its proof.
func (d *device) recover() {
	g := d.guess()
	d.attempt(g, func() { d.prove(g, d.next) })
}

// older is an attempt of before; nil for none.
func (d *device) older() *guess {
	if len(d.guesses) == 0 {
		return nil
	}
	return pick(d.world, d.guesses[max(0, len(d.guesses)-6):])
}

func (d *device) prove(g *guess, then func()) {
	if g == nil || g.record == nil {
		then()
		return
	}
	b := &vaultapi.ProveBody{Attempt: g.id}
	q := &request{body: b, proves: g.asked}
	if d.chance(0.2) {
		b.Device = *public(pick(d.world, d.pool.secrets).device)
	}
	b.Signature = d.sign(q, g.record, vaultapi.ByUnlock, vaultapi.ProveMessage(d.pool.fleet, d.pool.accounts[d.account], g.record.id, g.id, g.proved(), b.Device)).Signature
	d.ask(q, func(*vaultapi.Answer) { then() })
}

// forge is a Prove with a signature that is none.
func (d *device) forge() {
	g := d.older()
	if g == nil {
		d.next()
		return
	}
	d.tell(&request{body: &vaultapi.ProveBody{Attempt: g.id, Signature: [64]byte{1}}, proves: g.asked})
}

func (d *device) repeat() {
	g := d.older()
	if g == nil {
		d.next()
		return
	}
	d.ask(&request{body: g.body()}, func(a *vaultapi.Answer) {
		d.learn(g, a)
		d.next()
	})
}

// swap sends an old attempt's id with another question, or its question with another id.
func (d *device) swap() {
	g := d.older()
	switch {
	case g == nil:
		d.next()
	case d.chance(0.5):
		other := &guess{id: g.id, asked: d.question()}
		if d.chance(0.5) {
			other.asked.element = g.asked.element // another point, or none
		}
		d.tell(&request{body: other.body()})
	default:
		d.attempt(&guess{id: d.id(), asked: g.asked}, d.next)
	}
}

func (d *device) remove(kind vaultapi.Kind) {
	if d.live == nil {
		d.next()
		return
	}
	b := &vaultapi.DeleteBody{Record: d.live.id}
	q := &request{body: b}
	if kind != vaultapi.ByNobody {
		b.Authority = d.sign(q, d.live, kind, vaultapi.DeleteMessage(d.pool.fleet, d.pool.accounts[d.account], d.live.id))
	}
	d.ask(q, func(a *vaultapi.Answer) {
		if a != nil && a.Code == vaultapi.OK {
			d.live = nil
		}
		d.next()
	})
}

func (d *device) cancel() {
	if d.live == nil || len(d.records) == 0 {
		d.next()
		return
	}
	pending := d.records[len(d.records)-1].id
	if d.chance(0.3) {
		pending = d.live.id
	}
	q := &request{names: pending}
	q.body = &vaultapi.CancelBody{Record: pending, Authority: d.sign(q, d.live, d.key(), vaultapi.CancelMessage(d.pool.fleet, d.pool.accounts[d.account], d.live.id, pending))}
	d.tell(q)
}

// replay delivers again what somebody sent before.
func (d *device) replay() {
	if len(d.sent) == 0 {
		d.next()
		return
	}
	d.tell(pick(d.world, d.sent))
}

// race is several attempts at once, for the last one that is left.
func (d *device) race() {
	left := 2 + d.random.IntN(4)
	for range left {
		d.attempt(d.guess(), func() {
			if left--; left == 0 {
				d.next()
			}
		})
	}
}
