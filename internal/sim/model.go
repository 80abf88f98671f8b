package sim

import (
	"slices"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// request is what somebody asks of an account, with what the vault must find out
// for itself: who signed it, and what about.
type request struct {
	account int // index in the pool
	body    vaultapi.Body
	who     [8]byte
	signer  [32]byte    // public key of who signed; zeros: nobody, or it is forged
	of      vaultapi.ID // live record that the signature is about
	about   [32]byte    // Confirm: digest of the proposal
	proves  question    // Prove: what was asked
	names   vaultapi.ID // Cancel: the change that the signature is about
	digest  [32]byte    // of type and body
}

// question is what an attempt asks: an element, and a point if it is a hardened one.
type question struct {
	element [32]byte
	point   [33]byte // zeros: none
}

// asking is the id and the question of an attempt of either kind.
func asking(b vaultapi.Body) (id vaultapi.ID, q question, ok bool) {
	switch b := b.(type) {
	case *vaultapi.AttemptBody:
		return b.Attempt, question{element: b.Blinded}, true
	case *vaultapi.HardenedAttemptBody:
		return b.Attempt, question{b.Blinded, b.Blinded2}, true
	}
	return id, q, false
}

// reply is what the vault says to a request, without bytes that only cryptography can judge.
type reply struct {
	code        vaultapi.Code
	left, limit uint8
	next        uint64
	record      vaultapi.ID // of an Attempt or Status
	past        int         // attempts in the history
}

func replyOf(a *vaultapi.Answer) reply {
	r := reply{code: a.Code, left: a.Left, limit: a.Limit, next: a.Next}
	switch b := a.Body.(type) {
	case *vaultapi.Evaluation:
		r.record = b.Record
	case *vaultapi.HardenedEvaluation:
		r.record = b.Record
	case *vaultapi.StatusReport:
		r.record, r.past = b.Record, len(b.Past)
	case *vaultapi.History:
		r.past = len(b.Past)
	}
	return r
}

// The phases of a record in the model.
const (
	nothing = iota
	live
	grace     // the last attempt was made
	tombstone // destroyed
)

// plain is what spec/vault-protocol.md §11 says of one account, in plain values. It
// is copied to be changed: its slices are never written to.
type plain struct {
	phase       int
	record      proposal
	spent, owed uint8
	next, until uint64 // next attempt allowed; end of the grace
	pending     waiting
	gone        []ended
	tried       []tried
	successes   int // times that attempts were moved aside
	refills     int // proofs, changes with authority, records after a destroyed one
}

type proposal struct {
	id             vaultapi.ID
	digest         [32]byte
	limit          uint8
	unlock, device [32]byte
}

type waiting struct {
	kind         vaultapi.PendingKind
	ripens, ends uint64
	record       proposal
}

type ended struct {
	id    vaultapi.ID
	until uint64
}

type tried struct {
	id      vaultapi.ID
	asked   question
	other   bool   // of a record that has ended
	until   uint64 // 0: since the last success
	success int    // which success it is from before
	proof   [32]byte
}

// How long, in milliseconds, and how many old ids the vault remembers, and how long it
// keeps changes that nobody confirms (§11).
const (
	remembers = 65 * 60 * 1000
	confirms  = 24 * 3600 * 1000
	most      = 20 // old ids, and attempts on each side of the last success
)

// rules is the model: what a request does at a time.
type rules struct{ policy vault.Policy }

func (r rules) wait(owed uint8) uint64 {
	w := r.policy.Waits
	if len(w) == 0 {
		return 0
	}
	return w[min(int(owed), len(w))-1]
}

// ripen is what time alone does.
func (r rules) ripen(a plain, now uint64) plain {
	if a.phase == grace && a.until <= now {
		a = a.destroyed(now)
	}
	if a.pending.kind != 0 && a.pending.ends <= now {
		a.pending = waiting{}
	}
	if slices.ContainsFunc(a.gone, func(e ended) bool { return e.until <= now }) {
		a.gone = slices.DeleteFunc(slices.Clone(a.gone), func(e ended) bool { return e.until <= now })
	}
	old := func(t tried) bool { return t.until != 0 && t.until <= now }
	if slices.ContainsFunc(a.tried, old) {
		a.tried = slices.DeleteFunc(slices.Clone(a.tried), old)
	}
	return a
}

// over ends the record: its id and attempts are remembered.
func (a plain) over(now uint64) plain {
	a.gone = append(slices.Clone(a.gone), ended{a.record.id, now + remembers})
	a.tried = slices.Clone(a.tried)
	for i := range a.tried {
		a.tried[i].other = true
	}
	if a.pending.kind == vaultapi.PendingDeletion {
		a.pending = waiting{}
	}
	a.record, a.spent, a.phase = proposal{}, 0, nothing
	return a.trim()
}

// aside moves the attempts since the last success aside.
func (a plain) aside(now uint64) plain {
	a.tried = slices.Clone(a.tried)
	a.successes++
	for i := range a.tried {
		if a.tried[i].until == 0 {
			a.tried[i].until, a.tried[i].success = now+remembers, a.successes
		}
	}
	return a.trim()
}

// trim forgets the oldest where there are too many (§11.5). What is from before the
// last success comes first.
func (a plain) trim() plain {
	n := slices.IndexFunc(a.tried, func(t tried) bool { return t.until == 0 })
	if n < 0 {
		n = len(a.tried)
	}
	before, since := a.tried[:n], a.tried[n:]
	a.tried = slices.Concat(before[max(0, len(before)-most):], since[max(0, len(since)-most):])
	a.gone = a.gone[max(0, len(a.gone)-most):]
	return a
}

func (a plain) destroyed(now uint64) plain {
	a = a.over(now).aside(now)
	a.phase, a.owed, a.next = tombstone, 0, 0
	return a
}

func (a plain) there() bool { return a.phase == live || a.phase == grace }

// past counts the attempts of one fate: since the last success, or before a certain one.
func (a plain) past(success int) (n int) {
	for _, t := range a.tried {
		if t.proof == [32]byte{} && (success == 0 && t.until == 0 || success != 0 && t.success == success) {
			n++
		}
	}
	return n
}

// say is an answer from the account as it is.
func (a plain) say(code vaultapi.Code, now uint64) reply {
	r := reply{code: code}
	if code < vaultapi.Unsupported && a.there() {
		r.left, r.limit = a.record.limit-a.spent, a.record.limit
		if a.next > now {
			r.next = a.next
		}
	}
	return r
}

func (a plain) absent(now uint64) reply {
	if a.phase == grace || a.phase == tombstone {
		return a.say(vaultapi.Destroyed, now)
	}
	return a.say(vaultapi.None, now)
}

// waits is the answer to what is allowed later.
func (a plain) waits(until, now uint64) reply {
	r := a.say(vaultapi.Wait, now)
	r.next = until
	return r
}

// decide is what becomes of the account, and what the client is told.
func (r rules) decide(a plain, q *request, now uint64) (plain, reply) {
	a = r.ripen(a, now)
	switch b := q.body.(type) {
	case *vaultapi.ProposeBody:
		return r.propose(a, b, q, now)
	case *vaultapi.ConfirmBody:
		return r.confirm(a, b, q, now)
	case *vaultapi.AttemptBody, *vaultapi.HardenedAttemptBody:
		id, asked, _ := asking(b)
		return r.attempt(a, id, asked, now)
	case *vaultapi.ProveBody:
		return r.prove(a, b, q, now)
	case *vaultapi.DeleteBody:
		return r.remove(a, b, q, now)
	case *vaultapi.CancelBody:
		return r.cancel(a, b, q, now)
	}
	return r.status(a, now)
}

func (r rules) status(a plain, now uint64) (plain, reply) {
	if a.phase != live {
		return a, a.absent(now)
	}
	s := a.say(vaultapi.OK, now)
	s.record, s.past = a.record.id, a.past(0)
	return a, s
}

func (r rules) propose(a plain, b *vaultapi.ProposeBody, q *request, now uint64) (plain, reply) {
	same := func(yes bool) (plain, reply) {
		if yes {
			return a, a.say(vaultapi.OK, now)
		}
		return a, a.say(vaultapi.Conflict, now)
	}
	switch {
	case b.Limit > r.policy.MaxAttempts:
		return a, a.say(vaultapi.Unsupported, now)
	case a.there() && a.record.id == b.Record:
		return same(a.phase == live && a.record.digest == q.digest)
	case a.pending.kind == vaultapi.PendingReplacement && a.pending.record.id == b.Record:
		return same(a.pending.record.digest == q.digest)
	case slices.ContainsFunc(a.gone, func(e ended) bool { return e.id == b.Record }):
		return same(false)
	}
	a.pending = waiting{kind: vaultapi.PendingReplacement, ends: now + confirms,
		record: proposal{b.Record, q.digest, b.Limit, b.Unlock, b.Device}}
	return same(true)
}

// signed reports whether a key of the live record signed this request.
func (a plain) signed(kind vaultapi.Kind, q *request) bool {
	key := a.record.device
	if kind == vaultapi.ByUnlock {
		key = a.record.unlock
	}
	return q.signer != [32]byte{} && q.signer == key && q.of == a.record.id
}

func (r rules) confirm(a plain, b *vaultapi.ConfirmBody, q *request, now uint64) (plain, reply) {
	switch {
	case a.phase == live && a.record.id == b.Record:
		return a, a.say(vaultapi.OK, now)
	case a.pending.kind != vaultapi.PendingReplacement || a.pending.record.id != b.Record:
		return a, a.say(vaultapi.Conflict, now)
	case !a.there():
		return a.replace(false, now)
	case b.Kind != vaultapi.ByNobody:
		if !a.signed(b.Kind, q) || q.about != a.pending.record.digest {
			return a, a.say(vaultapi.Unauthorised, now)
		}
		return a.replace(true, now)
	case a.phase == grace:
		return a, a.waits(a.until, now)
	}
	if a = r.cool(a, now); a.pending.ripens > now {
		return a, a.waits(a.pending.ripens, now)
	}
	return a.replace(false, now)
}

// cool starts the cool-down of the pending change.
func (r rules) cool(a plain, now uint64) plain {
	if a.pending.ripens == 0 {
		a.pending.ripens = now + r.policy.CoolDown
		a.pending.ends = a.pending.ripens + confirms
	}
	return a
}

func (a plain) replace(authorised bool, now uint64) (plain, reply) {
	next := a.pending.record
	if authorised {
		a.owed, a.next = 0, 0
		a.refills++
	}
	if a.there() {
		a = a.over(now)
	}
	if a.phase == tombstone {
		a.refills++ // another k, and the tombstone has no count
	}
	a.phase, a.record, a.pending = live, next, waiting{}
	a.spent = min(a.owed, next.limit-1)
	return a, a.say(vaultapi.OK, now)
}

func (r rules) attempt(a plain, id vaultapi.ID, asked question, now uint64) (plain, reply) {
	if !a.there() {
		return a, a.absent(now)
	}
	i := slices.IndexFunc(a.tried, func(t tried) bool { return t.id == id })
	last := a.phase == grace && i >= 0 && i == len(a.tried)-1
	answered := func() (plain, reply) {
		s := a.say(vaultapi.OK, now)
		s.record = a.record.id
		return a, s
	}
	switch {
	case a.phase == grace && !last:
		return a, a.absent(now)
	case i >= 0 && (a.tried[i].other || a.tried[i].asked != asked):
		return a, a.say(vaultapi.Conflict, now)
	case i >= 0:
		return answered()
	case a.next > now:
		return a, a.waits(a.next, now)
	}
	a.spent, a.owed = a.spent+1, a.owed+1
	a.next = now + r.wait(a.owed)
	a.tried = append(slices.Clone(a.tried), tried{id: id, asked: asked})
	a = a.trim()
	if a.spent == a.record.limit {
		a.phase, a.until, a.next = grace, now+r.policy.Grace, 0
		if a.pending.kind == vaultapi.PendingDeletion {
			a.pending = waiting{}
		}
	}
	return answered()
}

func (r rules) prove(a plain, b *vaultapi.ProveBody, q *request, now uint64) (plain, reply) {
	i := slices.IndexFunc(a.tried, func(t tried) bool { return t.id == b.Attempt })
	switch {
	case i >= 0 && a.tried[i].proof != [32]byte{} && a.tried[i].proof == q.digest:
		s := a.say(vaultapi.OK, now)
		s.past = a.past(a.tried[i].success)
		return a, s
	case !a.there():
		return a, a.absent(now)
	case i < 0 || a.tried[i].other || a.tried[i].until != 0:
		return a, a.say(vaultapi.Conflict, now)
	case q.signer == [32]byte{} || q.signer != a.record.unlock || q.of != a.record.id || q.proves != a.tried[i].asked:
		return a, a.say(vaultapi.Unauthorised, now)
	}
	a.tried = slices.Clone(a.tried)
	a.tried[i].proof = q.digest
	a = a.aside(now)
	a.spent, a.owed, a.next, a.pending = 0, 0, 0, waiting{}
	if b.Device != [32]byte{} {
		a.record.device = b.Device
	}
	a.refills++
	past := a.past(a.successes)
	if a.phase == grace {
		a = a.destroyed(now)
	}
	s := a.say(vaultapi.OK, now)
	s.past = past
	return a, s
}

func (r rules) remove(a plain, b *vaultapi.DeleteBody, q *request, now uint64) (plain, reply) {
	switch {
	case !a.there():
		return a, a.absent(now)
	case a.record.id != b.Record:
		return a, a.say(vaultapi.Conflict, now)
	case b.Kind != vaultapi.ByNobody:
		if !a.signed(b.Kind, q) {
			return a, a.say(vaultapi.Unauthorised, now)
		}
		a.owed, a.next, a.pending = 0, 0, waiting{}
		a.refills++
	case a.phase == grace:
		return a, a.waits(a.until, now)
	default:
		if a.pending.kind != vaultapi.PendingDeletion {
			a.pending = waiting{kind: vaultapi.PendingDeletion}
		}
		if a = r.cool(a, now); a.pending.ripens > now {
			return a, a.waits(a.pending.ripens, now)
		}
	}
	a = a.over(now).aside(now)
	return a, a.say(vaultapi.OK, now)
}

func (r rules) cancel(a plain, b *vaultapi.CancelBody, q *request, now uint64) (plain, reply) {
	waits := a.pending.record.id
	if a.pending.kind == vaultapi.PendingDeletion {
		waits = a.record.id
	}
	switch {
	case !a.there():
		return a, a.absent(now)
	case !a.signed(b.Kind, q) || q.names != b.Record:
		return a, a.say(vaultapi.Unauthorised, now)
	case a.pending.kind != vaultapi.NoPending && waits != b.Record:
		return a, a.say(vaultapi.Conflict, now)
	}
	a.pending = waiting{}
	return a, a.say(vaultapi.OK, now)
}
