package clienttest

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

const issuer = "https://chat.example"

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ProtoMajor != 2 || r.TLS.Version < 0x0304 {
		s.TB.Errorf("a request over %s and TLS version %x", r.Proto, r.TLS.Version)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch {
	case r.URL.Path == "/v1/bundle":
		good := s.SignedBundle()
		if s.Bundle != nil {
			good = s.Bundle(good)
		}
		w.Write(good)
	case r.URL.Path == "/v1/vault":
		s.serveVault(w, r, body)
	case r.URL.Path == "/v1/token":
		s.serveToken(w, body)
	case r.URL.Path == "/v1/login":
		s.serveLogin(w, body)
	case strings.HasPrefix(r.URL.Path, "/v1/login/"):
		s.serveCode(w, strings.TrimPrefix(r.URL.Path, "/v1/login/"), body)
	default:
		http.NotFound(w, r)
	}
}

// serveVault is the relay and the vault's door.
func (s *Server) serveVault(w http.ResponseWriter, r *http.Request, block []byte) {
	if _, ok := s.check(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "chatd"); !ok || len(block) != sealed.RequestSize {
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	message, answerer, err := s.key.Open(block)
	if err != nil {
		http.Error(w, `{"error":"key"}`, http.StatusNotFound)
		return
	}
	request, err := vaultapi.DecodeRequest(message)
	if err != nil {
		s.TB.Errorf("a request that makes no sense: %v", err)
		panic(http.ErrAbortHandler)
	}
	t := request.Body.Type()
	s.asked[t]++
	fault := None
	if s.Fault != nil {
		fault = s.Fault(t)
	}
	switch fault {
	case Lost:
		panic(http.ErrAbortHandler)
	case Unavailable:
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
		return
	case Stale:
		http.Error(w, `{"error":"key"}`, http.StatusNotFound)
		return
	case Misplaced:
		http.Error(w, `{"error":"path"}`, http.StatusNotFound)
		return
	case Denied:
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	answer := s.decide(request)
	if s.Lie != nil {
		s.Lie(t, answer)
	}
	encoded, err := answer.Encode()
	if err != nil {
		s.TB.Errorf("encoding an answer: %v", err)
		panic(http.ErrAbortHandler)
	}
	out, err := answerer.Seal(encoded)
	if err != nil || fault == Unanswered {
		panic(http.ErrAbortHandler)
	}
	if fault == Garbled {
		out[len(out)-1] ^= 1
	}
	w.Write(out)
}

// decide is what vaultd does: token, binding, command, evaluation.
func (s *Server) decide(r *vaultapi.Request) *vaultapi.Answer {
	id, ok := s.check(r.Token, "vault")
	if !ok {
		return &vaultapi.Answer{Code: vaultapi.Unauthorised, Time: s.now()}
	}
	c := &vault.Command{Kind: vault.Request, Body: r.Body, Random: random()}
	var err error
	if c.Account, err = vaultapi.NewAccount(id.Issuer, id.Subject); err != nil {
		s.TB.Errorf("%v", err)
	}
	if id.Confirm.Thumbprint != "" {
		mine := token.Thumbprint(r.Key[:])
		if r.CheckBinding(s.Fleet) != nil || base64.RawURLEncoding.EncodeToString(mine[:]) != id.Confirm.Thumbprint {
			return &vaultapi.Answer{Code: vaultapi.Unauthorised, Time: s.now()}
		}
		copy(c.Who[:], mine[:])
	}
	s.decided = append(s.decided, r.Body.Type())
	switch body := r.Body.(type) {
	case *vaultapi.HardenBody:
		return s.harden(&vaultapi.Answer{Time: s.now(), Body: &vaultapi.Hardened{}}, body.Blinded2)
	case *vaultapi.HardenedAttemptBody:
		if s.hardware == nil || p256.Check(body.Blinded2) != nil {
			return &vaultapi.Answer{Code: vaultapi.Unsupported, Time: s.now()}
		}
		return s.harden(s.commit(c), body.Blinded2)
	}
	return s.commit(c)
}

func (s *Server) commit(c *vault.Command) *vaultapi.Answer {
	e := s.apply(c)
	if e.Evaluate != nil {
		s.evaluate(e)
	}
	return &e.Answer
}

func (s *Server) evaluate(e *vault.Effect) {
	z, proof, err := e.Evaluate.Key.Evaluate(rand.Reader, e.Evaluate.Blinded)
	if err != nil {
		s.TB.Errorf("evaluating: %v", err)
		return
	}
	body, ok := e.Answer.Body.(*vaultapi.Evaluation)
	if !ok {
		body = &e.Answer.Body.(*vaultapi.HardenedEvaluation).Evaluation
	}
	body.Evaluated, body.Proof = z.Bytes(), proof.Bytes()
}

// harden is what the vault does after the commit: it has its device evaluate, and is
// busy when that has no answer.
func (s *Server) harden(a *vaultapi.Answer, blinded [33]byte) *vaultapi.Answer {
	if s.hardware == nil || p256.Check(blinded) != nil {
		return &vaultapi.Answer{Code: vaultapi.Unsupported, Time: s.now()}
	}
	if a.Code != vaultapi.OK {
		return a
	}
	evaluate := s.Device
	if evaluate == nil {
		evaluate = p256.Evaluate
	}
	z, err := evaluate(s.hardware, blinded)
	if err != nil {
		return &vaultapi.Answer{Code: vaultapi.Busy, Time: s.now()}
	}
	switch body := a.Body.(type) {
	case *vaultapi.Hardened:
		body.Evaluated2 = z
	case *vaultapi.HardenedEvaluation:
		body.Evaluated2 = z
	}
	return a
}

type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Confirm  struct {
		Thumbprint string `json:"jkt,omitempty"`
	} `json:"cnf"`
}

// Token makes an access token; the zero key makes one that is bound to none.
func (s *Server) Token(subject, audience string, key [32]byte) string {
	c := claims{Issuer: issuer, Subject: subject, Audience: audience}
	if key != [32]byte{} {
		mine := token.Thumbprint(key[:])
		c.Confirm.Thumbprint = base64.RawURLEncoding.EncodeToString(mine[:])
	}
	payload, err := json.Marshal(c)
	if err != nil {
		s.TB.Fatal(err)
	}
	text := "e30." + base64.RawURLEncoding.EncodeToString(payload)
	return text + "." + s.mac(text)
}

func (s *Server) mac(text string) string {
	m := hmac.New(sha256.New, s.secret[:])
	m.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (s *Server) check(raw, audience string) (*claims, bool) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || parts[2] != s.mac(parts[0]+"."+parts[1]) {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return nil, false
	}
	return &c, c.Audience == audience
}

// line is a session of one device.
type line struct {
	key  [32]byte
	next string
}

func (s *Server) serveLogin(w http.ResponseWriter, body []byte) {
	var in struct{ Handle, Key string }
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	key, err := base64.RawURLEncoding.DecodeString(in.Key)
	if err != nil || len(key) != 32 {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	id := random()
	s.logins[hex.EncodeToString(id[:16])] = [32]byte(key)
	w.WriteHeader(http.StatusAccepted)
	json.NewEncoder(w).Encode(map[string]string{"login": hex.EncodeToString(id[:16])})
}

func (s *Server) serveCode(w http.ResponseWriter, login string, body []byte) {
	var in struct{ Code, Proof string }
	key, ok := s.logins[login]
	id, err := hex.DecodeString(login)
	if json.Unmarshal(body, &in) != nil || err != nil || !ok || in.Code != s.Code || !s.proves(key, in.Proof, token.LoginMessage(s.Issuer(), [16]byte(id), in.Code)) {
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	delete(s.logins, login)
	s.grant(w, &line{key: key})
}

// Issuer is the name that proofs are for.
func (s *Server) Issuer() string { return s.HTTP.URL }

func (s *Server) proves(key [32]byte, proof string, message []byte) bool {
	b, err := base64.RawURLEncoding.DecodeString(proof)
	return err == nil && ed25519.Verify(key[:], message, b)
}

// serveToken exchanges a refresh token once; the same request again is answered
// again until the successor was used.
func (s *Server) serveToken(w http.ResponseWriter, body []byte) {
	var in struct{ Refresh, Proof string }
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	l := s.lines[in.Refresh]
	if l == nil || !s.proves(l.key, in.Proof, token.RefreshMessage(s.Issuer(), in.Refresh)) {
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	s.grant(w, l)
}

func (s *Server) grant(w http.ResponseWriter, l *line) {
	if l.next == "" {
		b := random()
		l.next = hex.EncodeToString(b[:])
		s.lines[l.next] = &line{key: l.key}
	}
	json.NewEncoder(w).Encode(map[string]any{
		"refresh": l.next, "expires": "2030-01-01T00:00:00Z",
		"tokens": map[string]string{"chatd": s.Token(s.Subject, "chatd", l.key), "vault": s.Token(s.Subject, "vault", l.key)},
	})
}

// EndSessions has every device log in again.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.lines)
}
