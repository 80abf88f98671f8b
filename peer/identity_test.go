package peer_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"keepsake.example/peer"
)

// authority is a certificate authority, as others trust one.
type authority struct {
	key         ed25519.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, c}
}

// certificate makes a certificate of a key, signed by an authority or itself.
func certificate(t testing.TB, key crypto.Signer, by *authority) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "keepsake member"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// awaitRefused waits for the counts. A member that begins anew may be among the broken.
func awaitRefused(m *member, strangers, broken uint64) {
	m.t.Helper()
	await(m.t, "all to be counted", func() bool { r := m.Refused(); return r.Strangers == strangers && r.Broken >= broken })
}

// A key that is not in the directory is not let in, however it is dressed up.
func TestStrangers(t *testing.T) {
	// A busy machine computes all these keys and hands in more than the 5 s of production.
	a, _, _ := pair(t, quick, func(c *peer.Config) { c.Limits.Handshake = time.Minute })
	member := certificate(t, keyOf(2), nil)
	parsed, err := x509.ParseCertificate(member.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chained := certificate(t, keyOf(9), ca)
	chained.Certificate = append(chained.Certificate, ca.certificate.Raw)
	behind := certificate(t, keyOf(9), nil)
	behind.Certificate = append(behind.Certificate, member.Certificate...)
	for name, c := range map[string]*tls.Conn{
		"another key":                          raw(t, a, certificate(t, keyOf(9), nil)),
		"another key, signed by an authority":  raw(t, a, chained),
		"another key before a member's":        raw(t, a, behind),
		"another kind of key":                  raw(t, a, certificate(t, curve, nil)),
		"the key of the member that is dialed": raw(t, a, certificate(t, keyOf(1), nil)),
		"another key, signed by a member":      raw(t, a, certificate(t, keyOf(9), &authority{keyOf(2), parsed})),
		"no key":                               raw(t, a, tls.Certificate{}, func(c *tls.Config) { c.Certificates = nil }),
		"no protocol":                          raw(t, a, member, func(c *tls.Config) { c.NextProtos = nil }),
		"web protocol":                         raw(t, a, member, func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
		"TLS 1.2":                              raw(t, a, member, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
		"X25519 alone":                         raw(t, a, member, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }),
	} {
		c.Write(peer.Frame{Kind: peer.KindHello, From: 2, To: 1}.Bytes())
		if !refused(c) {
			t.Errorf("%s: let in", name)
		}
	}
	awaitRefused(a, 5, 11)
	c := asMember(t, a, 2, 0) // and by hand it works
	if _, err := peer.ReadFrame(c, 0); err != nil {
		t.Errorf("a member is refused: %v", err)
	}
}

// A member that takes another's number, or wants somebody else, is not let in.
func TestNumbers(t *testing.T) {
	a, _, d := pair(t, quick)
	d.add(3, "127.0.0.1:1")
	for name, hello := range map[string]peer.Frame{
		"another's number":   {Kind: peer.KindHello, From: 2, To: 1},
		"nobody's number":    {Kind: peer.KindHello, From: 9, To: 1},
		"ours":               {Kind: peer.KindHello, From: 1, To: 1},
		"to somebody else":   {Kind: peer.KindHello, From: 3, To: 2},
		"no hello at all":    {Kind: peer.KindBeat},
		"a message at first": {Kind: peer.KindMessage, Body: []byte("x")},
	} {
		c := raw(t, a, certificate(t, keyOf(3), nil))
		c.Write(hello.Bytes())
		if !refused(c) {
			t.Errorf("%s: let in", name)
		}
	}
	if got := len(a.received); got != 0 {
		t.Errorf("%d messages were received", got)
	}
	awaitRefused(a, 4, 2)
}

// At the address of one member another answers: it is told nothing.
func TestAnotherAnswers(t *testing.T) {
	d, ofThree := &directory{}, &directory{}
	la, lc := listen(t), listen(t)
	d.add(1, la.Addr().String())
	d.add(2, lc.Addr().String())
	ofThree.add(1, la.Addr().String())
	a, c := join(t, 1, la, d, quick), join(t, 3, lc, ofThree, quick)
	a.Send(2, 0, []byte("for two only"))
	await(t, "the reason", func() bool {
		s, _ := a.link(2)
		return strings.Contains(s.Problem, "another identity key than the directory says")
	})
	if len(c.received) != 0 || a.connected(2) {
		t.Error("the other received it")
	}
}

// A machine that was removed while it was away hears it from those that it knows, and from nobody else: one
// that merely stands at their address cannot say it.
func TestRemovedMachineIsTold(t *testing.T) {
	d, old := &directory{}, &directory{}
	la, lb, lc := listen(t), listen(t), listen(t)
	d.add(1, la.Addr().String())
	old.add(1, la.Addr().String())
	old.add(2, lb.Addr().String())
	old.add(4, lc.Addr().String())
	ofThree := &directory{}
	ofThree.add(1, la.Addr().String())
	join(t, 1, la, d, quick)
	join(t, 3, lc, ofThree, quick) // at the address of 4
	b := join(t, 2, lb, old, quick)
	await(t, "the refusal", func() bool {
		s, _ := b.link(1)
		return strings.Contains(s.Problem, "operators removed this machine from the fleet")
	})
	await(t, "the other reason", func() bool {
		s, _ := b.link(4)
		if strings.Contains(s.Problem, "removed") {
			t.Fatal("who is not a member says that this machine was removed")
		}
		return strings.Contains(s.Problem, "another identity key than the directory says")
	})
}

// Who is removed from the directory loses its connections, and who is added gets in.
func TestDirectoryChanges(t *testing.T) {
	a, b, d := pair(t, quick)
	d.add(3, "127.0.0.1:1") // is not there but by hand: a second process would take its place
	a.awaitConnected(2)
	c := asMember(t, a, 3, 0)
	if refused(c) {
		t.Fatal("a member is refused")
	}
	d.remove(3)
	a.Update()
	for err := error(nil); err == nil; { // it never stops talking
		c.Write(peer.Frame{Kind: peer.KindBeat}.Bytes())
		if _, err = peer.ReadFrame(c, 0); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a removed member is let stay")
		}
	}
	await(t, "the link to be gone", func() bool { _, ok := a.link(3); return !ok })
	if !refused(asMember(t, a, 3, 0)) {
		t.Error("a removed member gets in")
	}
	if _, err := a.Call(t.Context(), 3, nil); err != peer.ErrUnknown {
		t.Errorf("calling a removed member: %v", err)
	}
	d.add(3, "127.0.0.1:1")
	if refused(asMember(t, a, 3, 0)) { // without Update
		t.Error("a new member does not get in")
	}

	// One moves: the new address counts.
	way := newProxy(t, b.address)
	d.remove(2)
	d.add(2, way.address)
	a.Update()
	await(t, "connections over the new address", func() bool {
		way.mu.Lock()
		defer way.mu.Unlock()
		return len(way.open) > 0
	})
	a.awaitConnected(2)
	a.reach(b)
}

// What a member was sent before it was removed arrives, all of it, though the directory was looked at meanwhile. What
// it says after that does not.
func TestRemovedMemberHearsTheLast(t *testing.T) {
	const count = 50
	d, old := &directory{}, &directory{} // the removed one has not heard of it
	la, lb := listen(t), listen(t)
	way := newProxy(t, lb.Addr().String())
	d.add(1, la.Addr().String())
	d.add(2, way.address)
	old.add(1, la.Addr().String())
	old.add(2, lb.Addr().String())
	a, b := join(t, 1, la, d, quick), join(t, 2, lb, old, quick)
	a.reach(b)
	b.reach(a)
	way.slow(2 * time.Millisecond)
	for i := range count {
		a.Send(2, uint32(i), make([]byte, 20<<10))
	}
	d.remove(2)
	a.Update()
	await(t, "the link to be gone", func() bool { _, ok := a.link(2); return !ok })
	a.Send(2, count, nil)
	for i := 0; i < count; {
		switch g := b.next(); {
		case g.message == "hello": // of reach
		case g.group != uint32(i):
			t.Fatalf("message %d came where %d should", g.group, i)
		default:
			i++
		}
	}
	for len(a.received) > 0 {
		<-a.received
	}
	b.Send(1, 0, []byte("after"))
	await(t, "the refusal", func() bool { s, _ := b.link(1); return strings.Contains(s.Problem, "removed") })
	if len(a.received) > 0 || len(b.received) > 0 {
		t.Errorf("after it was removed it was heard %d times, and heard %d messages", len(a.received), len(b.received))
	}
}

// A removed member that does not hang up is hung up on.
func TestRemovedMemberDoesNotKeepTheLine(t *testing.T) {
	d := &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	d.add(2, lb.Addr().String())
	a := join(t, 1, la, d, quick, func(c *peer.Config) { c.Limits.Parting = 50 * time.Millisecond })
	lanes := map[byte]*tls.Conn{}
	for range 2 { // they come in any order
		tcp, err := lb.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		tcp.SetDeadline(time.Now().Add(patience))
		c := tls.Server(tcp, &tls.Config{Certificates: []tls.Certificate{certificate(t, keyOf(2), nil)}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{peer.Protocol}})
		f, err := peer.ReadFrame(c, 0)
		if err != nil {
			t.Fatal(err)
		}
		lanes[f.Lane] = c
	}
	beat := func(lane byte) error {
		_, err := lanes[lane].Write(peer.Frame{Kind: peer.KindBeat}.Bytes())
		return err
	}
	beat(0)
	beat(1)
	a.awaitConnected(2)
	d.remove(2)
	a.Update()
	err := error(nil)
	for ; err == nil; time.Sleep(time.Millisecond) {
		err = beat(0)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the line stays")
	}
}
