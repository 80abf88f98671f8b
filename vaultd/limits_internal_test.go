package vaultd

import "testing"

// Who says nothing of a limit has its default, but for the quantum, of which 0 is a choice.
func TestLimitsThatAreNotSet(t *testing.T) {
	want := DefaultLimits()
	if want.Quantum = 0; (Limits{}).filled() != want {
		t.Errorf("%+v", (Limits{}).filled())
	}
}
