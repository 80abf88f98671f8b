package chatd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/internal/crowd"
	"keepsake.example/token"
)

// A Server is chatd in one or both of its roles.
type Server struct {
	c         Config
	m         *metrics
	relay     *relaying // nil without the role
	addresses *limit.Table
	draining  atomic.Bool
	hadKeys   atomic.Bool
}

// New makes a Server. It opens nothing and connects to nobody.
func New(c Config) (*Server, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	s := &Server{c: c, m: newMetrics(), addresses: limit.New(c.Limits.PerAddress, c.Limits.Table)}
	if c.Relay != nil {
		var err error
		if s.relay, err = newRelaying(&c, s.m); err != nil {
			return nil, fmt.Errorf("setting up the relay: %w", err)
		}
		s.m.watch("bundle_age_seconds", "Age of the fleet's bundle, below zero without one.", func() float64 { return s.relay.bundle.age().Seconds() })
		s.m.watch("accounts_limited", "Accounts whose rate is being kept.", func() float64 { return float64(s.relay.accounts.Len()) })
	}
	s.m.watch("addresses_limited", "Networks whose rate is being kept.", func() float64 { return float64(s.addresses.Len()) })
	s.m.watch("ready", "1 when /readyz says so.", func() float64 {
		if s.Ready() == nil {
			return 1
		}
		return 0
	})
	s.m.watch("certificate_expires_seconds", "Unix time at which the certificate shown to clients ends.", s.certificateEnd)
	return s, nil
}

// CodeSent counts the sending of a one-time code; it is for
// [issuer.Config].Sent.
func (s *Server) CodeSent(err error) {
	s.m.logins.WithLabelValues("send", outcome(err)).Inc()
	if err != nil {
		s.c.Log.Error("a code was not sent", "err", err)
	}
}

func (s *Server) certificateEnd() float64 {
	c, err := s.c.Certificate(&tls.ClientHelloInfo{})
	if err != nil || len(c.Certificate) == 0 {
		return 0
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return 0
	}
	return float64(leaf.NotAfter.Unix())
}

// Ready tells why this instance should get no clients, nil if it should. It looks
// at what is known and asks no vaultd: a balancer would give up waiting for the
// answer, and so read none.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("chatd: draining")
	}
	if err := s.c.Audit.Err(); err != nil {
		return err
	}
	if s.c.Issuer != nil {
		if err := s.c.Issuer.Check(context.Background()); err != nil {
			return fmt.Errorf("looking at the issuer's store: %w", err)
		}
	}
	if s.relay == nil {
		return nil
	}
	if !s.hadKeys.Load() {
		return errors.New("chatd: no issuer's keys yet")
	}
	_, err := s.relay.bundle.have()
	return err
}

// Admin serves the operator: GET /healthz, /readyz, /status, /metrics. It has no
// password and belongs on the loopback or a network of the operator's own.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.Handle("GET /metrics", s.m.handler())
	return mux
}

// Listeners are where a server listens: Public for clients, Admin, which may
// be nil, for the operator. Serve closes them.
type Listeners struct{ Public, Admin net.Listener }

// Serve serves until ctx ends, and then drains: it says that it is not ready,
// goes on for the drain delay, takes no more connections, and returns when the
// requests under way are answered or the drain timeout is over. It is called
// once.
func (s *Server) Serve(ctx context.Context, l Listeners) error {
	public, admin := s.publicServer(), s.adminServer()
	failed := make(chan error, 2)
	go func() {
		limits := crowd.Limits{All: s.c.Limits.Connections, Each: s.c.Limits.ConnectionsPerAddress}
		failed <- public.ServeTLS(crowd.Guard(l.Public, limits, s.m.crowd()), "", "")
	}()
	if l.Admin != nil {
		go func() { failed <- admin.Serve(l.Admin) }()
	}
	background, stop := context.WithCancel(context.Background())
	defer stop()
	go s.keepKeys(background)
	if s.relay != nil {
		go s.relay.up.watch(background)
		go s.relay.bundle.keep(background, s.relay.up.answered)
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	err = errors.Join(err, s.drain(public))
	if l.Admin != nil {
		err = errors.Join(err, admin.Close())
	}
	if s.relay != nil {
		s.relay.up.close()
	}
	return err
}

func (s *Server) drain(public *http.Server) error {
	s.draining.Store(true)
	s.c.Log.Info("draining")
	if s.c.Limits.DrainDelay > 0 {
		time.Sleep(s.c.Limits.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.c.Limits.DrainTimeout)
	defer cancel()
	if err := public.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("draining: %w", err), public.Close())
	}
	return nil
}

// keepKeys fetches the issuers' keys before the first token comes, and until
// there are some.
func (s *Server) keepKeys(ctx context.Context) {
	if s.relay == nil {
		return
	}
	for {
		for _, i := range s.relay.issuers {
			if err := token.Refresh(ctx, i.Keys); err == nil {
				s.hadKeys.Store(true)
			} else if ctx.Err() == nil {
				s.c.Log.Warn("an issuer's keys", "issuer", i.Name, "err", err)
			}
		}
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			return
		}
	}
}

// publicServer speaks HTTP/2 over TLS 1.3 and nothing older: no smuggling
// between two readings of HTTP/1, no downgrade.
func (s *Server) publicServer() *http.Server {
	l := s.c.Limits
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	return &http.Server{
		Handler:   s.Handler(),
		Protocols: &protocols,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS13,
			GetCertificate: s.c.Certificate,
			NextProtos:     []string{"h2"},
		},
		ReadHeaderTimeout: l.HeaderTimeout,
		ReadTimeout:       l.BodyTimeout,
		WriteTimeout:      l.WriteTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    l.Header,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.Streams,
			MaxReadFrameSize:     16 << 10,
			WriteByteTimeout:     l.BodyTimeout,
			// One request fits; more would be memory that clients command.
			MaxReceiveBufferPerConnection: 64 << 10,
			MaxReceiveBufferPerStream:     16 << 10,
		},
		ErrorLog: quiet(),
	}
}

func (s *Server) adminServer() *http.Server {
	return &http.Server{Handler: s.Admin(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: quiet()}
}

// quiet drops what net/http would log: addresses in clear, for every scanner
// that shakes hands badly. What matters is counted.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
