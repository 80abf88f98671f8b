// Package crowd bounds how many connections a server has at once, in all and from one
// network, before TLS costs anything: whoever holds connections open takes neither memory nor
// descriptors that others need.
package crowd

import (
	"net"
	"net/netip"
	"sync"
)

// Limits are how many connections there may be at once.
type Limits struct{ All, Each int }

// A Watch hears what becomes of connections. Its functions are quick.
type Watch struct {
	Open    func(now int)       // so many are open now
	Refused func(reason string) // one was closed at once, for "all" or for its "address"
}

// Network is what limits are about: whoever has an IPv6 address has 2⁶⁴.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Prefix for no address
	return p
}

// Guard gives a listener that accepts within limits.
func Guard(l net.Listener, limits Limits, watch Watch) net.Listener {
	return &guarded{Listener: l, limits: limits, watch: watch, each: make(map[netip.Prefix]int)}
}

type guarded struct {
	net.Listener
	limits Limits
	watch  Watch

	mu   sync.Mutex
	open int
	each map[netip.Prefix]int
}

// Accept gives the next connection that is not turned away.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		n := Network(from.Addr())
		if reason := g.enter(n); reason != "" {
			g.watch.Refused(reason)
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
	case g.open >= g.limits.All:
		return "all"
	case g.each[n] >= g.limits.Each:
		return "address"
	}
	g.open++
	g.each[n]++
	g.watch.Open(g.open)
	return ""
}

func (g *guarded) leave(n netip.Prefix) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.each[n]--; g.each[n] == 0 {
		delete(g.each, n)
	}
	g.watch.Open(g.open)
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
