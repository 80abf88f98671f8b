package sim

import (
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// What must hold, as tests and bench/sim.md name it.
const (
	oneHistory  = "one history"        // all members apply the same entries, and nothing acknowledged is lost
	oneState    = "equal states"       // equal at equal places
	asTheModel  = "the plain model"    // an effect is what the model says
	paidFirst   = "paid before"        // an evaluation belongs to an attempt that is committed
	noMoreThanM = "never more than m"  // evaluations of distinct questions between proofs
	deadKeys    = "destroyed keys"     // never answer again
	fresh       = "linearizable"       // nobody is told less than what was acknowledged before
	honestTime  = "quorum clock"       // never back, never ahead of a majority of honest clocks, not held back
	signedOnly  = "signed changes"     // what too few operators signed does not apply
	rollback    = "rollback"           // a disk older than its anchor does not run
	sealedOnce  = "peer messages"      // a repeated or edited message is not taken
	alive       = "service comes back" // when the faults stop
	unharmed    = "no member halts"    // but by its power, disk or rollback
	honestZ     = "evaluations are right"
)

// history is the one sequence of entries that all members must apply, as the first
// to apply each made it.
type history struct {
	*run
	rules    rules
	places   []place // from place 1
	time     uint64  // the vault's
	accounts [poolAccounts]plain
	acked    uint64 // the last place that somebody was told of

	charges map[charge]int            // committed attempts, and the number of refills before each
	seen    map[evaluation]bool       // evaluations that left
	spent   [poolAccounts]map[int]int // distinct ones, by the number of refills before
	dead    map[vaultapi.ID]uint64    // where a record's key was destroyed
	asked   map[[32]byte]*request     // by digest and account
	calls   map[uint64]*proposed      // by the sum of the entry

	leaders   map[uint64]life // by term
	answers   []answer
	undecided int // accounts that porcupine had no time for
}

// life is one run of one member.
type life struct {
	number uint64
	boot   int
}

// leads looks who leads: in each term one member, and in one life only, since entries of one term at one place
// are taken for the same.
func (h *history) leads(o *host) {
	term := o.node.Leads()
	if term == 0 {
		return
	}
	now := life{o.number, o.boot}
	if was, led := h.leaders[term]; led && was != now {
		h.fail(oneHistory, "member %d leads in term %d, in its life %d; so did member %d in its life %d", now.number, term, now.boot, was.number, was.boot)
	}
	h.leaders[term] = now
}

// place is one entry of the history.
type place struct {
	sum     uint64
	request *request // nil for what no client asked
	reply   reply
	time    uint64 // the vault's after it
	state   uint64 // digest; 0: nobody made one yet
	changed bool   // of a change of members: it was accepted
}

type charge struct {
	account int
	record  vaultapi.ID
	attempt vaultapi.ID
	asked   question
}

type evaluation struct {
	account int
	record  vaultapi.ID
	asked   question
}

func newHistory(r *run) *history {
	h := &history{run: r, charges: map[charge]int{}, seen: map[evaluation]bool{}, dead: map[vaultapi.ID]uint64{}, asked: map[[32]byte]*request{}, calls: map[uint64]*proposed{}, leaders: map[uint64]life{}}
	for i := range h.spent {
		h.spent[i] = map[int]int{}
	}
	return h
}

// applied is told of each entry that a member applies.
func (h *history) applied(m *wrapper, entry []byte, effect any) {
	h.note("apply", m.who, m.at, sum(entry))
	if m.at == uint64(len(h.places))+1 {
		h.places = append(h.places, place{sum: sum(entry)})
		switch effect.(type) {
		case *machine.Welcome, *machine.Rekeyed:
		default:
			h.extend(entry)
		}
	}
	p := h.at(m, entry)
	if p == nil {
		return
	}
	if e, ok := effect.(*vault.Effect); ok && e != nil && p.request != nil {
		if got := replyOf(&e.Answer); got != p.reply || e.Answer.Time != p.time {
			h.fail(asTheModel, "member %d, place %d, %T of account %d: %+v at %d, the model says %+v at %d", m.who, m.at, p.request.body, p.request.account, got, e.Answer.Time-epoch, p.reply, p.time-epoch)
		}
	}
	h.compare(m, "the state")
}

// at is the place that a member has just gone through; nil when it must not be there.
func (h *history) at(m *wrapper, entry []byte) *place {
	if m.at > uint64(len(h.places)) {
		h.fail(oneHistory, "member %d is at place %d of %d", m.who, m.at, len(h.places))
		return nil
	}
	p := &h.places[m.at-1]
	if p.sum != sum(entry) {
		h.fail(oneHistory, "member %d applied another entry at place %d than was applied there before", m.who, m.at)
		return nil
	}
	return p
}

// founded is the first place with a state: before Genesis there is only the roster.
const founded = 2

// compare compares the whole state of a member with what the others have at the same place.
func (h *history) compare(m *wrapper, what string) {
	if m.at < founded {
		return
	}
	p := &h.places[m.at-1]
	if s := m.sum(); p.state == 0 {
		p.state = s
	} else if p.state != s {
		h.fail(oneState, "%s of member %d differs from that of others at place %d", what, m.who, m.at)
	}
}

// restored is told of a member that has taken over a picture.
func (h *history) restored(m *wrapper) {
	h.note("restored", m.who, m.at)
	h.host(m.who).reached(m.at)
	if m.at > uint64(len(h.places)) {
		h.fail(oneHistory, "member %d has a picture of place %d of %d", m.who, m.at, len(h.places))
	} else {
		h.compare(m, "the picture taken over")
	}
}

// extend lets the model follow the first application of an entry.
func (h *history) extend(entry []byte) {
	c, err := vault.DecodeCommand(entry)
	if err != nil {
		if len(h.places) > 1 {
			h.fail(oneHistory, "an entry that is no command: %v", err)
		}
		return // the roster that the group was founded with
	}
	if c.Kind == vault.Genesis {
		h.rules.policy = c.Policy
	}
	h.watchTime(c.Time)
	p := &h.places[len(h.places)-1]
	p.time = h.time
	for i := range h.accounts {
		h.become(i, h.rules.ripen(h.accounts[i], h.time))
	}
	if c.Kind == vault.Request {
		h.follow(c, p)
	}
}

// watchTime: the vault's time comes from a majority of honest clocks.
func (h *history) watchTime(proposed uint64) {
	h.time = max(h.time, proposed, 1)
	if ahead := int64(h.time) - int64(h.date()); ahead > honestSkew {
		h.fail(honestTime, "the vault is %d ms ahead of every honest clock", ahead)
	}
}

// follow does in the model what a client asked for.
func (h *history) follow(c *vault.Command, p *place) {
	q := h.asked[requestKey(c.Account, c.Body)]
	if q == nil {
		h.fail(oneHistory, "a %T that nobody asked for is in the history", c.Body)
		return
	}
	was := h.accounts[q.account]
	next, r := h.rules.decide(was, q, h.time)
	p.request, p.reply = q, r
	if id, asked, ok := asking(q.body); ok && next.owed > was.owed {
		h.charges[charge{q.account, next.record.id, id, asked}] = was.refills
	}
	h.become(q.account, next)
	h.note("decided", uint64(q.account), uint64(q.body.Type()), uint64(r.code), uint64(r.left))
}

// become replaces an account, and keeps in mind whose key is gone.
func (h *history) become(i int, next plain) {
	was := h.accounts[i]
	if was.phase == live && (next.phase != live || next.record.id != was.record.id) {
		h.dead[was.record.id] = uint64(len(h.places))
	}
	h.accounts[i] = next
}

// changed is told of each signed change that a member applies.
func (h *history) changed(m *wrapper, signed []byte, accepted bool) {
	h.note("change", m.who, m.at, sum(signed))
	defer h.host(m.who).reached(m.at)
	if m.at == uint64(len(h.places))+1 {
		h.places = append(h.places, place{sum: sum(signed), changed: accepted, time: h.time})
		h.fleet.changed(m, accepted)
	}
	if p := h.at(m, signed); p != nil {
		if p.changed != accepted {
			h.fail(oneState, "member %d decided otherwise on the change at place %d", m.who, m.at)
		}
		h.compare(m, "the state")
	}
	if accepted && !h.fleet.sufficient[sum(signed)] {
		h.fail(signedOnly, "member %d applied a change that too few operators signed", m.who)
	}
}

// acknowledged is told when the outcome of a call is about to leave: what it was
// decided on must hold everything that was acknowledged when it began.
func (h *history) acknowledged(c *call) {
	if c.place < c.floor {
		h.fail(fresh, "a %T was answered from place %d by member %d; %d was acknowledged before it was asked", c.request.body, c.place, c.host.number, c.floor)
	}
	h.acked = max(h.acked, c.place)
}

// left is told of each evaluation that leaves the vault, in an answer to an attempt. A
// hardened attempt is one charge for both of its evaluations.
func (h *history) left(c *call, asked question, e *vaultapi.Evaluation, byKey bool) {
	k := charge{c.request.account, e.Record, e.Attempt, asked}
	refills, paid := h.charges[k]
	if !paid {
		h.fail(paidFirst, "member %d evaluated for attempt %v of account %d, which is not committed", c.host.number, e.Attempt, k.account)
		return
	}
	if at, dead := h.dead[e.Record]; dead && byKey && at <= c.floor {
		h.fail(deadKeys, "member %d evaluated with the key of record %v, destroyed at place %d", c.host.number, e.Record, at)
	}
	what := evaluation{k.account, e.Record, asked}
	if !h.seen[what] {
		h.seen[what] = true
		h.spent[k.account][refills]++
	}
	if n := h.spent[k.account][refills]; n > int(h.rules.policy.MaxAttempts) {
		h.fail(noMoreThanM, "%d evaluations of distinct questions for account %d without a proof", n, k.account)
	}
}
