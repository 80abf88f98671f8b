package vault_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// model is an account in plain sets and counters. It knows who signed what, which
// the vault must find out, and has no store, no expiry and no order of cases.
type model struct {
	policy  vault.Policy
	past    []vault.Policy // all there were, the first as founded
	live    *secret        // nil: none
	dead    bool           // the last attempt of live was made
	graceTo uint64
	left    int // attempts of live
	owed    int // attempts since the last proof, whatever was registered since
	next    uint64
	tried   map[vaultapi.ID]string // attempts of live, and what they asked: B, or B and B2
	forget  map[vaultapi.ID]uint64 // when the vault may forget them, after a proof
	since   map[vaultapi.ID]bool   // those without a proof since
	ever    map[string]bool        // record and question of every evaluation there was
	fresh   int                    // evaluations without a proof since that were of a new question
	ripens  map[string]uint64      // when a change without authority, first answered wait, may take effect
}

func newModel(p vault.Policy) *model {
	return &model{policy: p, past: []vault.Policy{p}, forget: map[vaultapi.ID]uint64{}, ever: map[string]bool{}, ripens: map[string]uint64{}}
}

// wait is the longest that any policy ever asked for after the n-th attempt.
func (m *model) wait(n int) (longest uint64) {
	for _, p := range m.past {
		if len(p.Waits) > 0 {
			longest = max(longest, p.Waits[min(n, len(p.Waits))-1])
		}
	}
	return longest
}

// charge is one attempt that was answered: rules 1, 2, 4 and 5.
func (m *model) charge(id vaultapi.ID, asked string, now uint64) string {
	if seen, known := m.known(id, now); known {
		return unless(seen == asked, "an attempt id was answered for two questions")
	}
	if m.live == nil || m.dead || now < m.next {
		return "an attempt was answered that is not allowed"
	}
	m.tried[id], m.since[id] = asked, true
	delete(m.forget, id)
	m.left, m.owed, m.dead, m.graceTo = m.left-1, m.owed+1, m.left == 1, now+m.policy.Grace
	m.next = now + m.wait(m.owed)
	if what := fmt.Sprint(m.live.name, asked); !m.ever[what] {
		m.ever[what] = true
		m.fresh++
	}
	return unless(m.fresh <= int(m.past[0].MaxAttempts), "more than m evaluations without a proof")
}

// known reports whether an attempt is known, and what it asked (§11.5).
func (m *model) known(id vaultapi.ID, now uint64) (asked string, known bool) {
	if at := m.forget[id]; at != 0 && at <= now {
		return "", false
	}
	asked, known = m.tried[id]
	return asked, known
}

// attempt is an attempt of either kind that was answered or refused.
func (m *model) attempt(id vaultapi.ID, asked string, a *vaultapi.Answer, now uint64) string {
	_, known := m.known(id, now)
	allowed := m.live != nil && !m.dead && now >= m.next
	if a.Code == vaultapi.OK {
		return m.charge(id, asked, now)
	}
	refused := allowed && !known && a.Code != vaultapi.Conflict && a.Code != vaultapi.Unsupported
	return unless(!refused, "an attempt that is allowed was refused")
}

func (m *model) proof(b *vaultapi.ProveBody, by *secret, now uint64) string {
	if !m.since[b.Attempt] {
		return "" // the answer to an earlier proof
	}
	for id := range m.since {
		m.forget[id] = now + hour + 5*minute
	}
	m.reset()
	if m.live != nil && !m.dead {
		m.left = int(m.live.proposal.Limit)
	}
	if m.dead {
		m.live, m.dead = nil, false
	}
	return unless(by != nil, "a Prove without the unlock key was accepted")
}

func (m *model) reset() { m.since, m.owed, m.fresh, m.next = map[vaultapi.ID]bool{}, 0, 0, 0 }

// change is a Confirm or Delete that took effect: rule 6.
func (m *model) change(next *secret, what string, authorised bool, now uint64) string {
	gone := m.live == nil || m.dead && now >= m.graceTo
	ripens, waited := m.ripens[what]
	switch {
	case next != nil && next == m.live && !m.dead:
		return "" // it is live already
	case m.dead && gone:
		m.reset() // its tombstone has no count
	case authorised && !gone:
		m.reset()
	case !gone && (!waited || now < ripens):
		return "a change took effect without authority or cool-down"
	}
	m.live, m.dead, m.tried = next, false, map[vaultapi.ID]string{}
	if next != nil {
		m.left = int(next.proposal.Limit) - min(m.owed, int(next.proposal.Limit)-1)
	}
	if m.since == nil {
		m.reset()
	}
	clear(m.since) // of another record
	return ""
}

func unless(ok bool, text string) string {
	if ok {
		return ""
	}
	return text
}

// move is a request that somebody made, and the key that signed it.
type move struct {
	body  vaultapi.Body
	next  *secret // of a Propose or Confirm
	by    *secret // whose key signed; nil for nobody
	of    *secret // the record that the signature is about
	about string  // and what was asked
}

// saw compares an answer with the model and lets it follow; the text is empty if
// they agree.
func (m *model) saw(v move, a *vaultapi.Answer, now uint64) string {
	authorised := v.by != nil && v.by == m.live && v.of == m.live
	wrong := ""
	switch b := v.body.(type) {
	case *vaultapi.ProposeBody:
		wrong = unless(a.Code != vaultapi.OK || b.Limit <= m.policy.MaxAttempts, "a limit over the cap was accepted")
	case *vaultapi.AttemptBody:
		wrong = m.attempt(b.Attempt, fmt.Sprint(b.Blinded), a, now)
	case *vaultapi.HardenedAttemptBody:
		wrong = m.attempt(b.Attempt, fmt.Sprint(b.Blinded, b.Blinded2), a, now)
	case *vaultapi.ProveBody:
		if a.Code == vaultapi.OK {
			if !authorised {
				v.by = nil
			}
			wrong = m.proof(b, v.by, now)
		} else if authorised && m.since[b.Attempt] && m.tried[b.Attempt] == v.about && (!m.dead || now < m.graceTo) {
			wrong = "a proof was refused"
		}
	case *vaultapi.ConfirmBody:
		wrong = m.changed(a, v.next, "confirm "+v.next.name, authorised, now)
	case *vaultapi.DeleteBody:
		wrong = m.changed(a, nil, "delete "+b.Record.String(), authorised, now)
	}
	if wrong == "" && m.live != nil && a.Limit != 0 && int(a.Left) != m.left {
		wrong = fmt.Sprintf("%d attempts left, want %d", a.Left, m.left)
	}
	return wrong
}

func (m *model) changed(a *vaultapi.Answer, next *secret, what string, authorised bool, now uint64) string {
	if _, waits := m.ripens[what]; a.Code == vaultapi.Wait && !waits {
		m.ripens[what] = now + m.policy.CoolDown
	}
	if a.Code != vaultapi.OK {
		return ""
	}
	return m.change(next, what, authorised, now)
}

// crowd is two accounts, what everybody ever sent, and the models.
type crowd struct {
	*world
	people  []*person
	models  map[*person]*model
	secrets map[*person][]*secret
	guesses map[*person][]*guess
	sent    map[*person][]move
	names   int
	time    uint64 // the vault's, as last answered
}

func newCrowd(t tester, p vault.Policy, people int) *crowd {
	c := &crowd{world: newWorld(t, p), models: map[*person]*model{}, secrets: map[*person][]*secret{}, sent: map[*person][]move{}, guesses: map[*person][]*guess{}}
	for _, name := range []string{"alice", "bob"}[:people] {
		a := c.person(name)
		c.people, c.models[a] = append(c.people, a), newModel(p)
	}
	return c
}

// send sends one request at the clock's time, which may be in the past.
func (c *crowd) send(r *rapid.T, p *person, v move) {
	e := c.apply(p.command(v.body))
	if e.Answer.Time < c.time {
		r.Fatalf("the vault's time went back from %d to %d", c.time, e.Answer.Time)
	}
	c.now, c.time = max(c.now, e.Answer.Time), e.Answer.Time
	c.sent[p] = append(c.sent[p], v)
	text := describe(e)
	if wrong := c.models[p].saw(v, c.finish(e), e.Answer.Time); wrong != "" {
		r.Fatalf("%T: %s: %s", v.body, text, wrong)
	}
}

// known draws a secret of a person, often the live one.
func (c *crowd) known(r *rapid.T, p *person) *secret {
	live := c.models[p].live
	if len(c.secrets[p]) == 0 || live != nil && rapid.IntRange(0, 2).Draw(r, "live") > 0 {
		return live
	}
	return rapid.SampledFrom(c.secrets[p]).Draw(r, "secret")
}

func (c *crowd) propose(r *rapid.T, p *person) {
	c.names++
	m := int(c.models[p].policy.MaxAttempts)
	s := password(fmt.Sprint("secret", c.names), uint8(rapid.IntRange(1, min(m+1, 10)).Draw(r, "limit")))
	c.secrets[p] = append(c.secrets[p], s)
	c.send(r, p, move{body: s.proposal, next: s})
}

// authority draws who signs and for which record it is meant.
func (c *crowd) authority(r *rapid.T, p *person) (by, of *secret, kind vaultapi.Kind) {
	kind = rapid.SampledFrom([]vaultapi.Kind{vaultapi.ByNobody, vaultapi.ByUnlock, vaultapi.ByDevice}).Draw(r, "kind")
	by, of = c.known(r, p), c.known(r, p)
	if by == nil || of == nil || kind == vaultapi.ByNobody {
		return nil, of, vaultapi.ByNobody
	}
	return by, of, kind
}

func (c *crowd) confirm(r *rapid.T, p *person) {
	if len(c.secrets[p]) == 0 {
		return
	}
	next := c.secrets[p][len(c.secrets[p])-1]
	if rapid.IntRange(0, 3).Draw(r, "older") == 0 {
		next = rapid.SampledFrom(c.secrets[p]).Draw(r, "next")
	}
	by, of, kind := c.authority(r, p)
	b := &vaultapi.ConfirmBody{Record: next.record}
	if kind != vaultapi.ByNobody {
		b.Authority = by.sign(kind, vaultapi.ConfirmMessage(c.fleet, p.account, of.record, next.proposal.Digest()))
	}
	c.send(r, p, move{body: b, next: next, by: by, of: of})
}

func (c *crowd) remove(r *rapid.T, p *person) {
	by, of, kind := c.authority(r, p)
	if of == nil {
		return
	}
	b := &vaultapi.DeleteBody{Record: of.record}
	if kind != vaultapi.ByNobody {
		b.Authority = by.sign(kind, vaultapi.DeleteMessage(c.fleet, p.account, of.record))
	}
	c.send(r, p, move{body: b, by: by, of: of})
}

func (c *crowd) cancel(r *rapid.T, p *person) {
	by, of, kind := c.authority(r, p)
	if kind == vaultapi.ByNobody {
		return
	}
	pending := of.record
	if len(c.secrets[p]) > 0 {
		pending = c.secrets[p][len(c.secrets[p])-1].record
	}
	b := &vaultapi.CancelBody{Record: pending, Authority: by.sign(kind, vaultapi.CancelMessage(c.fleet, p.account, of.record, pending))}
	c.send(r, p, move{body: b, by: by, of: of})
}

// attempt is with a new id mostly; sometimes with an old one, or an old element or
// point; and sometimes what the vault remembers of a hardened one is asked as an element.
func (c *crowd) attempt(r *rapid.T, p *person) {
	c.names++
	g := newGuess(c.names)
	if rapid.Bool().Draw(r, "hardened") {
		g = g.hardened(rapid.Byte().Draw(r, "point") | 1)
	}
	if len(c.guesses[p]) > 0 {
		old := rapid.SampledFrom(c.guesses[p]).Draw(r, "guess")
		switch rapid.IntRange(0, 7).Draw(r, "old") {
		case 0:
			g = old
		case 1:
			g.id = old.id
		case 2:
			g.blinding = old.blinding
		case 3:
			g.id, g.blinding = old.id, old.blinding // another point, or none
		case 4:
			c.send(r, p, move{body: &vaultapi.AttemptBody{Attempt: old.id, Blinded: old.question()}})
		}
	}
	c.guesses[p] = append(c.guesses[p], g)
	c.send(r, p, move{body: g.request()})
}

// asked is what the model calls a guess's question: no hash is in it.
func (g *guess) asked() string {
	if g.point != nil {
		return fmt.Sprint(g.body().Blinded, *g.point)
	}
	return fmt.Sprint(g.body().Blinded)
}

func (c *crowd) prove(r *rapid.T, p *person) {
	s := c.known(r, p)
	if s == nil || len(c.guesses[p]) == 0 {
		return
	}
	recent := c.guesses[p][max(0, len(c.guesses[p])-4):]
	g := rapid.SampledFrom(recent).Draw(r, "guess")
	b := p.proof(g, s, nil)
	by := s
	if rapid.IntRange(0, 4).Draw(r, "forged") == 0 {
		b.Signature[3] ^= 1
		by = nil
	}
	c.send(r, p, move{body: b, by: by, of: s, about: g.asked()})
}

// takeOver is a change without authority, from the proposal to the end of the
// cool-down, which random requests seldom get to.
func (c *crowd) takeOver(r *rapid.T, p *person) {
	c.propose(r, p)
	next := c.secrets[p][len(c.secrets[p])-1]
	confirm := move{body: &vaultapi.ConfirmBody{Record: next.record}, next: next}
	c.send(r, p, confirm)
	c.pass(c.models[p].policy.CoolDown)
	c.send(r, p, confirm)
}

// replay delivers again what somebody sent before, possibly long ago.
func (c *crowd) replay(r *rapid.T, p *person) {
	if len(c.sent[p]) > 0 {
		c.send(r, p, rapid.SampledFrom(c.sent[p]).Draw(r, "again"))
	}
}

func (c *crowd) elapse(r *rapid.T) {
	c.pass(rapid.SampledFrom([]uint64{1, second, 10 * minute, hour, 2 * hour, day, 8 * day}).Draw(r, "ms"))
	if rapid.Bool().Draw(r, "tick") {
		c.tick()
	}
}

// restrict makes the policy stricter, in some way or none.
func (c *crowd) restrict(r *rapid.T) {
	p := c.models[c.people[0]].policy
	p.MaxAttempts = uint8(rapid.IntRange(1, int(p.MaxAttempts)).Draw(r, "m"))
	p.Waits = slices.Clone(p.Waits[:p.MaxAttempts-1])
	for i := range p.Waits {
		p.Waits[i] += rapid.SampledFrom([]uint64{0, second, hour}).Draw(r, "longer")
	}
	slices.Sort(p.Waits)
	p.CoolDown += rapid.SampledFrom([]uint64{0, hour}).Draw(r, "cool-down")
	p.Grace -= rapid.SampledFrom([]uint64{0, p.Grace / 2}).Draw(r, "grace")
	c.apply(&vault.Command{Kind: vault.Restrict, Time: c.now, Policy: p})
	c.time = c.state.Fleet().Time
	for _, m := range c.models {
		m.policy, m.past = p, append(m.past, p)
	}
}

// back sets the proposer's clock back: the vault's does not go.
func (c *crowd) back(r *rapid.T, p *person) {
	now := c.now
	c.now -= rapid.Uint64Range(0, 30*day).Draw(r, "ms")
	c.send(r, p, move{body: &vaultapi.StatusBody{}})
	c.now = max(now, c.now)
}

// TestModel runs random histories of two accounts, with thieves who hold tokens
// and replay everything, against the model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		p := vault.Policy{MaxAttempts: uint8(rapid.IntRange(1, 4).Draw(r, "m")), CoolDown: day, Grace: 10 * minute}
		p.Waits = slices.Clone([]uint64{0, 10 * second, hour}[:p.MaxAttempts-1])
		c := newCrowd(r, p, rapid.IntRange(1, 2).Draw(r, "people"))
		who := func(r *rapid.T) *person { return rapid.SampledFrom(c.people).Draw(r, "who") }
		on := func(f func(*rapid.T, *person)) func(*rapid.T) { return func(r *rapid.T) { f(r, who(r)) } }
		r.Repeat(map[string]func(*rapid.T){
			"propose": on(c.propose), "confirm": on(c.confirm), "confirm again": on(c.confirm),
			"attempt": on(c.attempt), "attempt again": on(c.attempt), "prove": on(c.prove), "remove": on(c.remove),
			"cancel": on(c.cancel), "take over": on(c.takeOver), "prove again": on(c.prove), "replay": on(c.replay), "back": on(c.back), "elapse": c.elapse,
			"restrict": c.restrict, "reload": func(*rapid.T) { c.reload() },
		})
	})
}

// What rapid prints of what it drew. It formats with %#v.

func (p *person) GoString() string { return string(p.who[:5]) }
func (s *secret) GoString() string { return s.name }
func (g *guess) GoString() string {
	return fmt.Sprintf("guess %v of %x", g.id, g.blinding.Blinded().Bytes())
}
func (v move) GoString() string { return fmt.Sprintf("%T", v.body) }
