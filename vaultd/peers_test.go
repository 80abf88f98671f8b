package vaultd_test

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/vaultd"
)

// A server that is refused lets go of the address where the other members would connect.
func TestRefusedServerFreesItsAddress(t *testing.T) {
	f := newFleet(t, 2, 1)
	m := f.machine(2)
	m.stop()
	for name, spoil := range map[string]func(*vaultd.Config){
		"limits":                 func(c *vaultd.Config) { c.Limits.Concurrent = -1 },
		"an anchor not accepted": func(c *vaultd.Config) { c.AcceptInsecureAnchor = false },
		"another disk":           func(c *vaultd.Config) { c.Dir = filepath.Join(t.TempDir(), "state") },
		"no keys for a fleet":    func(c *vaultd.Config) { c.Keys = nil },
	} {
		if m.anchor == nil {
			m.openAnchor()
		}
		c := m.config
		c.Anchor, c.Peers = m.anchor, m.listen()
		spoil(&c)
		if s, err := vaultd.New(t.Context(), c); err == nil {
			s.Close()
			t.Fatalf("%s: started", name)
		}
		if err := c.Peers.(*net.TCPListener).SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener is open still: %v", name, err)
			c.Peers.Close()
		}
		m.stop()
	}
}
