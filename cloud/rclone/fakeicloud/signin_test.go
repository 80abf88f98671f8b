package fakeicloud_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rclone/rclone/fs/config/configmap"

	"keepsake.example/cloud/rclone/fakeicloud"
)

func wantError(t *testing.T, what string, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("%s: %v; want %q in it", what, err, part)
	}
}

func TestSignIn(t *testing.T) {
	for name, a := range map[string]fakeicloud.Account{
		"s2k":          {},
		"s2k_fo":       {Protocol: "s2k_fo"},
		"conflict 409": {Conflict409: true},
	} {
		t.Run(name, func(t *testing.T) {
			a.AppleID, a.Password = person, password
			s := start(t, a)
			m := options(password)
			signIn(t, s, m)
			if m["trust_token"] == "" || m["cookies"] == "" {
				t.Errorf("after signing in rclone has %q", m)
			}
			list(t, open(t, m, ""), "")
		})
	}
}

func TestWrongPassword(t *testing.T) {
	s := start(t)
	_, err := step(t, options("wrong"), "", "")
	wantError(t, "a wrong password", err, "-20101")
	m := options(password)
	m["apple_id"] = "nobody@example.com"
	_, err = step(t, m, "", "")
	wantError(t, "an unknown person", err, "-20101")
	for range 4 {
		_, err = step(t, options("wrong"), "", "")
		wantError(t, "a wrong password", err, "-20101")
	}
	_, err = step(t, options(password), "", "")
	wantError(t, "too many tries", err, "HTTP error 503")
	s.Lock(person, false)
	signIn(t, s, options(password))
}

func TestLockedAccount(t *testing.T) {
	s := start(t)
	s.Lock(person, true)
	_, err := step(t, options(password), "", "")
	// rclone says this of every 403; the account's password is right.
	wantError(t, "a locked account", err, "incorrect username or password")
}

func TestWrongCode(t *testing.T) {
	s := start(t)
	m := options(password)
	out, err := step(t, m, "", "")
	if err != nil {
		t.Fatal(err)
	}
	code := s.Code(person)
	wrong := "000000"
	if code == wrong {
		wrong = "000001"
	}
	_, err = step(t, m, out.State, wrong)
	wantError(t, "a wrong code", err, "-21669")
	state := m["_auth_session"]
	if _, err = step(t, m, out.State, code); err != nil {
		t.Errorf("the right code after a wrong one: %v", err)
	}
	m["_auth_session"] = state
	_, err = step(t, m, out.State, code)
	wantError(t, "a code used twice", err, "-21669")
	if out, err = step(t, m, "", ""); err != nil {
		t.Fatal(err)
	}
	_, err = step(t, m, out.State, code)
	wantError(t, "a code of before", err, "-21669")
}

func TestTextMessage(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, NoDevices: true, Phones: []string{"+1 555 0123"}})
	m := options(password)
	out, err := step(t, m, "", "")
	if err != nil || out == nil || !strings.Contains(out.Option.Help, "23") {
		t.Fatalf("signing in without devices gave %+v, %v", out, err)
	}
	if _, err := step(t, m, out.State, s.Text(person)); err != nil {
		t.Fatal(err)
	}
	list(t, open(t, m, ""), "")
}

func TestSeveralPhones(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, Phones: []string{"+1 555 0101", "+1 555 0102"}})
	m := options(password)
	out, err := step(t, m, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if out, err = step(t, m, out.State, "sms"); err != nil || len(out.Option.Examples) != 2 {
		t.Fatalf("asking for a text message gave %+v, %v", out, err)
	}
	if out, err = step(t, m, out.State, out.Option.Examples[1].Value); err != nil {
		t.Fatal(err)
	}
	if _, err := step(t, m, out.State, s.Text(person)); err != nil {
		t.Fatal(err)
	}
}

// TestTrust: the next process needs no code while the browser is trusted, and
// one when it is not.
func TestTrust(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	m["cookies"] = ""
	list(t, open(t, m, ""), "")
	s.EndTrust()
	m["cookies"] = ""
	start2 := options(password) // a process with no cache of where the services are
	start2["trust_token"] = m["trust_token"]
	forgetCache(t)
	_, err := openErr(t, start2, "")
	wantError(t, "an expired trust token", err, "trust token expired")
}

// TestExpiredSession shows why package rclone opens a back end anew: rclone
// 1.76 never signs in again by itself while it has cookies.
func TestExpiredSession(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	f := open(t, m, "R")
	put(t, f, "one", []byte("1"))
	s.EndSessions()
	_, err := f.List(t.Context(), "")
	wantError(t, "an ended session", err, "HTTP error 421")
	if n := s.Stats().Requests["POST complete"]; n != 1 {
		t.Errorf("rclone proved the password %d times: it learned to sign in again, and cloud/rclone can do with less", n)
	}
	m["cookies"] = ""
	forgetCache(t)
	if got := list(t, open(t, m, "R"), ""); len(got) != 1 {
		t.Errorf("after signing in again: %v", got)
	}
	if n := s.Stats().Requests["POST complete"]; n != 2 {
		t.Errorf("the password was proved %d times, want twice", n)
	}
}

func TestProtectedData(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, Protected: true})
	s.Approve(person)
	m := options(password)
	signIn(t, s, m)
	put(t, open(t, m, "R"), "one", []byte("1"))
	if n := s.Stats().Requests["POST requestPCS"]; n != 1 {
		t.Errorf("%d requests for the cookie of protected data, want one", n)
	}
}

func signedIn(t *testing.T, s *fakeicloud.Server) configmap.Simple {
	t.Helper()
	m := options(password)
	signIn(t, s, m)
	return m
}

// TestBeforeThePassword: nothing but the beginning is open to who has not
// proved the password.
func TestBeforeThePassword(t *testing.T) {
	s := start(t)
	m := options("wrong")
	_, _ = step(t, m, "", "")
	if n := s.Stats().Requests["GET auth"]; n != 0 {
		t.Fatalf("rclone went on after a wrong password: %d", n)
	}
	b := &web{t: t, client: s.Client()}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://idmsa.apple.com/appleauth/auth/authorize/signin?client_id="+m["client_id"], nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "https://idmsa.apple.com/appleauth/auth", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Scnt": resp.Header["Scnt"], "X-Apple-Widget-Key": {m["client_id"]}}
	req.Header.Set("X-Apple-Id-Session-Id", resp.Header.Get("X-Apple-Id-Session-Id"))
	if resp, err = b.client.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the trusted numbers are shown to anybody: %s", resp.Status)
	}
}
