package vaultd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/software"
	"keepsake.example/fleet"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

const (
	issuerName = "https://id.example.org"
	audience   = "keepsake-vault"
	quantum    = 20 * time.Millisecond
)

var begin = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is a host's clock that moves when it is told to. Short waits, those for
// the quantum, move it themselves and return at once.
type clock struct {
	mu     sync.Mutex
	wall   time.Time
	run    time.Duration
	timers map[chan time.Time]time.Duration
	waited []time.Duration
}

func newClock() *clock {
	return &clock{wall: begin, run: time.Hour, timers: map[chan time.Time]time.Duration{}}
}

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	c.mu.Lock()
	if d >= time.Second {
		c.timers[ch] = c.run + d
		c.mu.Unlock()
		return ch
	}
	c.waited = append(c.waited, d)
	c.mu.Unlock()
	c.advance(d)
	ch <- time.Time{}
	return ch
}

// advance lets time pass, on both clocks of the host.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run += d
	c.wall = c.wall.Add(d)
	for ch, at := range c.timers {
		if at <= c.run {
			delete(c.timers, ch)
			ch <- time.Time{}
		}
	}
}

// set changes the host's date alone.
func (c *clock) set(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = wall
}

// world is a vault with everything round it.
type world struct {
	t      testing.TB
	dir    string
	clock  *clock
	signer *token.Signer
	fleet  sealed.FleetID
	log    *bytes.Buffer
	config vaultd.Config

	// via, unless nil, is the server that is asked, without HTTP connections between.
	via func() *vaultd.Server

	anchor  anchor.Anchor
	server  *vaultd.Server
	http    *http.Client
	url     string
	stopped func()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newSigner() *token.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return must(token.NewSigner(issuerName, key))
}

func verifier(t testing.TB, s *token.Signer) *token.Verifier {
	t.Helper()
	keys, err := token.Static(must(s.JWKS()))
	if err != nil {
		t.Fatal(err)
	}
	return must(token.NewVerifier(token.Issuer{Name: issuerName, Audience: audience, Algorithms: []string{token.EdDSA}, Keys: keys}))
}

func testPolicy() fleet.Policy {
	p := fleet.DefaultPolicy()
	p.Insecure = true
	return p
}

// newWorld founds a fleet and serves it over loopback TLS; change, if any, changes its configuration.
func newWorld(t testing.TB, change ...func(*vaultd.Config)) *world {
	t.Helper()
	return foundWorld(t, newClock(), nil, change...)
}

// foundWorld is newWorld on a clock, with a device or none.
func foundWorld(t testing.TB, clock *clock, device anchor.Device, change ...func(*vaultd.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), clock: clock, signer: newSigner(), log: new(bytes.Buffer)}
	w.openAnchor()
	id, bundle, err := vaultd.Found(t.Context(), vaultd.Founding{Dir: w.state(), Anchor: w.anchor, Policy: testPolicy(), Clock: w.clock, Device: device})
	if err != nil {
		t.Fatal(err)
	}
	if b := must(fleet.Open(bundle, id)); b.Hardened() != (device != nil) {
		t.Errorf("the first bundle has the fleet key %x", b.FleetKey)
	}
	w.fleet = id
	w.config = vaultd.Config{
		Dir: w.state(), Tokens: verifier(t, w.signer), Limits: vaultd.DefaultLimits(), AcceptInsecureAnchor: true, Clock: w.clock, Device: device,
		Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&w.config)
	}
	w.start()
	t.Cleanup(w.stop)
	return w
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (w *world) state() string { return filepath.Join(w.dir, "state") }

func (w *world) openAnchor() {
	w.t.Helper()
	a, err := software.Open(filepath.Join(w.dir, "anchor"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.anchor = a
}

// start opens the server and its listener.
func (w *world) start() {
	w.t.Helper()
	if w.config.Anchor == nil {
		w.config.Anchor = w.anchor
	}
	s, err := vaultd.New(w.t.Context(), w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = s
	w.listen()
}

func (w *world) listen() {
	w.t.Helper()
	certificate, pin, err := vaultd.Certificate(must(vaultd.NewTLSKey()), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	own, relay, err := vaultd.Certificate(must(vaultd.NewTLSKey()), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	public := must(tls.Listen("tcp", "127.0.0.1:0", vaultd.ServerTLS(certificate, []vaultd.Pin{relay})))
	admin := must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, public, admin) }()
	w.url = "https://" + public.Addr().String()
	w.http = &http.Client{Transport: &http.Transport{TLSClientConfig: vaultd.ClientTLS(pin, own), MaxIdleConnsPerHost: 64}}
	w.stopped = sync.OnceFunc(func() {
		w.http.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil && !errors.Is(err, vaultd.ErrHalted) {
			w.t.Error(err)
		}
	})
}

// stop closes everything; it may be called twice.
func (w *world) stop() {
	if w.stopped == nil {
		return
	}
	w.stopped()
	if err := w.server.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.anchor.Close(); err != nil {
		w.t.Error(err)
	}
	w.stopped = nil
}

// restart closes everything and opens it again from the disk.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.openAnchor()
	w.config.Anchor = w.anchor
	w.start()
}

// post sends bytes as chatd does.
func (w *world) post(body []byte) (int, []byte, http.Header) {
	w.t.Helper()
	if w.via != nil {
		rec := httptest.NewRecorder()
		w.via().Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/v1/request", bytes.NewReader(body)))
		return rec.Code, rec.Body.Bytes(), rec.Header()
	}
	r, err := w.http.Post(w.url+"/v1/request", "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode, must(io.ReadAll(r.Body)), r.Header
}

func (w *world) bundle() *fleet.Bundle {
	w.t.Helper()
	if w.via != nil {
		b, err := fleet.Open(w.via().Bundle(), w.fleet)
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	r, err := w.http.Get(w.url + "/v1/bundle")
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := fleet.Open(must(io.ReadAll(r.Body)), w.fleet)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) now() uint64 { return uint64(w.clock.Wall().UnixMilli()) }
