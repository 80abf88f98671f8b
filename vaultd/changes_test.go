package vaultd_test

import (
	"fmt"
	"strings"
	"testing"

	"keepsake.example/roster"
	"keepsake.example/vaultd"
	state "keepsake.example/vaultd/machine"
)

// A group that slept through more changes than are kept is told so, and by which: bringing it
// what is left would be refused for ever.
func TestGapOfChanges(t *testing.T) {
	keys, operators := operatorKeys(1)
	first := must(vaultd.NewKeys()).Card("m", "dc", "127.0.0.1:7445").Member(1)
	first.Learner = false
	r := &roster.Roster{Fleet: [32]byte{1}, Groups: 2, Quorum: 1, Operators: operators, Policy: roster.Policy(testPolicy()), Members: []roster.Member{first}, Highest: 1}
	root := state.New(state.Root, nil)
	if _, err := root.Apply(r.Encode(), false); err != nil {
		t.Fatal(err)
	}
	for range 258 {
		s := &roster.Signed{Text: must(root.Roster().Next(roster.Void).Text())}
		if err := s.Add(must(roster.Sign(s.Text, keys[0]))); err != nil {
			t.Fatal(err)
		}
		if o := must(root.Change(s.Encode())).(*state.Outcome); o.Refused != nil {
			t.Fatal(o.Refused)
		}
	}
	for has, want := range map[uint64]int{0: -1, 1: -1, 2: 256, 3: 255, 257: 1, 258: 0, 300: 0} {
		missing, err := vaultd.ChangesFrom(root, 1, has)
		switch {
		case want < 0 && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("up to %d, and of the later ones only 3 to 258", has))):
			t.Errorf("from %d: %d changes, %v", has, len(missing), err)
		case want >= 0 && (err != nil || len(missing) != want):
			t.Errorf("from %d: %d changes, want %d, %v", has, len(missing), want, err)
		}
	}
}
