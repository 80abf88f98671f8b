package chatd

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/sealed"
	"keepsake.example/token"
)

// relaying is what the role of the relay needs.
type relaying struct {
	tokens   *token.Verifier
	issuers  []token.Issuer
	up       *upstream
	bundle   *bundleCache
	accounts *limit.Table
	places   chan struct{} // one taken for each request being relayed
}

func newRelaying(c *Config, m *metrics) (*relaying, error) {
	tokens, err := token.NewVerifier(c.Relay.Issuers...)
	if err != nil {
		return nil, err
	}
	up, err := newUpstream(c, m)
	if err != nil {
		return nil, err
	}
	return &relaying{
		tokens: tokens, issuers: c.Relay.Issuers, up: up,
		bundle:   &bundleCache{fetch: up.bundle, every: c.Limits.BundleEvery, now: c.Now},
		accounts: limit.New(c.Limits.PerAccount, c.Limits.Table),
		places:   make(chan struct{}, c.Limits.Relays),
	}, nil
}

// relayed is the audit line of a relayed request. The hashes tie a client's
// complaint, or a vault's record, to the line.
type relayed struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // "relay"
	Account string    `json:"account"`
	From    string    `json:"from"`
	Outcome string    `json:"outcome"` // answered, key, refused, unanswered
	Vault   int       `json:"vault"`   // its place in the configuration, -1 for none
	Request string    `json:"request"` // SHA-256 of what was relayed
	Answer  string    `json:"answer,omitempty"`
	Millis  int64     `json:"ms"`
}

// serveVault relays one sealed request.
func (s *Server) serveVault(w http.ResponseWriter, r *http.Request, v *visit) *refusal {
	if refused := s.authorize(r, v); refused != nil {
		return refused
	}
	request, refused := readBody(w, r, octets, sealed.RequestSize)
	if refused != nil {
		return refused
	}
	if len(request) != sealed.RequestSize {
		return refFormat
	}
	select {
	case s.relay.places <- struct{}{}:
		defer func() { <-s.relay.places }()
	default:
		return refBusy
	}
	s.m.relaying.Inc()
	defer s.m.relaying.Dec()
	answer, refused := s.pass(r, v, request)
	if refused != nil {
		return refused
	}
	write(w, http.StatusOK, octets, answer)
	return nil
}

// authorize checks the token and the limit of its account.
func (s *Server) authorize(r *http.Request, v *visit) *refusal {
	raw, ok := bearer(r.Header)
	if !ok {
		return refToken
	}
	claims, err := s.relay.tokens.Verify(raw, s.c.Now())
	if err != nil {
		var why *token.Refusal
		if errors.As(err, &why) {
			return &refusal{status: refToken.status, word: refToken.word, why: "token-" + string(why.Reason)}
		}
		return refToken
	}
	v.account = s.c.Names.Account(claims.Issuer, claims.Subject)
	key := limit.Key(s.c.Names.hash("limit", claims.Issuer, claims.Subject)[:16])
	if wait, ok := s.relay.accounts.Allow(key, s.c.Now()); !ok {
		return refRate(wait, "account")
	}
	return nil
}

// pass relays a request and writes the audit line, without which there is no
// answer. The client can be gone meanwhile: the request is worked all the same,
// and its line written.
func (s *Server) pass(r *http.Request, v *visit, request []byte) ([]byte, *refusal) {
	began := s.c.Now()
	answer, by, err := s.relay.up.relay(r.Context(), request)
	outcome, refused := relayOutcome(err)
	s.m.relays.WithLabelValues(outcome).Inc()
	if errors.Is(err, errNoChannelKey) {
		s.relay.bundle.stale()
	}
	if errors.Is(err, errPin) || errors.Is(err, errAnswer) {
		s.c.Log.Error("a vaultd is not what it should be", "err", err)
	}
	line := relayed{
		Time: began.UTC(), Event: "relay", Account: v.account, From: s.from(v), Outcome: outcome, Vault: by,
		Request: digest(request), Millis: s.c.Now().Sub(began).Milliseconds(),
	}
	if answer != nil {
		line.Answer = digest(answer)
	}
	if err := s.audit(line); err != nil {
		return nil, refNoAudit
	}
	return answer, refused
}

func relayOutcome(err error) (string, *refusal) {
	switch {
	case err == nil:
		return "answered", nil
	case errors.Is(err, errNoChannelKey):
		return "key", refKey
	case errors.Is(err, errNotSealed):
		return "refused", refFormat
	case errors.Is(err, errAnswer):
		return "unanswered", refAnswer
	}
	return "unanswered", refNoVault
}

func digest(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

// audit makes a line durable.
func (s *Server) audit(line any) error {
	began := time.Now()
	err := s.c.Audit.Append(line)
	s.m.auditing.Observe(time.Since(began).Seconds())
	s.m.audits.WithLabelValues(outcome(err)).Inc()
	if err != nil {
		s.c.Log.Error("no audit line, no answer", "err", err)
	}
	return err
}

func (s *Server) serveBundle(w http.ResponseWriter, r *http.Request, _ *visit) *refusal {
	b, err := s.relay.bundle.get(r.Context())
	if err != nil {
		return refNoVault
	}
	write(w, http.StatusOK, octets, b)
	return nil
}
