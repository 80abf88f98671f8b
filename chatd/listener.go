package chatd

import (
	"net"
	"net/netip"
	"sync"

	"keepsake.example/chatd/limit"
)

// network is what limits are about: whoever has an IPv6 address has 2⁶⁴.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for no address
	return p
}

func networkKey(a netip.Addr) limit.Key { return limit.Key(network(a).Addr().As16()) }

// guarded turns connections away that are too many, in all or from one
// network, before TLS costs anything.
type guarded struct {
	net.Listener
	most, mostEach int
	m              *metrics

	mu   sync.Mutex
	open int
	each map[netip.Prefix]int
}

func guard(l net.Listener, most, each int, m *metrics) *guarded {
	return &guarded{Listener: l, most: most, mostEach: each, m: m, each: make(map[netip.Prefix]int)}
}

// Accept gives the next connection that is not turned away.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		n := network(from.Addr())
		if reason := g.enter(n); reason != "" {
			g.m.turned.WithLabelValues(reason).Inc()
			c.Close()
			continue
		}
		return &counted{Conn: c, leave: sync.OnceFunc(func() { g.leave(n) })}, nil
	}
}

func (g *guarded) enter(n netip.Prefix) (reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.open >= g.most:
		return "all"
	case g.each[n] >= g.mostEach:
		return "address"
	}
	g.open++
	g.each[n]++
	g.m.open.Set(float64(g.open))
	return ""
}

func (g *guarded) leave(n netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.each[n]--; g.each[n] == 0 {
		delete(g.each, n)
	}
	g.m.open.Set(float64(g.open))
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close closes the connection and makes room for another.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
