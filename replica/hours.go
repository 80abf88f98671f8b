package replica

import (
	"cmp"
	"maps"
	"slices"

	"keepsake.example/internal/planted"
)

// hours is the quorum's clock (spec/replication.md §13): the highest time that a
// majority of the voters have seen on their own clocks, each as it said last. No
// reading is ever carried on with somebody else's clock, so that a minority of wrong
// clocks pushes it nowhere and holds nothing back; without a majority it stands
// still. All times are ms since 1970.
type hours struct {
	voters       []uint64
	latest       map[uint64]uint64 // reading, by member
	leader, term uint64            // whom we follow
	heard        bool              // told by that one in that term
	now          uint64            // never goes back
}

func newHours() *hours { return &hours{latest: make(map[uint64]uint64)} }

// members says who votes now. Others' readings are forgotten: who votes again
// later says first what time it is.
func (h *hours) members(voters []uint64) {
	h.voters = slices.Sorted(slices.Values(voters))
	maps.DeleteFunc(h.latest, func(member, _ uint64) bool { return !slices.Contains(h.voters, member) })
}

// follow says who leads in which term; 0: nobody.
func (h *hours) follow(leader, term uint64) { h.leader, h.term, h.heard = leader, term, false }

// report takes a member's reading of its own clock. A lower one than before
// counts at once: that clock was wrong then, or is now.
func (h *hours) report(from, reading uint64) {
	if slices.Contains(h.voters, from) {
		h.latest[from] = reading
	}
}

// told takes what the leader says in one of raft's messages of that term. Others
// may be behind, or lead no more.
func (h *hours) told(from, term, t uint64) {
	if from != 0 && from == h.leader && term == h.term {
		h.now, h.heard = max(h.now, t), true
	}
}

// current says whether the time is a leader's, or still what it was when this member was started or cut off.
func (h *hours) current(leads bool) bool { return h.heard || leads && h.agreed() > 0 }

// lead works the time out of the readings, as the leader does, and returns it.
func (h *hours) lead(self uint64) uint64 {
	if planted.OwnClock {
		h.now = max(h.now, h.latest[self])
		return h.now
	}
	h.now = max(h.now, h.agreed())
	return h.now
}

// agreed is the highest reading that a majority have reached. Who said nothing
// yet has 0.
func (h *hours) agreed() uint64 {
	if len(h.voters) == 0 {
		return 0
	}
	readings := make([]uint64, 0, len(h.voters))
	for _, v := range h.voters {
		readings = append(readings, h.latest[v])
	}
	slices.Sort(readings)
	return readings[len(readings)-majority(len(readings))]
}

// time is the quorum's time as far as this member knows.
func (h *hours) time() uint64 { return h.now }

// sortedKeys makes what is done for each of a map's keys the same in every run.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m)) // none: nothing is allocated
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
