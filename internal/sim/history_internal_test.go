package sim

import (
	"testing"
	"testing/cryptotest"
)

// What members have is compared at every place.
func TestStatesAreComparedAtEveryPlace(t *testing.T) {
	o := Options{Seed: 8, Reseed: func(s uint64) { cryptotest.SetGlobalRandom(t, s) }}
	o.hooks.judged = func(r *run) {
		for i, p := range r.history.places {
			if p.state == 0 && i+1 >= founded {
				t.Errorf("nobody's state at place %d of %d was looked at", i+1, len(r.history.places))
			}
		}
	}
	if r := Run(o); r.Failure != nil {
		t.Error(r.Failure)
	}
}
