package replica

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Any minority of the voters says what it likes, and changes its mind: the quorum's
// time never passes the highest reading that an honest voter has given, and, once
// all honest ones have said theirs, reaches the lowest.
func TestQuorumTimeAmongLiars(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(r, "voters")
		liars := n - majority(n)
		h := newHours()
		h.members(voters(n))
		clock, honest := uint64(1_000_000), map[uint64]uint64{}
		for range rapid.IntRange(0, 50).Draw(r, "steps") {
			from := rapid.Uint64Range(1, 8).Draw(r, "from") // 8: no voter
			if from <= uint64(liars) || from > uint64(n) {
				h.report(from, rapid.Uint64().Draw(r, "lie"))
			} else {
				clock += rapid.Uint64Range(0, 1000).Draw(r, "passed")
				honest[from] = clock - rapid.Uint64Range(0, 500).Draw(r, "behind")
				h.report(from, honest[from])
			}
			before := h.time()
			now := h.lead(1)
			if now < before {
				r.Fatalf("%d after %d", now, before)
			}
			highest := uint64(0)
			for _, reading := range honest {
				highest = max(highest, reading, before)
			}
			if now > highest {
				r.Fatalf("%d, and the highest honest clock says %d", now, highest)
			}
			if len(honest) == n-liars && now < slices.Min(slices.Collect(values(honest))) {
				r.Fatalf("%d, and the lowest honest clock says %v", now, honest)
			}
		}
	})
}

func values(m map[uint64]uint64) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for _, k := range sortedKeys(m) {
			if !yield(m[k]) {
				return
			}
		}
	}
}

func wantTime(t testing.TB, what string, got, want uint64) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// A clock that goes back counts as what it says now, and the quorum's time stays.
func TestClockThatGoesBack(t *testing.T) {
	h := newHours()
	h.members(voters(3))
	h.report(1, 100)
	wantTime(t, "one of three", h.lead(1), 0)
	h.report(2, 90)
	wantTime(t, "two of three", h.lead(1), 90)
	h.report(2, 10)
	h.report(1, 200)
	wantTime(t, "after one went back", h.lead(1), 90)
	h.report(3, 150)
	wantTime(t, "another two", h.lead(1), 150)
}

// Without a majority that speaks, time stands still: no reading is carried on.
func TestTimeStandsStillWithoutQuorum(t *testing.T) {
	h := newHours()
	h.members(voters(5))
	for v := uint64(1); v <= 5; v++ {
		h.report(v, 1000)
	}
	for i := range uint64(10) {
		h.report(1, 2000+i)
		h.report(2, 2000+i)
		wantTime(t, "two of five", h.lead(1), 1000)
	}
}

// Only voters count, from when they vote on.
func TestTimeOfVotersOnly(t *testing.T) {
	h := newHours()
	h.members(voters(3))
	for v, reading := range map[uint64]uint64{1: 100, 2: 100, 3: 5000, 4: 9000} {
		h.report(v, reading)
	}
	wantTime(t, "two of three", h.lead(1), 100)
	h.members([]uint64{1, 3, 4})
	wantTime(t, "a learner's readings were not kept", h.lead(1), 100)
	h.report(4, 300)
	wantTime(t, "it votes", h.lead(1), 300)
	h.members(voters(3))
	for v, reading := range map[uint64]uint64{1: 350, 2: 9000, 3: 20} {
		h.report(v, reading)
	}
	wantTime(t, "three again", h.lead(1), 350)
	h.members([]uint64{1, 3})
	h.members(voters(3))
	h.report(1, 500)
	wantTime(t, "who came back has said nothing yet", h.lead(1), 350)
}

// A follower believes its leader, and nobody else, and never an older time.
func TestToldTime(t *testing.T) {
	h := newHours()
	h.told(0, 0, 50)
	wantTime(t, "nobody leads", h.time(), 0)
	h.follow(2, 7)
	h.told(2, 7, 100)
	h.told(3, 7, 900)
	h.told(2, 6, 900)
	h.told(2, 8, 900)
	h.told(2, 7, 60)
	wantTime(t, "leader 2 in term 7", h.time(), 100)
	h.follow(3, 8)
	h.told(2, 8, 900)
	h.told(3, 8, 120)
	wantTime(t, "leader 3 in term 8", h.time(), 120)
	h.members(voters(3))
	h.report(1, 110)
	h.report(2, 115)
	wantTime(t, "leading with clocks behind", h.lead(1), 120)
}
