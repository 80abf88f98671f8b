package sim

import (
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/anishathalye/porcupine"
)

// The order of the history shows that most histories are linearizable. Of those that are not
// it shows nothing: whatever it takes, porcupine takes.
func TestWitnessIsPorcupines(t *testing.T) {
	var shown, refused int
	for seed := uint64(1); seed <= 12; seed++ {
		h := runFor(t, seed)
		for i := range h.accounts {
			list := h.operations(i)
			if len(list) > 0 && h.witness(list) {
				shown++
			}
			for at := range list {
				lied := list[at].Output.(answer)
				was := lied
				lied.told.left++
				list[at].Output = lied
				right := porcupine.CheckOperationsTimeout(h.model(), list, time.Minute) == porcupine.Ok
				if !right {
					refused++
				}
				if h.witness(list) && !right {
					t.Errorf("seed %d, account %d, lie %d: shown, and porcupine refuses it", seed, i, at)
				}
				list[at].Output = was
			}
		}
	}
	if shown < 12 || refused < 100 {
		t.Errorf("%d histories were shown, %d lies refused", shown, refused)
	}
}

// What had ended before another began stands before it, whatever the history says.
func TestWitnessKeepsTheOrderOfTime(t *testing.T) {
	h := runFor(t, 1)
	for i := range h.accounts {
		list := h.operations(i)
		if len(list) < 2 || !h.witness(list) {
			continue
		}
		first, end := 0, int64(0)
		for at, o := range list {
			if end = max(end, o.Call); o.Output.(answer).seen < list[first].Output.(answer).seen {
				first = at
			}
		}
		for at := range list {
			list[at].Return = min(list[at].Return, end+1)
		}
		list[first].Call, list[first].Return = end+2, end+3
		if h.witness(list) {
			t.Errorf("account %d: what came last stands first", i)
		}
		return
	}
	t.Fatal("no account with two operations")
}

// Seed 107659: the vault noticed the end of a grace with another account's command, a day before this one's next, and
// had forgotten the record's attempts by then.
func TestGraceEndsForAllAtOnce(t *testing.T) {
	h := &history{places: []place{{time: 5}, {}, {time: 20}, {time: 90}}}
	a := plain{phase: grace, until: 10, record: proposal{limit: 1}, spent: 1, tried: []tried{{}}}
	for now, from := range map[uint64]uint64{9: 0, 10: 0, 19: 0, 20: 20, 90: 20, 200: 20} {
		got := h.swept(a, now)
		if from == 0 && got.phase != grace {
			t.Errorf("at %d: noticed by nobody, and gone", now)
		}
		if from != 0 && (got.phase != tombstone || got.tried[0].until != from+remembers) {
			t.Errorf("at %d: %+v, want gone from %d on", now, got, from)
		}
	}
}

// runFor runs a seed and returns its history.
func runFor(t *testing.T, seed uint64) *history {
	var h *history
	o := Options{Seed: seed, Reseed: func(s uint64) { cryptotest.SetGlobalRandom(t, s) }}
	o.hooks.judged = func(r *run) { h = r.history }
	if r := Run(o); r.Failure != nil {
		t.Fatal(r.Failure)
	}
	return h
}
