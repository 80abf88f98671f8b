package peer_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"keepsake.example/peer"
)

// patience bounds every wait for something that must happen; it measures nothing.
const patience = time.Minute

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// keyOf is the identity key of a member of the tests.
func keyOf(number uint64) ed25519.PrivateKey {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("member"), number))
	return ed25519.NewKeyFromSeed(seed[:])
}

func identityOf(number uint64) [32]byte {
	return [32]byte(keyOf(number).Public().(ed25519.PublicKey))
}

// directory is a list of members that tests change.
type directory struct {
	mu   sync.Mutex
	list []peer.Peer
}

func (d *directory) now() []peer.Peer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func (d *directory) add(number uint64, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, peer.Peer{Number: number, Address: address, Identity: identityOf(number)})
}

func (d *directory) remove(number uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = slices.DeleteFunc(d.list, func(p peer.Peer) bool { return p.Number == number })
}

type got struct {
	from    uint64
	group   uint32
	message string
}

// member is one process of a fleet.
type member struct {
	*peer.Links
	t        testing.TB
	number   uint64
	address  string
	received chan got
}

// listen takes a free port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// join starts a member with a directory. What it is not told is as in production.
func join(t testing.TB, number uint64, l net.Listener, d *directory, change ...func(*peer.Config)) *member {
	t.Helper()
	m := &member{t: t, number: number, address: l.Addr().String(), received: make(chan got, 1<<16)}
	c := peer.Config{
		Self: number, Key: keyOf(number), Listener: l, Directory: d.now,
		Receive: func(from uint64, group uint32, message []byte) { m.received <- got{from, group, string(message)} },
		Serve: func(_ context.Context, from uint64, request []byte) ([]byte, error) {
			return append([]byte{byte(from), byte(number)}, request...), nil
		},
	}
	for _, f := range change {
		f(&c)
	}
	links, err := peer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { links.Close() })
	m.Links = links
	return m
}

// pair starts members 1 and 2; change is for both.
func pair(t testing.TB, change ...func(*peer.Config)) (a, b *member, d *directory) {
	t.Helper()
	d = &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	d.add(2, lb.Addr().String())
	a, b = join(t, 1, la, d, change...), join(t, 2, lb, d, change...)
	return a, b, d
}

func (m *member) link(to uint64) (s peer.LinkStatus, ok bool) {
	for _, s := range m.Status() {
		if s.Number == to {
			return s, true
		}
	}
	return s, false
}

func (m *member) connected(to uint64) bool {
	s, ok := m.link(to)
	return ok && s.Connected
}

func (m *member) awaitConnected(to uint64) {
	m.t.Helper()
	await(m.t, "a connection", func() bool { return m.connected(to) })
}

func (m *member) awaitCut(to uint64) {
	m.t.Helper()
	await(m.t, "the end of a connection", func() bool { return !m.connected(to) })
}

// next is the next message that arrives.
func (m *member) next() got {
	m.t.Helper()
	select {
	case g := <-m.received:
		return g
	case <-time.After(patience):
		m.t.Fatal("waited in vain for a message")
		panic("not reached")
	}
}

// reach sends until something arrives: what was sent before may be lost.
func (m *member) reach(to *member) {
	m.t.Helper()
	await(m.t, "a message that arrives", func() bool {
		m.Send(to.number, 0, []byte("hello"))
		select {
		case <-to.received:
			return true
		default:
			return false
		}
	})
}

// raw connects to a member by hand, as somebody with a certificate would.
func raw(t testing.TB, to *member, certificate tls.Certificate, change ...func(*tls.Config)) *tls.Conn {
	t.Helper()
	c := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{certificate}, NextProtos: []string{peer.Protocol}}
	for _, f := range change {
		f(c)
	}
	tcp, err := net.Dial("tcp", to.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	tcp.SetDeadline(time.Now().Add(patience))
	return tls.Client(tcp, c)
}

// asMember connects by hand with the key of a member, and says hello.
func asMember(t testing.TB, to *member, number uint64, lane byte) *tls.Conn {
	t.Helper()
	c := raw(t, to, certificate(t, keyOf(number), nil))
	hello := peer.Frame{Kind: peer.KindHello, Lane: lane, From: number, To: to.number}
	if _, err := c.Write(hello.Bytes()); err != nil {
		t.Fatal(err)
	}
	return c
}

// refused reports whether a connection ends without a frame.
func refused(c *tls.Conn) bool {
	_, err := peer.ReadFrame(c, 0)
	return err != nil
}
