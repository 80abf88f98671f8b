package fakedrive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The client that SignIn uses; the consent page and the token endpoint take
// any client id and hold it to the secret it came with first.
const (
	ClientID     = "keepsake-test.apps.googleusercontent.com"
	ClientSecret = "not-a-secret-of-anybody"
)

const scopePrefix = "https://www.googleapis.com/auth/"

// consent is a code between the consent page and the token endpoint.
type consent struct {
	client, redirect, challenge string
	scopes                      []string
}

// grant is what a person allowed an app.
type grant struct {
	client, refresh string
	scopes          []string
	revoked         bool
}

// token is an access token.
type token struct {
	grant *grant
	until time.Time
}

func (g *grant) may(scopes ...string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool { return slices.Contains(g.scopes, scopePrefix+scope) })
}

// sees says whether a space is open to the app at all.
func (g *grant) sees(space string) bool {
	if space == spaceAppData {
		return g.may("drive.appdata", "drive.appfolder")
	}
	return g.may("drive", "drive.file", "drive.readonly")
}

// maySee: an app sees its own hidden folder, and of the rest what its scope
// gives it: with drive.file only what it made itself.
func (g *grant) maySee(f *file, root string) bool {
	switch {
	case f.space == spaceAppData:
		return g.sees(spaceAppData) && f.app == g.client
	case g.may("drive", "drive.readonly"):
		return true
	default:
		return g.may("drive.file") && f.app == g.client && f.id != root
	}
}

func (g *grant) mayWrite(space string) bool {
	return g.sees(space) && (space == spaceAppData || g.may("drive", "drive.file"))
}

// SignIn is what a person's consent would leave in rclone's option "token":
// an account of ClientID with these scopes ("drive", "drive.file",
// "drive.appfolder", …), "drive" if none.
func (s *Server) SignIn(scopes ...string) string {
	if len(scopes) == 0 {
		scopes = []string{"drive"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.newGrant(ClientID, scopes)
	access := s.newToken(g)
	text, _ := json.Marshal(map[string]any{ // strings and a time: never fails
		"access_token": access, "token_type": "Bearer", "refresh_token": g.refresh,
		"expiry": s.config.Now().Add(s.config.TokenLife).Format(time.RFC3339Nano),
	})
	return string(text)
}

func (s *Server) newGrant(client string, scopes []string) *grant {
	g := &grant{client: client, refresh: s.id("1//0")}
	for _, scope := range scopes {
		g.scopes = append(g.scopes, scopePrefix+strings.TrimPrefix(scope, scopePrefix))
	}
	s.grants[g.refresh] = g
	return g
}

func (s *Server) newToken(g *grant) string {
	access := s.id("ya29.")
	s.tokens[access] = &token{grant: g, until: s.config.Now().Add(s.config.TokenLife)}
	return access
}

// ExpireTokens makes every access token worthless before its time; refresh
// tokens stay good.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Revoke is the person removing the app's access in their Google account.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
	for _, g := range s.grants {
		g.revoked = true
	}
}

// DenyConsent lets the consent page answer as if the person had said no.
func (s *Server) DenyConsent(deny bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny = deny
}

// authorize finds whose request it is.
func (s *Server) authorize(r *http.Request) (*grant, error) {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errNoLogin
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[bearer]
	if t == nil || t.grant.revoked || !s.config.Now().Before(t.until) {
		return nil, errCredentials
	}
	return t.grant, nil
}

// consentPages is accounts.google.com: a person who agrees at once.
func (s *Server) consentPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /o/oauth2/auth", s.consentPage)
	mux.HandleFunc("GET /o/oauth2/v2/auth", s.consentPage)
	mux.HandleFunc("/", s.foreign)
	return mux
}

func (s *Server) consentPage(w http.ResponseWriter, r *http.Request) {
	if s.judge(OpConsent, r).suffer(w, r) {
		return
	}
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case err != nil || !isLoopback(back):
		http.Error(w, "Error 400: redirect_uri_mismatch", http.StatusBadRequest)
	case q.Get("client_id") == "" || q.Get("response_type") != "code" || q.Get("scope") == "":
		http.Error(w, "Error 400: invalid_request", http.StatusBadRequest)
	default:
		answer := back.Query()
		s.decide(q, answer)
		answer.Set("state", q.Get("state"))
		back.RawQuery = answer.Encode()
		http.Redirect(w, r, back.String(), http.StatusFound)
	}
}

// isLoopback: the one kind of redirect an installed app has (native-app).
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (ip != nil && ip.IsLoopback() || u.Hostname() == "localhost")
}

func (s *Server) decide(asked, answer url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deny {
		answer.Set("error", "access_denied")
		return
	}
	code := s.id("4/0")
	s.consents[code] = consent{
		client: asked.Get("client_id"), redirect: asked.Get("redirect_uri"),
		challenge: asked.Get("code_challenge"), scopes: strings.Fields(asked.Get("scope")),
	}
	answer.Set("code", code)
	answer.Set("scope", asked.Get("scope"))
}

// tokenEndpoint is oauth2.googleapis.com.
func (s *Server) tokenEndpoint() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.tokenRequest)
	mux.HandleFunc("POST /revoke", s.revokeRequest)
	mux.HandleFunc("/", s.foreign)
	return mux
}

func (s *Server) tokenRequest(w http.ResponseWriter, r *http.Request) {
	f := s.judge(OpToken, r)
	if f.suffer(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		panic(http.ErrAbortHandler)
	}
	if id, secret, ok := r.BasicAuth(); ok { // RFC 6749 section 2.3.1; golang.org/x/oauth2 tries this first
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		r.PostForm.Set("client_id", id)
		r.PostForm.Set("client_secret", secret)
	}
	code, answer := s.redeem(r.PostForm)
	if f.CutAnswer {
		w = &cutAnswer{w, f.At}
	}
	answerJSON(w, code, answer)
}

// redeem gives tokens for a code or a refresh token (RFC 6749 sections 4.1.3
// and 6; errors of section 5.2 with Google's descriptions).
func (s *Server) redeem(form url.Values) (status int, answer map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := form.Get("client_id")
	if client == "" || client == ClientID && form.Get("client_secret") != ClientSecret {
		return oauthError(401, "invalid_client", "Unauthorized")
	}
	var g *grant
	answer = map[string]any{"token_type": "Bearer", "expires_in": int(s.config.TokenLife / time.Second)}
	switch form.Get("grant_type") {
	case "authorization_code":
		c, ok := s.consents[form.Get("code")]
		delete(s.consents, form.Get("code")) // good once
		if !ok || c.client != client || !c.proved(form.Get("code_verifier")) {
			return oauthError(400, "invalid_grant", "Malformed auth code.")
		}
		if c.redirect != form.Get("redirect_uri") {
			return oauthError(400, "redirect_uri_mismatch", "Bad Request")
		}
		g = s.newGrant(c.client, c.scopes)
		answer["refresh_token"] = g.refresh
	case "refresh_token":
		g = s.grants[form.Get("refresh_token")]
		if g == nil || g.revoked {
			return oauthError(400, "invalid_grant", "Token has been expired or revoked.")
		}
	default:
		return oauthError(400, "unsupported_grant_type", "Invalid grant_type: "+form.Get("grant_type"))
	}
	if g.client != client {
		return oauthError(401, "unauthorized_client", "Unauthorized")
	}
	answer["access_token"], answer["scope"] = s.newToken(g), strings.Join(g.scopes, " ")
	return 200, answer
}

// proved checks a code verifier (RFC 7636 section 4.6, method S256).
func (c consent) proved(verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return c.challenge == "" || c.challenge == base64.RawURLEncoding.EncodeToString(sum[:])
}

func oauthError(status int, code, description string) (int, map[string]any) {
	return status, map[string]any{"error": code, "error_description": description}
}

func (s *Server) revokeRequest(w http.ResponseWriter, r *http.Request) {
	if s.judge(OpRevoke, r).suffer(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	text := r.FormValue("token")
	s.mu.Lock()
	g := s.grants[text]
	if t := s.tokens[text]; t != nil {
		g = t.grant
	}
	if g != nil {
		g.revoked = true
	}
	s.mu.Unlock()
	if g == nil {
		answerJSON(w, 400, map[string]any{"error": "invalid_token", "error_description": "Token expired or revoked"})
		return
	}
	answerJSON(w, 200, map[string]any{})
}
