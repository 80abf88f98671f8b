package chatd

import (
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"keepsake.example/chatd/issuer"
)

// stepped is the audit line of a step at the issuer.
type stepped struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // login, code, token
	Account string    `json:"account,omitempty"`
	From    string    `json:"from"`
	Outcome string    `json:"outcome"` // ok, or the word of the refusal, or "reused"
}

// step writes the audit line of a step, without which there is no answer, and
// gives the refusal that err is. What was turned away before anything was
// looked at leaves no line: a flood must not fill the disk.
func (s *Server) step(name string, v *visit, err error) *refusal {
	refused, outcome := issuerRefusal(err)
	s.m.logins.WithLabelValues(name, outcome).Inc()
	if refused == refNoStore {
		s.c.Log.Error("the issuer's store failed", "err", err)
	}
	if outcome == "rate" || outcome == "busy" || outcome == "format" {
		return refused
	}
	line := stepped{Time: s.c.Now().UTC(), Event: name, Account: v.account, From: s.from(v), Outcome: outcome}
	if s.audit(line) != nil {
		return refNoAudit
	}
	return refused
}

func issuerRefusal(err error) (*refusal, string) {
	var often *issuer.LimitError
	switch {
	case err == nil:
		return nil, "ok"
	case errors.As(err, &often):
		return refRate(often.Wait, "login"), "rate"
	case errors.Is(err, issuer.ErrReused):
		return refDenied, "reused"
	case errors.Is(err, issuer.ErrRefused):
		return refDenied, "denied"
	case errors.Is(err, issuer.ErrFormat):
		return refFormat, "format"
	case errors.Is(err, issuer.ErrBusy):
		return refBusy, "busy"
	}
	return refNoStore, "store"
}

// serveLogin begins a login; the answer is the same for every handle.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request, v *visit) *refusal {
	var in loginRequest
	if refused := readJSON(w, r, &in); refused != nil {
		return refused
	}
	if !in.valid() {
		return refFormat
	}
	id, err := s.c.Issuer.Login(r.Context(), v.from, in.Handle, []byte(in.Key))
	if refused := s.step("login", v, err); refused != nil {
		return refused
	}
	writeJSON(w, http.StatusAccepted, loginAnswer{hex.EncodeToString(id[:])})
	return nil
}

func (s *Server) serveCode(w http.ResponseWriter, r *http.Request, v *visit) *refusal {
	id, ok := parseLogin(r.PathValue("login"))
	if !ok {
		return refPath
	}
	var in codeRequest
	if refused := readJSON(w, r, &in); refused != nil {
		return refused
	}
	if !in.valid() {
		return refFormat
	}
	tokens, err := s.c.Issuer.Redeem(r.Context(), v.from, id, in.Code, in.Proof)
	return s.giveTokens(w, "code", v, tokens, err)
}

func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, v *visit) *refusal {
	var in refreshRequest
	if refused := readJSON(w, r, &in); refused != nil {
		return refused
	}
	if !in.valid() {
		return refFormat
	}
	tokens, err := s.c.Issuer.Refresh(r.Context(), v.from, in.Refresh, in.Proof)
	return s.giveTokens(w, "token", v, tokens, err)
}

func (s *Server) giveTokens(w http.ResponseWriter, step string, v *visit, t *issuer.Tokens, err error) *refusal {
	if err == nil {
		v.account = s.c.Names.Account(s.c.Issuer.Name(), t.Subject)
	}
	if refused := s.step(step, v, err); refused != nil {
		return refused
	}
	writeJSON(w, http.StatusOK, tokensAnswer{t.Refresh, tokenPair{t.Chatd, t.Vault}, t.Expires.Unix()})
	return nil
}

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request, _ *visit) *refusal {
	write(w, http.StatusOK, "application/json", s.c.Issuer.JWKS())
	return nil
}

// serveDiscovery says where the keys are, as OpenID Connect Discovery 1.0 has it,
// so that relays and vaults can be told the issuer's URL alone. The issuer is no
// OpenID provider otherwise.
func (s *Server) serveDiscovery(w http.ResponseWriter, _ *http.Request, _ *visit) *refusal {
	name := s.c.Issuer.Name()
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": name, "jwks_uri": name + "/v1/jwks.json", "token_endpoint": name + "/v1/token",
		"id_token_signing_alg_values_supported": []string{"EdDSA"},
		"response_types_supported":              []string{"none"},
		"subject_types_supported":               []string{"public"},
	})
	return nil
}
