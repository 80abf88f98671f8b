// Package clienttest is a server for tests of the password path: chatd and the
// vault behind it in one process, over TLS on the loopback interface. The vault is
// the real state machine (package vault) and the channel the real one (package
// sealed); chatd is played, and made to fail and to lie as a test wants.
package clienttest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/fleet"
	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Fault is what becomes of one request.
type Fault int

// What can happen to a request.
const (
	None        Fault = iota
	Lost              // the connection ends before the request is looked at
	Unanswered        // the vault decides it, and the connection ends before the answer
	Garbled           // the vault decides it, and one byte of the answer is changed
	Unavailable       // 503, undecided
	Stale             // 404 "key": the channel key is said to be gone
	Misplaced         // 404 "path": the server knows no such path
	Denied            // 401: the token is said to be refused
)

// Server is the server. Its fields may be set between requests.
type Server struct {
	TB     testing.TB
	HTTP   *httptest.Server
	Fleet  sealed.FleetID
	Policy fleet.Policy
	// Fault says what becomes of each request; nil: nothing does.
	Fault func(vaultapi.Type) Fault
	// Lie changes an answer before it is sealed.
	Lie func(vaultapi.Type, *vaultapi.Answer)
	// Device evaluates in the fleet's hardware; an error is a device that is busy. nil
	// does it as it should be.
	Device func(h *[32]byte, blinded [33]byte) ([33]byte, error)
	// Bundle replaces the bundle's bytes.
	Bundle func(good []byte) []byte
	// Code is the one-time code of every login.
	Code string
	// Subject is whom every handle is.
	Subject string

	mu       sync.Mutex
	offset   time.Duration
	state    *vault.State
	identity ed25519.PrivateKey
	key      *sealed.PrivateKey
	serial   uint64
	hardware *[32]byte // h; nil for a fleet without a key in hardware
	asked    map[vaultapi.Type]int
	decided  []vaultapi.Type
	logins   map[string][32]byte
	lines    map[string]*line
	secret   [32]byte
}

// New starts a server with the default policy, and ends it with the test.
func New(t testing.TB) *Server { return NewPolicy(t, fleet.DefaultPolicy()) }

// NewPolicy starts a server with a policy of its own.
func NewPolicy(t testing.TB, p fleet.Policy) *Server {
	t.Helper()
	s := &Server{
		TB: t, Policy: p, Code: "12345678", Subject: "alice", serial: 7,
		state: vault.New(), asked: map[vaultapi.Type]int{}, logins: map[string][32]byte{}, lines: map[string]*line{},
	}
	rand.Read(s.secret[:])
	seed := vault.Seed(random())
	s.identity = ed25519.NewKeyFromSeed(seed[:])
	s.Fleet = fleet.ID(s.identity.Public().(ed25519.PublicKey))
	s.apply(&vault.Command{Kind: vault.Genesis, Fleet: s.Fleet, IdentitySeed: seed, NamingKey: random(), Policy: vault.Policy(p)})
	s.Rotate()
	s.HTTP = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.HTTP.EnableHTTP2 = true
	s.HTTP.StartTLS()
	t.Cleanup(s.HTTP.Close)
	return s
}

func random() (b [32]byte) {
	rand.Read(b[:])
	return b
}

// Card is the server's card.
func (s *Server) Card() *client.Server {
	s.TB.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.HTTP.Certificate().Raw})
	card, err := client.NewServer(s.HTTP.URL, fleet.FormatID(s.Fleet), string(ca))
	if err != nil {
		s.TB.Fatal(err)
	}
	return card
}

// Rotate replaces the channel key, and the bundle.
func (s *Server) Rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := sealed.GenerateKey(s.Fleet)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.key = key
	s.serial++
}

// Harden gives the fleet another key in its hardware, held in software here; nil
// takes it away. It replaces the bundle.
func (s *Server) Harden(h *[32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hardware = h
	s.serial++
}

// Advance lets the vault's time pass; the clocks of clients stay.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// Asked is how many requests of a type reached the vault.
func (s *Server) Asked(t vaultapi.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[t]
}

func (s *Server) now() uint64 { return uint64(time.Now().Add(s.offset).UnixMilli()) }

// SignedBundle is the bundle as it is served.
func (s *Server) SignedBundle() []byte {
	now := uint64(time.Now().UnixMilli())
	b := &fleet.Bundle{
		Serial: s.serial, Issued: now, Identity: s.identity.Public().(ed25519.PublicKey), Policy: s.Policy,
		Keys: []fleet.ChannelKey{{NotBefore: 1, NotAfter: 1 << 42, Key: s.key.Public()}},
	}
	b.Issued = 1000 * s.serial // one serial has one bundle
	if s.hardware != nil {
		b.FleetKey = s.point(p256.Public(s.hardware))
	}
	data, err := b.Sign(s.identity)
	if err != nil {
		s.TB.Fatal(err)
	}
	return data
}

func (s *Server) point(p [33]byte, err error) [33]byte {
	if err != nil {
		s.TB.Fatal(err)
	}
	return p
}

func (s *Server) apply(c *vault.Command) *vault.Effect {
	c.Time = s.now()
	e, err := s.state.Apply(c)
	if err != nil {
		s.TB.Fatal(err)
	}
	return e
}

// Set changes what becomes of requests while others are being served.
func (s *Server) Set(fault func(vaultapi.Type) Fault, lie func(vaultapi.Type, *vaultapi.Answer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fault, s.Lie = fault, lie
}
