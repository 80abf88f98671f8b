package vaultd

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"keepsake.example/roster"
)

// What one member says is not believed, whoever it is, and neither is what most of those say that answer: a majority of
// the voters must, the one that asks counted.
func TestOneMemberIsNotBelieved(t *testing.T) {
	answer := func(b byte) []byte { return bytes.Repeat([]byte{b}, secretHead+5) }
	members := func(voters, learners int) (list []roster.Member) {
		for n := range voters + learners {
			list = append(list, roster.Member{Number: uint64(n + 1), Learner: n >= voters})
		}
		return list
	}
	for _, c := range []struct {
		voters, learners int
		self             uint64
		answers          map[uint64][]byte
		want             byte // 0: nobody is believed
	}{
		{3, 0, 1, map[uint64][]byte{2: answer(7)}, 7},
		{4, 0, 1, map[uint64][]byte{2: answer(7)}, 0},
		{5, 0, 1, map[uint64][]byte{2: answer(7)}, 0},
		{5, 0, 1, map[uint64][]byte{2: answer(7), 3: answer(8)}, 0},
		{5, 0, 1, map[uint64][]byte{2: answer(7), 3: answer(8), 4: answer(8)}, 8},
		{5, 2, 1, map[uint64][]byte{2: answer(7), 6: answer(7), 7: answer(7)}, 0},
		{3, 1, 4, map[uint64][]byte{1: answer(7)}, 0},
		{3, 1, 4, map[uint64][]byte{1: answer(7), 2: answer(7)}, 7},
		{3, 2, 1, map[uint64][]byte{2: answer(7), 4: answer(7), 5: answer(7)}, 7},
		{3, 0, 1, nil, 0},
		{1, 1, 1, map[uint64][]byte{2: answer(7)}, 0},               // a learner is no majority beside the only voter
		{5, 0, 1, map[uint64][]byte{1: answer(7), 2: answer(7)}, 0}, // it does not speak for itself twice
	} {
		from, ok := agreed(members(c.voters, c.learners), c.self, c.answers)
		if ok != (c.want != 0) || ok && (c.answers[from][0] != c.want || from > uint64(c.voters)) {
			t.Errorf("%s: %d, %t", fmt.Sprint(c.voters, c.learners, c.answers), from, ok)
		}
	}
}

// Where there has been no leader for long, the word of one voter is taken: of several now one's, now the other's.
func TestOneVoterIsBelievedInTheEnd(t *testing.T) {
	members := []roster.Member{{Number: 1}, {Number: 2}, {Number: 3}, {Number: 4, Learner: true}}
	for _, c := range []struct{ answer, want []uint64 }{{}, {[]uint64{4}, nil}, {[]uint64{1}, nil}, {[]uint64{2}, []uint64{2}}, {[]uint64{1, 2, 3, 4}, []uint64{2, 3}}} {
		answers, drawn := map[uint64][]byte{}, map[uint64]bool{}
		for _, n := range c.answer {
			answers[n] = make([]byte, secretHead+5)
		}
		for range 200 {
			if from, ok := anyVoters(members, 1, answers); ok {
				drawn[from] = true
			}
		}
		if got := slices.Sorted(maps.Keys(drawn)); !slices.Equal(got, c.want) {
			t.Errorf("of %v, drawn %v", c.answer, got)
		}
	}
}

// A member that starts again hears what was meant for its run before, and has no leader yet: it asks
// nobody. One that hears no leader for long does, as often as there is something new that it cannot read.
func TestWhoAsksForASecret(t *testing.T) {
	started := solitude{heard: 3}
	for look := range 3 * aloneLooks {
		leader := uint64(1)
		if look%aloneLooks < aloneLooks-1 {
			leader = 0
		}
		if started.asks(leader, uint64(4+look)) {
			t.Fatalf("asks at look %d", look)
		}
	}
	if slept := (solitude{}); true {
		asked := 0
		for look := range 3 * aloneLooks {
			if slept.asks(0, uint64(1+look/aloneLooks)) {
				asked++
			}
		}
		if asked != 3 {
			t.Errorf("asks %d times, and 3 times there was something new", asked)
		}
	}
	if silent := (solitude{looks: aloneLooks, heard: 5}); silent.asks(0, 5) {
		t.Error("asks, and there is nothing that it could not read")
	}
}
