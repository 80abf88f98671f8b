package vaultd

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"keepsake.example/internal/crowd"
)

// Bounds of the two HTTP servers. A request has 8 KiB and comes from chatd, which
// is near: what takes longer is a fault, or somebody who wants to hold connections.
const (
	headerTime  = 5 * time.Second
	readTime    = 10 * time.Second
	idleTime    = 2 * time.Minute
	maxHeaders  = 8 << 10
	adminWrites = 5 * time.Minute // a checkpoint of ten million accounts
)

// Bound gives a listener for Serve's public, to be wrapped in TLS, that closes connections over
// Limits.Connections and ConnectionsPerAddress at once.
func (s *Server) Bound(l net.Listener) net.Listener {
	return crowd.Guard(l, crowd.Limits{All: s.limits.Connections, Each: s.limits.ConnectionsPerAddress}, crowd.Watch{
		Open:    func(now int) { s.metrics.connections.Set(float64(now)) },
		Refused: func(reason string) { s.metrics.refused.WithLabelValues(reason).Inc() },
	})
}

// Serve answers chatd on public, whose TLS is the caller's (ServerTLS), and the
// operator on admin, until ctx ends or a replica halts. Then it gives leadership
// away, takes no new requests and lets those that are there finish, for Limits.Drain.
// It closes the listeners; the caller closes the Server.
func (s *Server) Serve(ctx context.Context, public, admin net.Listener) error {
	quiet := log.New(io.Discard, "", 0) // it tells strangers' addresses and handshakes, and panics with their values
	write := s.limits.QueueWait + 2*s.limits.Commit + 10*time.Second
	servers := []*http.Server{
		{Handler: s.Handler(), ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: write, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders, ErrorLog: quiet},
		{Handler: s.Admin(), ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: adminWrites, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaders, ErrorLog: quiet},
	}
	ended := make(chan error, len(servers))
	for i, l := range []net.Listener{public, admin} {
		go func() { ended <- servers[i].Serve(l) }()
	}
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("draining")
		s.giveAway() // first: whoever leads next serves while this one ends
	case <-s.dead:
		err = fmt.Errorf("%w: %w", ErrHalted, s.halted())
	case e := <-ended:
		err = fmt.Errorf("serving: %w", e)
	}
	s.shutDown(servers)
	return err
}

func (s *Server) shutDown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limits.Drain)
	defer cancel()
	for _, h := range servers {
		if err := h.Shutdown(ctx); err != nil {
			s.log.Warn("closing with connections open", "error", err)
			h.Close()
		}
	}
}
