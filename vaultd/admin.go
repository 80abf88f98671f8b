package vaultd

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keepsake.example/fleet"
	"keepsake.example/replica"
)

// Admin serves the operator, on a listener of its own that only the operator
// reaches: it has no authentication, and nothing that could reveal or weaken.
//
//	GET  /healthz     200 while the replica runs
//	GET  /readyz      200 while requests are answered
//	GET  /metrics     for Prometheus
//	GET  /status      Status as JSON
//	GET  /bundle      as Handler has it
//	POST /checkpoint  204 when the state is written and the log begun anew, 507 when the disk is full
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, s.halted() == nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { s.say(w, s.ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.HandleFunc("GET /bundle", s.serveBundle)
	mux.HandleFunc("POST /checkpoint", s.serveCheckpoint)
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

func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	if err := s.Checkpoint(r.Context()); err != nil {
		s.log.Error("making a checkpoint", "error", err)
		status := http.StatusInternalServerError
		if errors.Is(err, syscall.ENOSPC) {
			status = http.StatusInsufficientStorage // so that the command can say what to do
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// halted is why the replica runs no more, nil while it does.
func (s *Server) halted() error {
	select {
	case <-s.replica.Done():
		if err := s.replica.Err(); err != nil {
			return err
		}
		return ErrClosed
	default:
		return nil
	}
}

// ready says whether requests are answered now.
func (s *Server) ready() bool {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	return !closing && s.halted() == nil && s.replica.Status().Role == "leader" && s.keys.longest() > s.time.now()
}

// Status is what the operator is told. Times are RFC 3339 in UTC.
type Status struct {
	Fleet    string   `json:"fleet"`
	Ready    bool     `json:"ready"`
	Halted   string   `json:"halted,omitempty"` // why the replica runs no more
	Insecure []string `json:"insecure"`         // what is insecure, a line each
	Time     string   `json:"time"`             // the vault's
	// Accounts is the number of records and tombstones, rounded up to a thousand:
	// the exact one, read every second, would tell whose record was destroyed.
	Accounts int           `json:"accounts_at_most"`
	InFlight int           `json:"in_flight"`
	Queued   int           `json:"queued"`
	Serial   uint64        `json:"bundle_serial"`
	Keys     []KeyStatus   `json:"channel_keys"`
	Replica  ReplicaStatus `json:"replica"`
}

// KeyStatus is one channel key of the bundle.
type KeyStatus struct {
	ID        string `json:"id"`
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
}

// ReplicaStatus is the replica's part.
type ReplicaStatus struct {
	Member     uint64 `json:"member"`
	Role       string `json:"role"`
	Term       uint64 `json:"term"`
	Committed  uint64 `json:"committed"`
	Applied    uint64 `json:"applied"`
	LogBytes   int64  `json:"log_bytes"`
	Checkpoint uint64 `json:"checkpoint_at"`
	Problem    string `json:"checkpoint_problem,omitempty"`
	Anchor     string `json:"anchor"`
	Protects   string `json:"anchor_protects"`
	Counter    uint64 `json:"anchor_counter"`
}

// Status returns a picture of the server.
func (s *Server) Status(ctx context.Context) Status {
	st := Status{
		Fleet: fleet.FormatID(s.fleet), Ready: s.ready(), Insecure: append([]string{}, s.warns...), Time: utc(s.time.now()),
		Accounts: s.accounts(ctx), InFlight: s.gate.inFlight(), Queued: int(s.gate.waiting.Load()),
		Keys: []KeyStatus{}, Replica: replicaStatus(s.replica.Status()),
	}
	if err := s.halted(); err != nil {
		st.Halted = err.Error()
	}
	bundle, serial := s.keys.signed()
	st.Serial = serial
	if b, err := fleet.Open(bundle, s.fleet); err == nil {
		for _, k := range b.Keys {
			id := k.Key.ID()
			st.Keys = append(st.Keys, KeyStatus{hex.EncodeToString(id[:]), utc(k.NotBefore), utc(k.NotAfter)})
		}
	}
	return st
}

func replicaStatus(r replica.Status) ReplicaStatus {
	st := ReplicaStatus{
		Member: r.Member, Role: r.Role, Term: r.Term, Committed: r.Committed, Applied: r.Applied, LogBytes: r.LogBytes,
		Checkpoint: r.Checkpoint, Anchor: r.Anchor.Name, Protects: r.Anchor.Protects, Counter: r.Batch,
	}
	if r.CheckpointError != nil {
		st.Problem = r.CheckpointError.Error()
	}
	return st
}

func utc(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339) }

// accounts is the number of records and tombstones, rounded up to a thousand; 0
// when the replica does not answer.
func (s *Server) accounts(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	n := 0
	s.replica.Read(ctx, func(m replica.Machine) {
		c := m.(*machine).state.Counts()
		n = int(c.Records+c.Tombstones+999) / 1000 * 1000
	})
	return n
}

// publish registers the numbers that are asked for when metrics are read.
func (s *Server) publish() {
	g := s.metrics.gauge
	g("vaultd_ready", "1 while requests are answered.", nil, func() float64 { return oneIf(s.ready()) })
	g("vaultd_halted", "1 when the replica has halted: look into the log.", nil, func() float64 { return oneIf(s.halted() != nil) })
	g("vaultd_accounts", "Records and tombstones, rounded up to a thousand.", nil, func() float64 { return float64(s.accounts(context.Background())) })
	g("vaultd_in_flight", "Requests being worked.", nil, func() float64 { return float64(s.gate.inFlight()) })
	g("vaultd_queued", "Requests waiting for a place.", nil, func() float64 { return float64(s.gate.waiting.Load()) })
	g("vaultd_time_seconds", "The vault's time, Unix seconds.", nil, func() float64 { return float64(s.time.now()) / 1000 })
	g("vaultd_channel_key_end_seconds", "When the last channel key ends, Unix seconds.", nil, func() float64 { return float64(s.keys.longest()) / 1000 })
	g("vaultd_bundle_serial", "Serial of the bundle.", nil, func() float64 { _, n := s.keys.signed(); return float64(n) })
	g("vaultd_log_bytes", "Bytes of the log since the last checkpoint.", nil, func() float64 { return float64(s.replica.Status().LogBytes) })
	g("vaultd_applied_index", "Entries applied.", nil, func() float64 { return float64(s.replica.Status().Applied) })
	g("vaultd_anchor_counter", "Batches that the anchor counted.", nil, func() float64 { return float64(s.replica.Status().Batch) })
	g("vaultd_checkpoint_failed", "1 when the last try to make a checkpoint failed.", nil, func() float64 { return oneIf(s.replica.Status().CheckpointError != nil) })
	for _, w := range s.warns {
		name, _, _ := strings.Cut(w, ":")
		g("vaultd_insecure", "1 for each insecure choice.", prometheus.Labels{"choice": name}, func() float64 { return 1 })
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
