package fakedrive_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/cloud/rclone/fakedrive"
)

const tokenURL = "https://oauth2.googleapis.com/token"

// form posts one as an app's developer would.
func (a *app) form(url string, values ...string) (int, map[string]any) {
	a.t.Helper()
	resp, err := a.client.PostForm(url, pairs(values))
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		a.t.Fatalf("%s: %v", body, err)
	}
	return resp.StatusCode, answer
}

func pairs(values []string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		v.Set(values[i], values[i+1])
	}
	return v
}

// consent is a browser that opens the page and ends where it is sent: at an
// app that listens on loopback.
func (a *app) consent(values ...string) (redirect string, answer url.Values) {
	a.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer = r.URL.Query() }))
	defer server.Close()
	v := pairs(values)
	v.Set("redirect_uri", server.URL+"/back")
	resp, err := a.client.Get("https://accounts.google.com/o/oauth2/auth?" + v.Encode())
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
	return server.URL + "/back", answer
}

func TestConsent(t *testing.T) {
	a := start(t, fakedrive.Config{})
	proof := sha256.Sum256([]byte("verifier"))
	back, answer := a.consent("client_id", "another", "response_type", "code", "state", "s", "scope",
		"https://www.googleapis.com/auth/drive.file", "code_challenge", base64.RawURLEncoding.EncodeToString(proof[:]))
	code := answer.Get("code")
	if answer.Get("state") != "s" || code == "" {
		t.Fatalf("the redirect brought %v", answer)
	}
	redeem := []string{"grant_type", "authorization_code", "client_id", "another", "redirect_uri", back, "code", code}
	status, tokens := a.form(tokenURL, append(redeem, "code_verifier", "verifier")...)
	if status != 200 || tokens["refresh_token"] == nil || tokens["expires_in"] != 3599.0 {
		t.Fatalf("the code gave %d %v", status, tokens)
	}
	if status, again := a.form(tokenURL, "grant_type", "refresh_token", "refresh_token", tokens["refresh_token"].(string)); status != 401 || again["error"] != "invalid_client" {
		t.Errorf("without a client: %d %v", status, again)
	}
	if status, again := a.form(tokenURL, append(redeem, "code_verifier", "verifier")...); status != 400 || again["error"] != "invalid_grant" {
		t.Errorf("the code was good twice: %d %v", status, again)
	}
	a.file("not-of-it", "root", nil)
	a.bearer = tokens["access_token"].(string)
	a.wantNames("") // drive.file: only what it made itself
	a.file("mine", "root", nil)
	a.wantNames("", "mine")
}

func TestConsentRefused(t *testing.T) {
	a := start(t, fakedrive.Config{})
	asked := []string{"client_id", "c", "response_type", "code", "state", "s", "scope", "x"}
	a.server.DenyConsent(true)
	_, answer := a.consent(asked...)
	if !cmp.Equal(answer, url.Values{"error": {"access_denied"}, "state": {"s"}}) {
		t.Errorf("denied: %v", answer)
	}
	a.server.DenyConsent(false)
	back, answer := a.consent(append(asked, "code_challenge", "of-something-else")...)
	status, body := a.form(tokenURL, "grant_type", "authorization_code", "client_id", "c", "redirect_uri", back, "code", answer.Get("code"), "code_verifier", "v")
	if status != 400 || body["error"] != "invalid_grant" {
		t.Errorf("a wrong verifier: %d %v", status, body)
	}
	for _, page := range []string{"redirect_uri=https://example.com&client_id=c&response_type=code&scope=x", "redirect_uri=http://127.0.0.1:1/&scope=x"} {
		resp, err := a.client.Get("https://accounts.google.com/o/oauth2/v2/auth?" + page)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s = %d", page, resp.StatusCode)
		}
	}
}

func refreshOf(t *testing.T, token string) string {
	t.Helper()
	var blob struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(token), &blob); err != nil {
		t.Fatal(err)
	}
	return blob.Refresh
}

func TestRefresh(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := start(t, fakedrive.Config{Now: func() time.Time { return now }})
	blob := a.server.SignIn("drive")
	a.bearer = access(t, blob)
	refresh := []string{"grant_type", "refresh_token", "refresh_token", refreshOf(t, blob), "client_id", fakedrive.ClientID, "client_secret"}
	now = now.Add(time.Hour)
	if got := reason(a.want(401, "GET", filesURL, nil)); got != "authError" {
		t.Errorf("an old token: %s", got)
	}
	status, body := a.form(tokenURL, append(refresh, fakedrive.ClientSecret)...)
	if _, rotated := body["refresh_token"]; status != 200 || rotated {
		t.Fatalf("refreshing: %d %v", status, body)
	}
	a.bearer = body["access_token"].(string)
	a.wantNames("")
	if status, body := a.form(tokenURL, append(refresh, "wrong")...); status != 401 || body["error"] != "invalid_client" {
		t.Errorf("a wrong secret: %d %v", status, body)
	}
	a.server.Revoke()
	status, body = a.form(tokenURL, append(refresh, fakedrive.ClientSecret)...)
	want := map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
	if status != 400 || !cmp.Equal(body, want) {
		t.Errorf("revoked: %d %v", status, body)
	}
	a.want(401, "GET", filesURL, nil)
}

// TestBasic: a client may say who it is in a header.
func TestBasic(t *testing.T) {
	a := start(t, fakedrive.Config{})
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshOf(t, a.server.SignIn("drive"))}}
	req, err := http.NewRequestWithContext(t.Context(), "POST", tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(fakedrive.ClientID), url.QueryEscape(fakedrive.ClientSecret))
	resp, err := a.client.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("refreshing: %v %v", resp, err)
	}
	resp.Body.Close()
}

func TestRevokeByApp(t *testing.T) {
	a := start(t, fakedrive.Config{})
	if status, body := a.form("https://oauth2.googleapis.com/revoke", "token", a.bearer); status != 200 {
		t.Errorf("revoking: %d %v", status, body)
	}
	a.want(401, "GET", filesURL, nil)
	if status, _ := a.form("https://oauth2.googleapis.com/revoke", "token", "none"); status != 400 {
		t.Errorf("a token nobody has: %d", status)
	}
}
