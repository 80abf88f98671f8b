package vaultd

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keepsake.example/replica"
	"keepsake.example/roster"
)

// Admin serves the operator, on a listener of its own that only the operator
// reaches: it has no authentication, and nothing that could reveal or weaken.
//
//	GET  /healthz     200 while the replicas run
//	GET  /readyz      200 while requests are answered: not when the root group's replica has not ended a step for 2 s
//	GET  /metrics     for Prometheus
//	GET  /status      Status as JSON
//	GET  /bundle      as Handler has it
//	GET  /roster      who belongs to the fleet, signed, for OpenRoster
//	GET  /changes     the newest 256 changes that were accepted, oldest first, a list of SignedChange as JSON
//	POST /change      a roster.Signed, encoded: 200 and its text when it is accepted, 409 and the refusal, 503 without a leader
//	POST /checkpoint  204 when the states are written and the logs begun anew, 507 when the disk is full
//	POST /transfer    204 when this member leads nothing any more; ?to=NUMBER says who is to lead. 409 and why when nobody could lead by it, 504 when nobody took it in time
//	POST /rekey       200 and a line for each group here that has a new secret, 503 when not every one could be given one
//	POST /drain       204 when this member leads nothing, or nobody else could; 504 likewise; from the call on requests are turned away
//
// A change counts by its signatures alone: whoever brings it.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, s.halted() == nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, s.ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.HandleFunc("GET /bundle", func(w http.ResponseWriter, _ *http.Request) { octets(w, s.Bundle()) })
	mux.HandleFunc("GET /roster", s.serveRoster)
	mux.HandleFunc("GET /changes", s.serveChanges)
	mux.HandleFunc("POST /change", s.serveChange)
	mux.HandleFunc("POST /checkpoint", s.serveCheckpoint)
	mux.HandleFunc("POST /transfer", s.serveTransfer)
	mux.HandleFunc("POST /drain", s.serveDrain)
	mux.HandleFunc("POST /rekey", s.serveRekey)
	return s.guarded(mux)
}

func (s *Server) say(w http.ResponseWriter, well bool) {
	if !well {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ok\n"))
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.Status(r.Context()))
}

// done answers an order.
func (s *Server) done(w http.ResponseWriter, what string, err error) {
	if err != nil {
		s.log.Error(what, "error", err)
		status := http.StatusInternalServerError
		switch { // so that the command can say what to do
		case errors.Is(err, syscall.ENOSPC):
			status = http.StatusInsufficientStorage
		case errors.Is(err, ErrTransfer):
			status = http.StatusConflict
		case errors.Is(err, replica.ErrTransfer):
			status = http.StatusGatewayTimeout
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	s.done(w, "making a checkpoint", s.Checkpoint(r.Context()))
}

func (s *Server) serveTransfer(w http.ResponseWriter, r *http.Request) {
	var to uint64
	if text := r.FormValue("to"); text != "" {
		var err error
		if to, err = strconv.ParseUint(text, 10, 64); err != nil {
			http.Error(w, "to is the number of a member", http.StatusBadRequest)
			return
		}
	}
	s.done(w, "handing leadership over", s.Transfer(r.Context(), to))
}

func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request) {
	s.done(w, "draining", s.Drain(r.Context()))
}

func (s *Server) serveRoster(w http.ResponseWriter, _ *http.Request) {
	signed, err := s.Roster()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	octets(w, signed)
}

func (s *Server) serveChanges(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.Changes())
}

func (s *Server) serveChange(w http.ResponseWriter, r *http.Request) {
	signed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, roster.MaxSigned))
	if err != nil {
		http.Error(w, "too long for a change", http.StatusBadRequest)
		return
	}
	c, err := s.Change(r.Context(), signed)
	refusal, refused := errors.AsType[*roster.Refusal](err)
	old, tooNew := errors.AsType[*VersionError](err)
	switch {
	case tooNew:
		http.Error(w, old.Error(), http.StatusConflict)
	case refused:
		http.Error(w, refusal.Error(), http.StatusConflict)
	case errors.Is(err, roster.ErrSigned), errors.Is(err, roster.ErrText):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		s.log.Error("deciding a change", "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		tellChange(w, c)
	}
}

func tellChange(w http.ResponseWriter, c *roster.Change) {
	text, err := c.Text()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text)
}

// maxStall is how long a step of a replica may take before this machine says that it hangs.
const maxStall = 2 * time.Second

// ready says whether requests are answered now.
func (s *Server) ready() bool {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	return !closing && !s.draining.Load() && s.halted() == nil && s.decides() && s.root().replica.Stalled() < maxStall && s.keys.longest() > s.now()
}
