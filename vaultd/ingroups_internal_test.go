package vaultd

import (
	"encoding/json"
	"testing"

	"keepsake.example/roster"
)

// What is known of a group is what its members say: of one that does not answer nothing, of one with an
// older program the root group alone, and of a group without a leader not how far there is to go.
func TestInGroups(t *testing.T) {
	r := &roster.Roster{Groups: 2, Members: []roster.Member{{Number: 1}, {Number: 2}, {Number: 3, Learner: true}}}
	list := []MemberStatus{
		{Number: 1, Report: &Report{Groups: []GroupReport{{Role: "follower", Term: 5, Applied: 90, Counter: 7}, {Group: 1, Role: "follower", Applied: 40}}}},
		{Number: 2, Report: &Report{Role: "leader", Term: 5, Applied: 100, Counter: 8}},
		{Number: 3},
	}
	inGroups(r, list)
	for i, want := range []string{
		`[{"group":0,"learner":false,"role":"follower","term":5,"applied":90,"anchor_counter":7,"lag":10},{"group":1,"learner":false,"role":"follower","applied":40,"lag":null}]`,
		`[{"group":0,"learner":false,"role":"leader","term":5,"applied":100,"anchor_counter":8,"lag":0},{"group":1,"learner":false,"lag":null}]`,
		`[{"group":0,"learner":true,"lag":null},{"group":1,"learner":true,"lag":null}]`,
	} {
		if got, err := json.Marshal(list[i].Groups); err != nil || string(got) != want {
			t.Errorf("member %d: %s, %v", i+1, got, err)
		}
	}
}
