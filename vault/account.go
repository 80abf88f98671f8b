package vault

import (
	"slices"

	"keepsake.example/vault/cells"
	"keepsake.example/vaultapi"
)

const (
	// remember is how long the ids of old attempts and records are kept, in
	// milliseconds: a token's longest life and the tolerance at both of its ends.
	remember = hour + 5*minute
	// confirmWithin is how long a proposal waits for its Confirm, and a change that
	// has ripened for its second, in milliseconds.
	confirmWithin = 24 * hour

	// maxTries is how many attempts since the last success are kept, and how many
	// from before it; maxGone how many record ids. The oldest go first.
	maxTries = vaultapi.MaxHistory
	maxGone  = 20
)

// rid names an account inside the vault (§8).
type rid = cells.Name

// phase is what there is of an account's record.
type phase uint8

const (
	none      phase = iota // no record; after a deletion without authority the spent count remains
	live                   // k can be evaluated: at least one attempt is left
	spent                  // the last attempt was made, k is erased, its answer is kept for the grace
	destroyed              // a tombstone
)

// account is all that the vault knows of one account, taken out of the store.
type account struct {
	rid   rid
	phase phase
	// owed is the attempts since the last proof of the password, over all records
	// since then: registering again does not lower it (rule 6).
	owed uint8
	next uint64 // when the next attempt is allowed, milliseconds (rule 5)

	record              record // live; spent, without k
	spent               uint8  // attempts of record.limit: live, less than the limit; spent, the limit
	registered, success uint64 // milliseconds; success 0 for none
	last                last   // spent
	when                uint64 // spent, destroyed: when the last attempt was made, milliseconds

	pending pending
	gone    []gone // record ids that were live once, oldest first
	tries   []try  // oldest first
}

// record is what a Propose brings.
type record struct {
	id             vaultapi.ID
	proposal       [32]byte // SHA-256 of the proposal
	limit          uint8
	key            [32]byte // k
	unlock, device [32]byte // Ed25519
	envelope       []byte
}

// last is the answer to the last attempt, and until when it is given again.
type last struct {
	evaluated [32]byte
	proof     [64]byte
	until     uint64 // milliseconds
}

// pending is the one change that waits. It is never evaluated.
type pending struct {
	kind   vaultapi.PendingKind
	ripens uint64 // end of the cool-down, milliseconds; 0 before the first Confirm without authority
	ends   uint64 // when it is dropped, milliseconds
	record record // of a replacement
}

// gone is a record id that must not come back by an old request.
type gone struct {
	id    vaultapi.ID
	until uint64 // milliseconds
}

// try is one attempt that was counted.
type try struct {
	id       vaultapi.ID
	question [32]byte // B; of a HardenedAttempt its Question, which no B is
	time     uint64   // milliseconds
	who      [8]byte
	other    bool     // it was another record's than the one that is there now
	until    uint64   // when it is forgotten, milliseconds; 0: it is one since the last success
	proof    [32]byte // SHA-256 of the Prove that was accepted for it; zeros for none
}

func (a *account) hasRecord() bool { return a.phase == live || a.phase == spent }

// empty reports whether nothing need be kept of the account.
func (a *account) empty() bool {
	return a.phase == none && a.owed == 0 && a.pending.kind == vaultapi.NoPending && len(a.gone)+len(a.tries) == 0
}

// try finds an attempt by its id; nil when it is not known.
func (a *account) try(id vaultapi.ID) *try {
	i := slices.IndexFunc(a.tries, func(t try) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return &a.tries[i]
}

// history lists the attempts that share the fate of one: with until 0 those since
// the last success, else those of the success that set it, but not the one that proved it.
func (a *account) history(until uint64) (past []vaultapi.Past) {
	for _, t := range a.tries {
		if t.until == until && t.proof == [32]byte{} {
			past = append(past, vaultapi.Past{Time: t.time, Who: t.who, Attempt: t.id})
		}
	}
	return past
}

// forget sets when the attempts since the last success are forgotten: together,
// and apart from those of an earlier success, also one of the same millisecond.
func (a *account) forget(now uint64) {
	until := now + remember
	for _, t := range a.tries {
		if t.until != 0 {
			until = max(until, t.until+1)
		}
	}
	for i := range a.tries {
		if a.tries[i].until == 0 {
			a.tries[i].until = until
		}
	}
	a.trim()
}

// before is how many attempts are from before the last success. They come first.
func (a *account) before() int {
	since := slices.IndexFunc(a.tries, func(t try) bool { return t.until == 0 })
	if since < 0 {
		return len(a.tries)
	}
	return since
}

// trim drops the oldest attempts where there are too many. The attempts of the
// live record are the newest and at most ten: none of them is ever dropped.
func (a *account) trim() {
	before := a.before()
	a.tries = slices.Delete(a.tries, before, max(before, len(a.tries)-maxTries))
	a.tries = slices.Delete(a.tries, 0, max(0, before-maxTries))
	a.gone = slices.Delete(a.gone, 0, max(0, len(a.gone)-maxGone))
}

// end erases the record, k first, and what belongs to it. Its id and those of its
// attempts are remembered, so that old requests bring nothing back and cost
// nothing to a later record.
func (a *account) end(now uint64) {
	clear(a.record.key[:])
	a.gone = append(a.gone, gone{a.record.id, now + remember})
	for i := range a.tries {
		a.tries[i].other = true
	}
	if a.pending.kind == vaultapi.PendingDeletion {
		a.drop()
	}
	a.record, a.last, a.spent, a.registered, a.when = record{}, last{}, 0, 0, 0
	a.phase = none
	a.trim()
}

// destroy leaves a tombstone of a record whose last attempt was made. It has no
// count: a new record has a new k, and says nothing of the old password.
func (a *account) destroy(now uint64) {
	when := a.when
	a.end(now)
	a.forget(now)
	a.phase, a.when, a.owed, a.next, a.success = destroyed, when, 0, 0, 0
}

// drop erases the pending change.
func (a *account) drop() {
	clear(a.pending.record.key[:])
	a.pending = pending{}
}

// ripen does what time alone does: the grace ends, changes that nobody confirmed
// are dropped, old ids are forgotten.
func (a *account) ripen(now uint64) {
	if a.phase == spent && a.last.until <= now {
		a.destroy(now)
	}
	if a.pending.kind != vaultapi.NoPending && a.pending.ends <= now {
		a.drop()
	}
	a.gone = slices.DeleteFunc(a.gone, func(g gone) bool { return g.until <= now })
	a.tries = slices.DeleteFunc(a.tries, func(t try) bool { return t.until != 0 && t.until <= now })
}

// deadline is when ripen next has something to do; 0 for never.
func (a *account) deadline() (first uint64) {
	sooner := func(t uint64) {
		if t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	sooner(a.pending.ends)
	sooner(a.last.until)
	for _, g := range a.gone {
		sooner(g.until)
	}
	for _, t := range a.tries {
		sooner(t.until)
	}
	return first
}

// overdue reports whether ripen has something to do.
func (a *account) overdue(now uint64) bool { d := a.deadline(); return d != 0 && d <= now }

// wipe overwrites the secrets of the copy that was worked on.
func (a *account) wipe() {
	clear(a.record.key[:])
	clear(a.pending.record.key[:])
}
