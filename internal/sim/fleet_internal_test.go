package sim

import "testing"

// Seed 341614: of four voters one was dead, which the fleet tolerates; the learner that the
// operators made the fifth had a disk that had lied, and was dead too soon after.
func TestVoteForOneWhoseDiskLied(t *testing.T) {
	r := &run{world: newWorld(1, nil), pool: thePool()}
	f := newFleet(r)
	r.fleet, f.roster = f, newRoster(r)
	f.roster.Tolerate, f.roster.Members = 1, nil
	for n := uint64(1); n <= 5; n++ {
		f.roster.Members = append(f.roster.Members, member(n, n == 5))
		r.newHost(n).stateful = true
	}
	for _, c := range []struct{ lost, lied, empty, may bool }{
		{may: true}, {lost: true, may: true}, {lied: true, may: true}, {lost: true, lied: true},
		{empty: true, may: true}, {lost: true, empty: true}, // seed 497921: it was never welcomed
	} {
		r.host(1).lost, r.host(5).tampered, r.host(5).stateful = c.lost, c.lied, !c.empty
		if f.bears(5) != c.may {
			t.Errorf("a voter lost %v, the learner's disk lied %v, it has no state %v: it may vote %v", c.lost, c.lied, c.empty, !c.may)
		}
	}
}
