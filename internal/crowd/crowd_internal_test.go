package crowd

import (
	"net/netip"
	"testing"
)

// Of networks that are gone nothing is kept: there are more of them than there is memory.
func TestGuardForgets(t *testing.T) {
	g := Guard(nil, Limits{All: 10, Each: 2}, Watch{Open: func(int) {}}).(*guarded)
	n := Network(netip.MustParseAddr("2001:db8::1"))
	for range 2 {
		g.enter(n)
	}
	for range 2 {
		g.leave(n)
	}
	if len(g.each) != 0 {
		t.Errorf("kept: %v", g.each)
	}
}
