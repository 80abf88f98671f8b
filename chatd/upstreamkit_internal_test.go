package chatd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/sealed"
)

var (
	block = bytes.Repeat([]byte("q"), sealed.RequestSize)
	// lost is of an account whose group has no majority.
	lost = bytes.Repeat([]byte("l"), sealed.RequestSize)
)

// replica is a played vaultd.
type replica struct {
	t    *testing.T
	cert tls.Certificate

	mu      sync.Mutex
	far     time.Duration // of every answer
	tries   time.Duration // to decide what is lost
	work    time.Duration // of a request, besides
	status  int           // of every answer, when not 200
	refuses int           // status of requests alone
	silent  chan struct{} // answers nothing until it is closed
	server  *http.Server  // nil: nobody listens
	dial    chan net.Conn

	got    int // requests that arrived
	probed int
	busy   int // requests under way
	most   int // of them at once
}

// set changes how the replica behaves.
func (r *replica) set(f func(*replica)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// ServeHTTP answers as a vaultd does.
func (r *replica) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	pause, status, silent := r.far, r.status, r.silent
	if req.Method == http.MethodPost {
		if bytes.Equal(body, lost) {
			pause, status = r.tries, http.StatusServiceUnavailable
		} else if err == nil && !bytes.Equal(body, block) {
			r.t.Errorf("not the bytes that were sent: %d of them", len(body))
		}
		r.got++
		r.busy++
		r.most = max(r.most, r.busy)
		defer r.set(func(r *replica) { r.busy-- })
		pause += r.work
		if r.refuses != 0 {
			status = r.refuses
		}
	} else {
		r.probed++
	}
	r.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-req.Context().Done():
		}
		return
	}
	if !sleep(req.Context(), pause) {
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if req.Method == http.MethodPost {
		w.Write(make([]byte, sealed.AnswerSize))
	}
}

// up begins to listen.
func (r *replica) up() {
	server := &http.Server{
		Handler:   r,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{r.cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}},
		ErrorLog:  quiet(),
	}
	r.set(func(r *replica) { r.server = server })
	go server.ServeTLS(&pipes{conns: r.dial, end: make(chan struct{})}, "", "")
}

// down breaks every connection, and refuses new ones.
func (r *replica) down() {
	r.mu.Lock()
	server := r.server
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		server.Close()
	}
}

func (r *replica) connect(context.Context, string, string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	r.dial <- there
	return here, nil
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	end   chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inFleet runs a test with replicas, which are up and at the given distances.
func inFleet(t *testing.T, limits Limits, test func(*testing.T, *upstream, []*replica), far ...time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		own, err := MakeCertificate(ed25519.NewKeyFromSeed(make([]byte, 32)), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		limits.setDefaults()
		c := &Config{Limits: limits, Now: time.Now, Log: slog.New(slog.DiscardHandler), Relay: &Relay{Certificate: own}}
		var fleet []*replica
		for _, d := range far {
			fleet = append(fleet, &replica{t: t, cert: own, far: d, tries: 4 * time.Second, dial: make(chan net.Conn, 64)})
			c.Relay.Vaults = append(c.Relay.Vaults, Vault{URL: "https://vault.internal", Pin: PinOf(own.Leaf)})
		}
		u, err := newUpstream(c, newMetrics())
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range u.vaults {
			p.client.Transport.(*http.Transport).DialContext = fleet[i].connect
			fleet[i].up()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { u.watch(ctx) })
		time.Sleep(2 * time.Second) // probes
		test(t, u, fleet)
		cancel()
		watching.Wait()
		u.close()
		for _, r := range fleet {
			r.down()
		}
	})
}

// send relays one request, which has to be answered, and gives the replica and
// the time it took.
func send(t *testing.T, u *upstream) (by int, took time.Duration) {
	t.Helper()
	began := time.Now()
	answer, by, err := u.relay(t.Context(), block)
	if err != nil || len(answer) != sealed.AnswerSize {
		t.Fatalf("%d bytes, %v", len(answer), err)
	}
	return by, time.Since(began)
}

func total(fleet []*replica) (n int) {
	for _, r := range fleet {
		n += r.count()
	}
	return n
}

const ms = time.Millisecond
