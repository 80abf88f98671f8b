package account_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/lib/oauthutil"
	"golang.org/x/oauth2"

	"keepsake.example/cloud/rclone/account"
)

// strict is a provider that gives a new refresh token each time, and takes access back when an
// old one is used (RFC 9700 section 4.14.2).
type strict struct {
	mu       sync.Mutex
	refresh  string
	given    int
	revoked  bool
	life     time.Duration
	refusing bool
}

func (p *strict) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(20 * time.Millisecond) // long enough for others to come meanwhile
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.FormValue("refresh_token") != p.refresh || p.revoked || p.refusing {
		p.revoked = p.revoked || !p.refusing
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	p.given++
	p.refresh = fmt.Sprint("refresh-", p.given)
	fmt.Fprintf(w, `{"access_token":"access-%d","refresh_token":%q,"token_type":"Bearer","expires_in":%d}`, p.given, p.refresh, int(p.life.Seconds()))
}

func token(t testing.TB, access, refresh string, expiry time.Time) string {
	t.Helper()
	text, err := json.Marshal(oauth2.Token{AccessToken: access, RefreshToken: refresh, TokenType: "Bearer", Expiry: expiry})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// source is what one process has: rclone's own source of tokens over the account.
func source(t testing.TB, dir, url string, lease time.Duration) *oauthutil.TokenSource {
	t.Helper()
	a := account.Open(dir, nil)
	a.SetLease(lease)
	c, err := a.Config(t.Context(), destination(t, "onedrive"))
	if err != nil {
		t.Fatal(err)
	}
	_, ts, err := oauthutil.NewClientWithBaseClient(t.Context(), "x", c.Mapper, &oauthutil.Config{ClientID: "id", TokenURL: url, AuthStyle: oauth2.AuthStyleInParams}, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// Eight processes find the token expired at once: one refreshes it, and the refresh token that
// counts is kept.
func TestRefreshIsDoneOnce(t *testing.T) {
	p := &strict{refresh: "refresh-0", life: time.Hour}
	server := httptest.NewServer(p)
	defer server.Close()
	dir := t.TempDir()
	for round := range 3 {
		imported(t, account.Open(dir, nil), "onedrive", account.InFile, map[string]string{"token": token(t, "old", p.refresh, time.Now().Add(-time.Hour))})
		var wait sync.WaitGroup
		for range 8 {
			ts := source(t, dir, server.URL, time.Minute)
			wait.Go(func() {
				if got, err := ts.Token(); err != nil || got.AccessToken != fmt.Sprint("access-", round+1) {
					t.Errorf("round %d: %v, %v", round, got, err)
				}
			})
		}
		wait.Wait()
		if p.given != round+1 || p.revoked {
			t.Fatalf("round %d: %d tokens given, revoked %v", round, p.given, p.revoked)
		}
		var kept oauth2.Token
		if err := json.Unmarshal([]byte(options(t, account.Open(dir, nil), "onedrive", "token")["token"]), &kept); err != nil || kept.RefreshToken != p.refresh {
			t.Errorf("round %d: %v, %v", round, kept, err)
		}
	}
}

// A refresh that never ends holds up the others for the lease only.
func TestLeaseEnds(t *testing.T) {
	const short = 100 * time.Millisecond
	p := &strict{refresh: "refresh-0", life: time.Hour, refusing: true}
	server := httptest.NewServer(p)
	defer server.Close()
	dir := t.TempDir()
	expired := map[string]string{"token": token(t, "old", p.refresh, time.Now().Add(-time.Hour))}
	imported(t, account.Open(dir, nil), "onedrive", account.InFile, expired)
	first := account.Open(dir, nil)
	first.SetLease(short)
	c, err := first.Config(t.Context(), destination(t, "onedrive"))
	if err != nil {
		t.Fatal(err)
	}
	c.Mapper.Get("token") // and no more is heard of it
	if _, err := source(t, dir, server.URL, short).Token(); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Error(err)
	}
	p.refusing = false
	if got, err := source(t, dir, server.URL, short).Token(); err == nil && got.AccessToken == "access-1" {
		return
	}
	t.Error("a lease that was not let go holds up others for ever")
}

// What a back end sets is there for the next process; an older token is not put over a newer one,
// one that is declared expired is.
func TestSet(t *testing.T) {
	dir, r := t.TempDir(), newRing()
	a := account.Open(dir, r)
	now := time.Now().UTC()
	imported(t, a, "icloud", "", map[string]string{"token": token(t, "new", "r2", now.Add(time.Hour)), "cookies": "a"})
	c, err := a.Config(t.Context(), destination(t, "icloud"))
	if err != nil {
		t.Fatal(err)
	}
	asked := r.asked
	c.Mapper.Set("cookies", "b")
	c.Mapper.Set("token", token(t, "old", "r1", now.Add(time.Minute)))
	if r.asked != asked {
		t.Errorf("the keyring was asked %d times more", r.asked-asked)
	}
	got := options(t, account.Open(dir, r), "icloud", "cookies", "token")
	if got["cookies"] != "b" || !strings.Contains(got["token"], `"new"`) {
		t.Errorf("%v", got)
	}
	c.Mapper.Set("token", token(t, "new", "r2", now.Add(-time.Hour)))
	hurried := account.Open(dir, r) // it asks for an expired token, and does not refresh it
	hurried.SetLease(time.Millisecond)
	if got := options(t, hurried, "icloud", "token"); !strings.Contains(got["token"], now.Add(-time.Hour).UTC().Format("15:04:05")) {
		t.Errorf("declared expired, it is %v", got)
	}
	c.Mapper.Set("token", token(t, "newer", "r3", now.Add(2*time.Hour)))
	if got := options(t, account.Open(dir, r), "icloud", "token"); !strings.Contains(got["token"], "newer") {
		t.Errorf("%v", got)
	}
	if v, ok := c.Mapper.Get("token"); !ok || !strings.Contains(v, "newer") {
		t.Errorf("%q", v)
	}
}

// A token that cannot be kept is told, and holds for this process.
func TestSetFails(t *testing.T) {
	dir := t.TempDir()
	a := account.Open(dir, nil)
	var warned []string
	a.Warn = func(text string) { warned = append(warned, text) }
	imported(t, a, "icloud", "", map[string]string{"cookies": "a"})
	c, err := a.Config(t.Context(), destination(t, "icloud"))
	if err != nil {
		t.Fatal(err)
	}
	path, _ := textOf(t, dir)
	if err := os.Remove(path); err != nil { // as logout does
		t.Fatal(err)
	}
	c.Mapper.Set("cookies", "b")
	if v, _ := c.Mapper.Get("cookies"); v != "b" {
		t.Errorf("%q", v)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "keepsake cloud login icloud") || strings.Contains(warned[0], `"b"`) {
		t.Errorf("%q", warned)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.json")); len(left) != 0 {
		t.Errorf("a sign-in that was removed is back: %v", left)
	}
	if _, err := a.Config(t.Context(), destination(t, "icloud")); !errors.Is(err, account.ErrNotLoggedIn) {
		t.Error(err)
	}
}
