package chatd

import (
	"encoding/json"
	"net/http"
	"time"
)

// Status is how a server stands, for the operator: GET /status of the admin
// address.
type Status struct {
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"` // why not ready
	Relay   bool   `json:"relay"`             // its roles
	Issuer  bool   `json:"issuer"`
	// InFlight are requests being relayed; BundleAge is the age of the fleet's
	// bundle in seconds, -1 without one.
	InFlight  int           `json:"in_flight"`
	BundleAge int64         `json:"bundle_age_seconds"`
	Vaults    []VaultStatus `json:"vaults"`
}

// VaultStatus is how one vaultd stands in the eyes of this relay. Times are in
// milliseconds; 0 where none was measured.
type VaultStatus struct {
	Vault int    `json:"vault"` // its place in the configuration
	URL   string `json:"url"`
	// Current says that requests go there. Away says that it is passed over, Why
	// it is, and Since when it went away or came back, zero when it never did.
	Current bool      `json:"current"`
	Away    bool      `json:"away"`
	Why     string    `json:"why,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Probe is the smoothed time of probes, Request that of the answers of the
	// last minute.
	Probe   float64 `json:"probe_ms"`
	Request float64 `json:"request_ms"`
	// InFlight are requests under way there, Tries all that were sent there, those
	// for the bundle too, Failed the ones without an answer, and PassedOver those
	// that went elsewhere because it was away.
	InFlight   int    `json:"in_flight"`
	Tries      uint64 `json:"tries"`
	Failed     uint64 `json:"failed"`
	PassedOver uint64 `json:"passed_over"`
}

// Status tells how the server stands.
func (s *Server) Status() Status {
	st := Status{Ready: true, Relay: s.relay != nil, Issuer: s.c.Issuer != nil, BundleAge: -1, Vaults: []VaultStatus{}}
	if err := s.Ready(); err != nil {
		st.Ready, st.Problem = false, err.Error()
	}
	if s.relay == nil {
		return st
	}
	st.InFlight = len(s.relay.places)
	if age := s.relay.bundle.age(); age >= 0 {
		st.BundleAge = int64(age.Seconds())
	}
	st.Vaults = s.relay.up.status(time.Now())
	return st
}

func (u *upstream) status(now time.Time) (all []VaultStatus) {
	for i, p := range u.vaults {
		n := u.nearest.Status(i, now)
		all = append(all, VaultStatus{
			Vault: i, URL: p.url, Current: n.Current, Away: n.Away, Why: n.Why, Since: n.Since,
			Probe: millis(n.Near), Request: millis(n.Took),
			InFlight: n.Flying, Tries: p.tries.Load(), Failed: p.failed.Load(), PassedOver: n.Passed,
		})
	}
	return all
}

// millis rounds to hundredths: more is noise.
func millis(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(s.Status()) // an error is the operator's connection, which is gone
}
