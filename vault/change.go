package vault

import (
	"slices"

	"keepsake.example/internal/memo"
	"keepsake.example/oprf"
	"keepsake.example/vaultapi"
)

// propose stores a pending replacement (spec/vault-protocol.md §11.1). It takes
// the place of any other change that waits: whoever holds a token can delay a
// change that has no authority, and no more.
func (t *turn) propose(b *vaultapi.ProposeBody) *Effect {
	r := record{
		id: b.Record, proposal: b.Digest(), limit: b.Limit, unlock: b.Unlock, device: b.Device, envelope: b.Envelope,
	}
	defer clear(r.key[:])
	b.Key.Use(func(k *[32]byte) { r.key = *k })
	if oprf.CheckPrivateKey(r.key[:]) != nil || r.limit > t.fleet.Policy.MaxAttempts {
		return t.say(vaultapi.Unsupported, nil)
	}
	switch {
	case t.hasRecord() && t.record.id == r.id:
		return t.same(t.phase == live && t.record.proposal == r.proposal)
	case t.pending.kind == vaultapi.PendingReplacement && t.pending.record.id == r.id:
		return t.same(t.pending.record.proposal == r.proposal)
	case slices.ContainsFunc(t.gone, func(g gone) bool { return g.id == r.id }):
		return t.same(false)
	}
	t.drop()
	t.pending = pending{kind: vaultapi.PendingReplacement, ends: t.now + confirmWithin, record: r}
	return t.say(vaultapi.OK, nil)
}

// same answers an id that is known, with the same content or another.
func (t *turn) same(content bool) *Effect {
	if content {
		return t.say(vaultapi.OK, nil)
	}
	return t.say(vaultapi.Conflict, nil)
}

// confirm makes the pending replacement live. Without a key of the live record it
// does so only after the cool-down, and takes the spent count along (rule 6).
func (t *turn) confirm(b *vaultapi.ConfirmBody) *Effect {
	p := &t.pending
	switch {
	case t.phase == live && t.record.id == b.Record:
		return t.say(vaultapi.OK, nil)
	case p.kind != vaultapi.PendingReplacement || p.record.id != b.Record:
		return t.say(vaultapi.Conflict, nil)
	case !t.hasRecord():
		return t.replace(false)
	case b.Kind != vaultapi.ByNobody:
		if !t.signed(b.Authority, vaultapi.ConfirmMessage(t.fleet.ID, t.by.Account, t.record.id, p.record.proposal)) {
			return t.say(vaultapi.Unauthorised, nil)
		}
		return t.replace(true)
	case t.phase == spent:
		return t.wait(t.last.until) // then there is no live record
	case !t.ripe():
		return t.wait(p.ripens)
	}
	return t.replace(false)
}

// replace puts the pending record in the place of what is there. The new record
// has one attempt at least, and owes all that was spent since the last proof.
func (t *turn) replace(authorised bool) *Effect {
	if authorised {
		t.owed, t.next = 0, 0
	}
	if t.hasRecord() {
		t.end(t.now)
	}
	t.phase, t.when, t.record, t.registered = live, 0, t.pending.record, t.now
	t.account.spent = min(t.owed, t.record.limit-1)
	t.drop()
	return t.say(vaultapi.OK, nil)
}

// ripe starts the cool-down of the pending change, or reports whether it is over.
func (t *turn) ripe() bool {
	p := &t.pending
	if p.ripens == 0 {
		p.ripens = t.now + t.fleet.Policy.CoolDown
		p.ends = p.ripens + confirmWithin
	}
	return p.ripens <= t.now
}

// signed reports whether the key of the record that a names signed the message.
func (t *turn) signed(a vaultapi.Authority, message []byte) bool {
	key := t.record.device
	if a.Kind == vaultapi.ByUnlock {
		key = t.record.unlock
	}
	return a.Kind != vaultapi.ByNobody && memo.Verify(key[:], message, a.Signature[:])
}

// delete destroys the record: at once by a key of it, leaving nothing; otherwise
// after the cool-down, leaving the spent count.
func (t *turn) delete(b *vaultapi.DeleteBody) *Effect {
	switch {
	case !t.hasRecord():
		return t.absent()
	case t.record.id != b.Record:
		return t.say(vaultapi.Conflict, nil)
	case b.Kind != vaultapi.ByNobody:
		if !t.signed(b.Authority, vaultapi.DeleteMessage(t.fleet.ID, t.by.Account, t.record.id)) {
			return t.say(vaultapi.Unauthorised, nil)
		}
		t.owed, t.next = 0, 0
		t.drop()
	case t.phase == spent:
		return t.wait(t.last.until) // then it is destroyed
	default:
		if t.pending.kind != vaultapi.PendingDeletion {
			t.drop()
			t.pending.kind = vaultapi.PendingDeletion
		}
		if !t.ripe() {
			return t.wait(t.pending.ripens)
		}
	}
	t.end(t.now)
	t.forget(t.now)
	t.success = 0
	return t.say(vaultapi.OK, nil)
}

// cancel drops the pending change, by a key of the live record. Nothing pending
// is ok: then it was this Cancel before, or time.
func (t *turn) cancel(b *vaultapi.CancelBody) *Effect {
	switch {
	case !t.hasRecord():
		return t.absent()
	case !t.signed(b.Authority, vaultapi.CancelMessage(t.fleet.ID, t.by.Account, t.record.id, b.Record)):
		return t.say(vaultapi.Unauthorised, nil)
	case t.pending.kind != vaultapi.NoPending && t.pendingID() != b.Record:
		return t.say(vaultapi.Conflict, nil)
	}
	t.drop()
	return t.say(vaultapi.OK, nil)
}

// pendingID is the id of the pending change, zeros for none: a deletion has the
// record's that it is to delete.
func (t *turn) pendingID() vaultapi.ID {
	if t.pending.kind == vaultapi.PendingDeletion {
		return t.record.id
	}
	return t.pending.record.id
}

// status changes nothing and costs nothing.
func (t *turn) status() *Effect {
	if t.phase != live {
		return t.absent()
	}
	return t.say(vaultapi.OK, &vaultapi.StatusReport{
		Record: t.record.id, Registered: t.registered, LastSuccess: t.success,
		Pending: t.pending.kind, PendingRecord: t.pendingID(), Ripens: t.pending.ripens,
		Past: t.history(0),
	})
}
