package crowd_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"keepsake.example/internal/crowd"
)

// queue is a listener with connections from given addresses.
type queue struct {
	from   []string
	closed int
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.from) == 0 {
		return nil, errEnd
	}
	c := &conn{q: q, from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(q.from[0]), 4000))}
	q.from = q.from[1:]
	return c, nil
}
func (q *queue) Close() error   { return nil }
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

var errEnd = errors.New("no more connections")

type conn struct {
	net.Conn
	q    *queue
	from net.Addr
}

func (c *conn) RemoteAddr() net.Addr { return c.from }
func (c *conn) Close() error         { c.q.closed++; return nil }

func TestGuard(t *testing.T) {
	q, refused, open := &queue{}, []string{}, 0
	l := crowd.Guard(q, crowd.Limits{All: 5, Each: 2}, crowd.Watch{
		Open: func(now int) { open = now }, Refused: func(reason string) { refused = append(refused, reason) },
	})
	accept := func(from ...string) (conns []net.Conn) {
		q.from = from
		for {
			c, err := l.Accept()
			if err != nil {
				return conns
			}
			conns = append(conns, c)
		}
	}
	// A v4 address is the same however it is written; a network of v6 is one customer's.
	first := accept("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "10.0.0.2")
	if want := []string{"address", "address", "all"}; len(first) != 5 || open != 5 || !slices.Equal(refused, want) || q.closed != 3 {
		t.Fatalf("%d accepted, %d open, refused %q, %d closed", len(first), open, refused, q.closed)
	}
	first[0].Close()
	first[0].Close() // counts once
	if again := accept("10.0.0.1", "10.0.0.3"); len(again) != 1 || open != 5 {
		t.Errorf("%d accepted for the one that was closed, %d open", len(again), open)
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.1": "10.0.0.1/32",
		"2001:db8::1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := crowd.Network(netip.MustParseAddr(address)); got.String() != want {
			t.Errorf("%s is of %v", address, got)
		}
	}
	if got := crowd.Network(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("no address is of %v", got)
	}
}
