package sim

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"keepsake.example/vaultapi"
)

// answer is one answer that left the vault, as the client of it sees the world: it
// began and ended, and in between it must have happened.
type answer struct {
	request    *request
	began, end int64 // stamps
	told       reply
	time       uint64 // the vault's, milliseconds
	place      uint64 // 0: read, not committed
	seen       uint64 // the place that it was decided on
}

// stamp is a moment, before and after all others.
func (r *run) stamp() int64 {
	r.stamps++
	return r.stamps
}

// answered keeps an answer for the judgement at the end.
func (h *history) answered(c *call, a *vaultapi.Answer) {
	h.answers = append(h.answers, answer{request: c.request, began: c.began, end: h.stamp(), told: replyOf(a), time: a.Time, place: c.committed, seen: c.place})
	h.note("answer", c.host.number, uint64(a.Code), uint64(a.Left), a.Time, c.place)
}

// at is the state of one account in a possible order of what happened.
type lineState struct {
	account plain
	time    uint64
}

// linear asks whether what everybody was told, account by account, could have come
// from one vault that does one request at a time. What was committed without
// anybody hearing of it happened at some moment after it began. The order of the history
// is tried first; where that is none, porcupine looks for another.
func (h *history) linear() {
	for i := range h.accounts {
		list := h.operations(i)
		if h.witness(list) {
			continue
		}
		switch porcupine.CheckOperationsTimeout(h.model(), list, 2*time.Second) {
		case porcupine.Illegal:
			h.fail(fresh, "what account %d was told cannot have come from one vault", i)
		case porcupine.Unknown:
			h.undecided++
		}
	}
}

// model is the plain one as porcupine takes it.
func (h *history) model() porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return lineState{} },
		Step:  func(state, input, output any) (bool, any) { return h.told(state.(lineState), output.(answer)) },
		Equal: func(a, b any) bool { return equal(a.(lineState), b.(lineState)) },
	}
}

// told says whether a vault in this state can have given the answer, and its state after that.
func (h *history) told(s lineState, a answer) (bool, lineState) {
	if a.time < s.time {
		return false, s
	}
	next, told := h.rules.decide(h.swept(s.account, a.time), a.request, a.time)
	if told != a.told {
		return false, s
	}
	if a.place == 0 { // a read: it changes nothing, nor the time
		return true, s
	}
	return true, lineState{next, a.time}
}

// swept is an account whose grace is over as the vault made it when it noticed, which is with the first
// command of anybody, not of this account's own: until when the ids of the record are remembered counts from
// there. The rest of what time alone does is the same whenever it is done.
func (h *history) swept(a plain, now uint64) plain {
	if a.phase != grace {
		return a
	}
	for i := range h.places {
		if t := h.places[i].time; t >= a.until && t <= now {
			return h.rules.ripen(a, t)
		}
	}
	return a
}

// witness says whether the order of the history is one of those that porcupine looks for:
// what was committed in its order, each read after what it was decided on. All that is asked of an
// order is asked of this one; false says only that it may be another.
func (h *history) witness(list []porcupine.Operation) bool {
	order := slices.Clone(list)
	slices.SortFunc(order, func(x, y porcupine.Operation) int {
		a, b := x.Output.(answer), y.Output.(answer)
		return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(b.place, a.place), cmp.Compare(x.Call, y.Call))
	})
	last, state, ok := int64(0), lineState{}, false
	for _, o := range order {
		if o.Return <= last { // it had ended before one that stands before it began
			return false
		}
		last = max(last, o.Call)
		if ok, state = h.told(state, o.Output.(answer)); !ok {
			return false
		}
	}
	return true
}

func equal(a, b lineState) bool {
	x, y := a.account, b.account
	return a.time == b.time && x.phase == y.phase && x.record == y.record && x.spent == y.spent && x.owed == y.owed &&
		x.next == y.next && x.until == y.until && x.pending == y.pending && x.refills == y.refills &&
		slices.Equal(x.gone, y.gone) && slices.Equal(x.tried, y.tried)
}

// operations is what happened to an account.
func (h *history) operations(account int) (list []porcupine.Operation) {
	heard := map[uint64]bool{}
	for _, a := range h.answers {
		if a.request.account == account {
			heard[a.place] = true
			list = append(list, porcupine.Operation{Input: a.request, Output: a, Call: a.began, Return: a.end})
		}
	}
	for i, p := range h.places {
		if at := uint64(i) + 1; p.request != nil && p.request.account == account && !heard[at] {
			c := h.calls[p.sum]
			if c == nil {
				continue
			}
			list = append(list, porcupine.Operation{
				Input: p.request, Output: answer{request: p.request, told: p.reply, time: p.time, place: at, seen: at}, Call: c.began, Return: math.MaxInt64,
			})
		}
	}
	return list
}
