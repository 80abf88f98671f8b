package outage_test

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"keepsake.example/vaultapi"
)

// limit is how many attempts every record has, without waits between them.
const limit = 10

// done is one request and what came of it.
type done struct {
	kind       vaultapi.Type
	id         vaultapi.ID // of the record, or of the attempt
	code       vaultapi.Code
	left, past int  // past: attempts since the last success, that Prove and Status tell
	unknown    bool // nobody was told what became of it
	began, end int64
}

// look is no request, but what the answer to an attempt says of the account besides.
const look vaultapi.Type = 100

// account is the plain model: what spec/vault-protocol.md §11 says of an account whose
// changes all have authority, and in whose life an id is never used twice.
type account struct {
	record, pending vaultapi.ID // zeros: none
	since           []vaultapi.ID
	destroyed       bool // after the last attempt, or its proof
}

// step is what becomes of the account, and what is told.
func (a account) step(d done) (account, done) {
	told := done{kind: d.kind, id: d.id}
	switch d.kind {
	case vaultapi.Propose:
		a.pending = d.id
	case vaultapi.Confirm:
		return a.confirm(told)
	case vaultapi.Attempt:
		return a.attempt(told)
	case vaultapi.Prove:
		return a.prove(told)
	case vaultapi.Delete:
		switch {
		case a.record == vaultapi.ID{}:
			return a, a.absent(told)
		case a.record != d.id:
			told.code = vaultapi.Conflict
		default:
			a.record, a.since, a.destroyed = vaultapi.ID{}, nil, false
		}
	case look:
		if told.left = limit - len(a.since); a.destroyed {
			told.code, told.left = vaultapi.Destroyed, 0
		}
	case vaultapi.Status:
		if a.destroyed || a.record == (vaultapi.ID{}) {
			return a, a.absent(told)
		}
		told.left, told.past = limit-len(a.since), len(a.since)
	}
	return a, told
}

func (a account) absent(told done) done {
	if told.code = vaultapi.None; a.destroyed {
		told.code = vaultapi.Destroyed
	}
	return told
}

func (a account) confirm(told done) (account, done) {
	switch {
	case a.record == told.id:
	case a.pending == told.id:
		a = account{record: told.id}
	default:
		told.code = vaultapi.Conflict
	}
	return a, told
}

func (a account) attempt(told done) (account, done) {
	if a.destroyed || a.record == (vaultapi.ID{}) {
		return a, a.absent(told)
	}
	a.since = append(slices.Clone(a.since), told.id)
	a.destroyed = len(a.since) == limit
	told.left = limit - len(a.since)
	return a, told
}

func (a account) prove(told done) (account, done) {
	i := slices.Index(a.since, told.id)
	if i < 0 {
		told.code = vaultapi.Conflict
		if a.destroyed || a.record == (vaultapi.ID{}) {
			told = a.absent(told)
		}
		return a, told
	}
	told.past = len(a.since) - 1
	a.since = nil
	if a.destroyed {
		a.record = vaultapi.ID{} // nothing is left of it but the tombstone
	}
	return a, told
}

// agrees compares what the model tells with what was told.
func (told done) agrees(d done) bool {
	switch {
	case d.unknown:
		return true
	case d.kind == look && told.code == vaultapi.Destroyed && d.code == vaultapi.OK:
		return d.left == 0 // the last attempt itself is answered
	case d.kind == vaultapi.Delete && told.code == vaultapi.OK && d.code == vaultapi.None:
		return true // its repetition was answered
	}
	counts := told.code == vaultapi.OK && (d.kind == look || d.kind == vaultapi.Status)
	tells := told.code == vaultapi.OK && (d.kind == vaultapi.Prove || d.kind == vaultapi.Status)
	return told.code == d.code && (!counts || told.left == d.left) && (!tells || told.past == d.past)
}

var model = porcupine.Model{
	Init: func() any { return account{} },
	Step: func(s, _, output any) (bool, any) {
		d := output.(done)
		next, told := s.(account).step(d)
		return told.agrees(d), next
	},
	Equal: func(x, y any) bool {
		a, b := x.(account), y.(account)
		return a.record == b.record && a.pending == b.pending && a.destroyed == b.destroyed && slices.Equal(a.since, b.since)
	},
}

// history is what happened to one account.
type history struct {
	mu   sync.Mutex
	list []done
}

func (h *history) add(d done) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, d)
}

func (h *history) all() []done {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list)
}

// operations is a history as porcupine takes it. An attempt may have been sent more than
// once, and what is answered is its last repetition: it was counted at one moment, and
// what the answer says of the account is of that or a later one. So it is two operations.
func operations(list []done) (ops []porcupine.Operation) {
	add := func(d done) {
		if d.unknown && d.code == vaultapi.OK {
			d.end = math.MaxInt64 // it may be done at any time from its beginning on, or never
		}
		ops = append(ops, porcupine.Operation{Input: d.kind, Output: d, Call: d.began, Return: d.end})
	}
	for _, d := range list {
		seen := d
		if seen.kind = look; d.kind == vaultapi.Attempt && !d.unknown && d.code == vaultapi.OK {
			add(seen)
		}
		if d.kind == vaultapi.Attempt && !d.unknown && d.code == vaultapi.Destroyed {
			add(seen)
			d.unknown = true // it may be one of those that were counted before
		}
		add(d)
	}
	return ops
}

// judge holds a history against the model.
func judge(t *testing.T, name string, list []done) {
	t.Helper()
	switch porcupine.CheckOperationsTimeout(model, operations(list), time.Minute) {
	case porcupine.Illegal:
		t.Errorf("what %s was told cannot have come from one vault:", name)
		for _, d := range list {
			t.Logf("%12d %12d %v %v: %v, %d left, %d past, unknown %v", d.began, d.end, d.kind, d.id, d.code, d.left, d.past, d.unknown)
		}
	case porcupine.Unknown:
		t.Errorf("the history of %s, %d requests, could not be judged in time", name, len(list))
	}
}

// The judge is strict: it passes what one vault could have said, and nothing else.
func TestJudge(t *testing.T) {
	id := func(n byte) vaultapi.ID { return vaultapi.ID{n} }
	var clock int64
	op := func(kind vaultapi.Type, n byte, code vaultapi.Code, left, past int) done {
		clock += 10
		return done{kind: kind, id: id(n), code: code, left: left, past: past, began: clock, end: clock + 5}
	}
	good := []done{
		op(vaultapi.Propose, 1, 0, 0, 0), op(vaultapi.Confirm, 1, 0, 0, 0), op(vaultapi.Attempt, 2, 0, 9, 0), op(vaultapi.Attempt, 3, 0, 8, 0),
		op(vaultapi.Status, 0, 0, 8, 2), op(vaultapi.Prove, 3, 0, 0, 1), op(vaultapi.Status, 0, 0, 10, 0), op(vaultapi.Delete, 1, 0, 0, 0),
		op(vaultapi.Status, 0, vaultapi.None, 0, 0),
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i].code ^= 1
		if porcupine.CheckOperations(model, operations(bad)) {
			t.Errorf("request %d with another answer is believed", i)
		}
	}
	if lost := slices.Delete(slices.Clone(good), 3, 4); porcupine.CheckOperations(model, operations(lost)) {
		t.Error("an attempt that nobody made is believed")
	}
	forgotten := slices.Clone(good)
	forgotten[4] = op(vaultapi.Status, 0, 0, 9, 1)
	if porcupine.CheckOperations(model, operations(forgotten)) {
		t.Error("an attempt that was forgotten is believed")
	}
	unknown := slices.Clone(good)
	unknown[3].unknown = true
	for _, list := range [][]done{good, unknown} {
		judge(t, "somebody", list)
	}
}
