package vaultd

import (
	"testing"
	"testing/synctest"
	"time"
)

// A group that is to be looked at again is looked at once, however many ask for it.
func TestLookedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // no time passes between the two, however busy the machine is
		var s Server
		g := &group{changed: make(chan struct{}, 1)}
		s.later(t.Context(), g, time.Millisecond)
		s.later(t.Context(), g, 50*time.Millisecond)
		<-g.changed
		if g.ended.Wait(); len(g.changed) != 0 {
			t.Error("looked at twice")
		}
		s.later(t.Context(), g, time.Millisecond)
		<-g.changed
	})
}
