package vault

import (
	"keepsake.example/internal/wire"
	"keepsake.example/vaultapi"
)

// encode appends the account's bytes, spec/replication.md: none for an empty one.
func (a *account) encode(b []byte) []byte {
	if a.empty() {
		return b
	}
	w := wire.Append(b)
	a.layout(w)
	return w.Written()
}

// decode reads the bytes of encode, and no others. Its envelopes share memory with b.
func (a *account) decode(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	w := wire.Read(b)
	a.layout(w)
	if !w.Done() || a.empty() {
		return errState
	}
	return a.check()
}

func (a *account) layout(w *wire.Codec) {
	w.Bytes(a.rid[:])
	w.U8((*uint8)(&a.phase))
	w.U8(&a.owed)
	w.U64(&a.next)
	if a.hasRecord() {
		a.record.layout(w)
		w.U8(&a.spent)
		w.U64(&a.registered)
		w.U64(&a.success)
	}
	if a.phase == live {
		w.Bytes(a.record.key[:])
	}
	if a.phase == spent {
		w.Bytes(a.last.evaluated[:])
		w.Bytes(a.last.proof[:])
		w.U64(&a.last.until)
	}
	if a.phase == spent || a.phase == destroyed {
		w.U64(&a.when)
	}
	a.pending.layout(w)
	wire.List(w, &a.gone, maxGone, func(g *gone) {
		w.Bytes(g.id[:])
		w.U64(&g.until)
	})
	wire.List(w, &a.tries, 2*maxTries, func(t *try) { t.layout(w) })
}

// layout is a record without its key.
func (r *record) layout(w *wire.Codec) {
	w.Bytes(r.id[:])
	w.Bytes(r.proposal[:])
	w.U8(&r.limit)
	w.Bytes(r.unlock[:])
	w.Bytes(r.device[:])
	w.Counted(&r.envelope, 1, vaultapi.MaxEnvelope)
}

func (p *pending) layout(w *wire.Codec) {
	w.U8((*uint8)(&p.kind))
	if p.kind == vaultapi.NoPending {
		return
	}
	w.U64(&p.ripens)
	w.U64(&p.ends)
	if p.kind == vaultapi.PendingReplacement {
		p.record.layout(w)
		w.Bytes(p.record.key[:])
	}
}

func (t *try) layout(w *wire.Codec) {
	w.Bytes(t.id[:])
	w.Bytes(t.question[:])
	w.U64(&t.time)
	w.Bytes(t.who[:])
	w.Flag(&t.other)
	w.U64(&t.until)
	w.Bytes(t.proof[:])
}

// check refuses what no sequence of commands leads to. The state relies on it:
// an account that passes has in each phase what that phase needs.
func (a *account) check() error {
	switch tried := len(a.tries); {
	case a.phase > destroyed, !a.pending.valid(a.phase), a.hasRecord() && !a.record.valid():
	case a.owed == 0 && a.next != 0, a.phase == destroyed && a.owed != 0:
	case a.phase == live && a.spent >= a.record.limit, a.phase == spent && a.spent != a.record.limit:
	case a.phase == spent && (tried == 0 || !a.tries[tried-1].counted()):
	default:
		return a.checkTries()
	}
	return errState
}

// checkTries: attempts from before the last success come first, and there are no
// more of either kind, or of the live record's own, than there can be.
func (a *account) checkTries() error {
	before, counted, last := a.before(), 0, uint64(0)
	for i, t := range a.tries {
		if (t.until == 0) != (i >= before) || t.until == 0 && t.proof != [32]byte{} || t.time < last {
			return errState
		}
		last = t.time
		if t.counted() {
			counted++
		}
	}
	since := len(a.tries) - before
	if max(before, since) > maxTries || since > 0 && !a.hasRecord() || counted > int(a.spent) || a.spent > a.owed {
		return errState
	}
	return nil
}

// counted reports whether the attempt counts against the record that is there.
func (t *try) counted() bool { return !t.other && t.until == 0 }

func (r *record) valid() bool { return 1 <= r.limit && r.limit <= vaultapi.MaxAttempts }

func (p *pending) valid(of phase) bool {
	switch p.kind {
	case vaultapi.NoPending:
		return true
	case vaultapi.PendingDeletion:
		return of == live && p.ripens != 0 && p.ends != 0
	}
	return p.kind == vaultapi.PendingReplacement && p.record.valid() && p.ends != 0
}
