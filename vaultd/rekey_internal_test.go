package vaultd

import (
	"bytes"
	"fmt"
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
		{3, 0, 1, nil, 0},
		{5, 0, 1, map[uint64][]byte{1: answer(7), 2: answer(7)}, 0}, // it does not speak for itself twice
	} {
		from, ok := agreed(members(c.voters, c.learners), c.self, c.answers)
		if ok != (c.want != 0) || ok && c.answers[from][0] != c.want {
			t.Errorf("%s: %d, %t", fmt.Sprint(c.voters, c.learners, c.answers), from, ok)
		}
	}
}
