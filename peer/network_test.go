package peer_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
	"keepsake.example/peer"
)

// apart starts members 1 and 2 with a proxy in each direction.
func apart(t *testing.T, change ...func(*peer.Config)) (a, b *member, toA, toB *proxy) {
	t.Helper()
	d := &directory{}
	la, lb := listen(t), listen(t)
	toA, toB = newProxy(t, la.Addr().String()), newProxy(t, lb.Addr().String())
	d.add(1, toA.address)
	d.add(2, toB.address)
	return join(t, 1, la, d, change...), join(t, 2, lb, d, change...), toA, toB
}

// Connections are cut again and again: they come back, and what arrives is in order
// and whole, once.
func TestCutConnections(t *testing.T) {
	a, b, toA, toB := apart(t, quick)
	last := -1
	for i := range 2000 {
		a.Send(2, uint32(i), fmt.Appendf(nil, "message %d", i))
		if i%100 == 0 {
			toA.cut()
			toB.cut()
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	await(t, "the end", func() bool {
		a.Send(2, 2000, []byte("message 2000"))
		for len(b.received) > 0 {
			g := b.next()
			if g.message != fmt.Sprintf("message %d", g.group) || int(g.group) < last || int(g.group) == last && last < 2000 {
				t.Fatalf("%q in group %d after %d", g.message, g.group, last)
			}
			last = int(g.group)
		}
		return last == 2000
	})
}

// The network swallows everything and tells nobody. Both sides find out, and are
// together again when it has stopped.
func TestBlackhole(t *testing.T) {
	a, b, toA, toB := apart(t, quick)
	a.awaitConnected(2)
	b.awaitConnected(1)
	toA.blackhole(true)
	toB.blackhole(true)
	a.awaitCut(2)
	b.awaitCut(1)
	if s, _ := a.link(2); !strings.Contains(s.Problem, "nothing was heard for too long") {
		t.Errorf("the reason is %q", s.Problem)
	}
	await(t, "the connections that come in to end", func() bool { s, _ := a.link(2); return !s.Incoming })
	toA.blackhole(false)
	toB.blackhole(false)
	a.reach(b)
	b.reach(a)
}

// One direction only: who cannot be heard is told to be gone, who hears goes on.
func TestOneWayBlackhole(t *testing.T) {
	// Who hears must not find a busy machine silent.
	a, b, _, toB := apart(t, quick, func(c *peer.Config) { c.Limits.Silence = 3 * time.Second })
	a.awaitConnected(2)
	b.awaitConnected(1)
	toB.blackhole(true)
	a.awaitCut(2)
	b.Send(1, 5, []byte("I hear nothing"))
	if g := a.next(); g.group != 5 || !b.connected(1) {
		t.Errorf("received %+v", g)
	}
}

// With a delay on the way connections stay up, and the way is measured.
func TestFarAway(t *testing.T) {
	a, b, toA, toB := apart(t)
	const delay = 60 * time.Millisecond
	toA.slow(delay)
	toB.slow(delay)
	a.reach(b)
	b.reach(a)
	await(t, "the length of the way", func() bool { s, _ := a.link(2); return s.RTT >= 2*delay })
}

// Between two attempts there would be an hour; but when the other side connects, the
// way is free, and it is dialed at once.
func TestDialsWhenDialed(t *testing.T) {
	d := &directory{}
	la, address := listen(t), fmt.Sprint("127.0.0.1:", mounttest.Port(t, 0))
	d.add(1, la.Addr().String())
	d.add(2, address)
	a := join(t, 1, la, d, func(c *peer.Config) { c.Limits.PauseFrom, c.Limits.PauseTo = time.Hour, time.Hour })
	await(t, "attempts on both lanes", func() bool {
		_, err := a.Call(t.Context(), 2, nil)
		s, _ := a.link(2)
		return err == peer.ErrUnreachable && strings.HasPrefix(s.Problem, "messages")
	})
	lb, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	join(t, 2, lb, d)
	a.awaitConnected(2)
}

// Bytes that are no TLS, and frames that cannot be, from a member whose key was stolen.
func TestGarbage(t *testing.T) {
	d := &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	d.add(2, lb.Addr().String()) // it is not there yet: two with one key displace each other
	a := join(t, 1, la, d, quick)
	tcp, err := net.Dial("tcp", a.address)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	tcp.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 1000))
	if _, err := io.Copy(io.Discard, tcp); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("no end of the connection: %v", err)
	}
	message := peer.Frame{Kind: peer.KindMessage, Group: 3, Body: []byte("in order")}.Bytes()
	request := peer.Frame{Kind: peer.KindRequest, Number: 1, Left: 1000, Body: []byte("x")}.Bytes()
	for name, frame := range map[string][]byte{
		"a huge frame":      {0xff, 0xff, 0xff, 0xff, peer.KindMessage},
		"one byte too long": peer.Frame{Kind: peer.KindMessage, Body: make([]byte, peer.MaxMessage+1)}.Bytes(),
		"an empty frame":    {0, 0, 0, 0},
		"an unknown kind":   {0, 0, 0, 1, 9},
		"a short message":   {0, 0, 0, 3, peer.KindMessage, 0, 0},
		"a request":         request,
		"an answer":         peer.Frame{Kind: peer.KindAnswer}.Bytes(),
		"a second hello":    peer.Frame{Kind: peer.KindHello, From: 2, To: 1}.Bytes(),
		"noise":             bytes.Repeat([]byte{0x5a}, 100),
	} {
		c := asMember(t, a, 2, 0)
		c.Write(append(bytes.Clone(message), frame...))
		if g := a.next(); g.message != "in order" || g.group != 3 || g.from != 2 {
			t.Errorf("%s: received %+v", name, g)
		}
		for err = nil; err == nil; {
			_, err = peer.ReadFrame(c, 0)
		}
	}
	c := asMember(t, a, 2, 1) // and on the lane of calls
	c.Write(append(bytes.Clone(request), message...))
	for err = nil; err == nil; {
		_, err = peer.ReadFrame(c, 100)
	}
	join(t, 2, lb, d, quick).reach(a) // the member itself is none the worse for it
}

// Whoever connects and says nothing, or next to nothing, is put out in time, and keeps
// no member out meanwhile, however many they are.
func TestSlowStrangers(t *testing.T) {
	t.Parallel() // it mostly waits: members need the time that strangers are given, also on a busy machine
	a, _, d := pair(t, quick, func(c *peer.Config) { c.Limits.Handshakes = 4; c.Limits.Handshake = 10 * time.Second })
	var all []net.Conn
	for range 12 {
		c, err := net.Dial("tcp", a.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte{22, 3, 1}) // a ClientHello begins
		all = append(all, c)
	}
	await(t, "the places to be taken", func() bool { return a.Refused().Crowded >= 8 })
	lc := listen(t)
	d.add(3, lc.Addr().String())
	c := join(t, 3, lc, d, quick)
	c.reach(a)
	hello := asMember(t, a, 3, 0)
	for range 3 {
		silent := raw(t, a, certificate(t, keyOf(3), nil))
		if err := silent.HandshakeContext(t.Context()); err != nil { // and no hello
			t.Fatal(err)
		}
		all = append(all, silent)
	}
	if refused(hello) {
		t.Error("a member was put out")
	}
	for _, c := range all {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a stranger was let stay")
		}
	}
}
