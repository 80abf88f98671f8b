package chatd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/internal/clocktest"
	"keepsake.example/token"
)

func TestOnlyTLS13AndHTTP2(t *testing.T) {
	k := newKit(t, 1)
	addr := strings.TrimPrefix(k.url, "https://")
	base := k.client.Transport.(*http.Transport).TLSClientConfig
	old := base.Clone()
	old.MaxVersion, old.NextProtos = tls.VersionTLS12, []string{"h2"}
	if conn, err := tls.Dial("tcp", addr, old); err == nil {
		conn.Close()
		t.Error("TLS 1.2: connected")
	}
	for _, protocols := range [][]string{nil, {"http/1.1"}} {
		c := base.Clone()
		c.NextProtos, c.ServerName = protocols, "127.0.0.1"
		conn := must(tls.Dial("tcp", addr, c))
		fmt.Fprintf(conn, "GET /v1/bundle HTTP/1.1\r\nHost: x\r\n\r\n")
		if text, _ := io.ReadAll(conn); strings.Contains(string(text), "HTTP/1.1 200") {
			t.Errorf("got %q", text)
		}
		conn.Close()
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	k := newKit(t, 1)
	k.expect(k.do(http.MethodGet, "/", nil), 404, "path")
	k.expect(k.do(http.MethodGet, "/v1/vault/x", nil), 404, "path")
	k.expect(k.do(http.MethodGet, "/metrics", nil), 404, "path")
	g := k.do(http.MethodGet, "/v1/vault", nil)
	k.expect(g, 405, "method")
	if g.header.Get("Allow") != "POST" {
		t.Error(g.header)
	}
}

func TestOversizedHeaderIsRefused(t *testing.T) {
	k := newKit(t, 1)
	g, err := k.try(http.MethodGet, "/v1/bundle", nil, "X", strings.Repeat("x", 64<<10))
	if err == nil && g.status < 400 {
		t.Errorf("status %d", g.status)
	}
	k.expect(k.do(http.MethodGet, "/v1/bundle", nil), 200, "")
}

// A body that trickles in keeps its place for the body timeout and no longer.
func TestSlowBodyIsGivenUp(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.BodyTimeout = 200 * time.Millisecond })
	body, feed := io.Pipe()
	defer feed.Close()
	req := must(http.NewRequest(http.MethodPost, k.url+"/v1/vault", body))
	req.Header.Set("Content-Type", octets)
	req.Header.Set("Authorization", "Bearer "+k.token("ann"))
	go feed.Write(request[:100])
	res, err := k.client.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	if k.vaults[0].count() != 0 {
		t.Error("relayed")
	}
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.HeaderTimeout = 100 * time.Millisecond })
	conn := must(net.Dial("tcp", strings.TrimPrefix(k.url, "https://")))
	defer conn.Close()
	// The test's own limit is far away: what ends the wait is the server.
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Errorf("got %v", err)
	}
}

func TestConnectionsAreLimitedByAddress(t *testing.T) {
	for what, change := range map[string]func(*kit){
		"address": func(k *kit) { k.c.Limits.ConnectionsPerAddress = 3 },
		"all":     func(k *kit) { k.c.Limits.Connections = 3 },
	} {
		k := newKit(t, 1, change)
		addr := strings.TrimPrefix(k.url, "https://")
		config := k.client.Transport.(*http.Transport).TLSClientConfig.Clone()
		config.NextProtos = []string{"h2"}
		var open []*tls.Conn
		for range 3 {
			open = append(open, must(tls.Dial("tcp", addr, config)))
		}
		if conn, err := tls.Dial("tcp", addr, config); err == nil {
			conn.Close()
			t.Errorf("%s: a fourth", what)
		}
		if _, text := k.look("/metrics"); !strings.Contains(text, `chatd_connections_refused_total{reason="`+what+`"} 1`) || !strings.Contains(text, "chatd_connections 3") {
			t.Error("not counted")
		}
		for _, c := range open {
			c.Close()
		}
		for { // the server notices in its own time
			if conn, err := tls.Dial("tcp", addr, config); err == nil {
				conn.Close()
				break
			}
			runtime.Gosched()
		}
	}
}

func TestDrainSaysSoFirstAndAnswersWhatIsUnderWay(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.DrainDelay = 300 * time.Millisecond })
	arrived, release := make(chan bool), make(chan bool)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-release
		w.Write(reply)
	})
	k.ready()
	answered := make(chan *got)
	go func() {
		g, err := k.try(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+k.token("ann"))
		if err != nil {
			t.Error(err)
		}
		answered <- g
	}()
	<-arrived
	k.stop()
	for { // not ready while it still serves
		if status, _ := k.look("/readyz"); status == 503 {
			break
		}
		runtime.Gosched()
	}
	if status, _ := k.look("/healthz"); status != 200 {
		t.Error("not healthy while draining")
	}
	close(release)
	if g := <-answered; g == nil || g.status != 200 {
		t.Errorf("the request under way got %+v", g)
	}
	if err := k.end(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(k.url, "https://")); err == nil {
		t.Error("it still listens")
	}
}

// ready has the bundle fetched, as a client does, and waits for the issuer's keys.
func (k *kit) ready() {
	k.t.Helper()
	k.expect(k.do(http.MethodGet, "/v1/bundle", nil), 200, "")
	for k.server.Ready() != nil {
		runtime.Gosched()
	}
}

func TestReadiness(t *testing.T) {
	k := newKit(t, 1)
	k.ready()
	if status, text := k.look("/readyz"); status != 200 || text != "ready\n" {
		t.Errorf("%d %s", status, text)
	}
	if _, text := k.look("/metrics"); !strings.Contains(text, "chatd_ready 1") {
		t.Error("not published")
	}
}

// A balancer that looks waits for no vaultd, and no vaultd hears of it: not of one
// that looks before the first bundle, and not while a fetch hangs.
func TestLookingAsksNobody(t *testing.T) {
	asked, release := make(chan bool), make(chan bool)
	k := newKit(t, 1, func(k *kit) {
		k.c.Limits.TryTimeout = time.Hour
		k.vaults[0].Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			select {
			case asked <- true:
				<-release
			case <-release:
			}
		})
	})
	end := sync.OnceFunc(func() { close(release) })
	defer end()
	look := func() {
		t.Helper()
		if status, text := k.look("/readyz"); status != 503 {
			t.Errorf("%d %s", status, text)
		}
		if _, text := k.look("/status"); !strings.Contains(text, `"bundle_age_seconds": -1`) {
			t.Error(text)
		}
		if _, text := k.look("/metrics"); !strings.Contains(text, "chatd_ready 0") || !strings.Contains(text, "chatd_bundle_age_seconds -1") {
			t.Error("not published")
		}
	}
	look()
	client := make(chan *got)
	go func() {
		g, err := k.try(http.MethodGet, "/v1/bundle", nil)
		if err != nil {
			t.Error(err)
		}
		client <- g
	}()
	<-asked
	look()
	end()
	<-client
}

// Nobody has to ask for the bundle, which is there when a probe was answered.
func TestReadyByItself(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.ProbeEvery = time.Millisecond })
	for k.server.Ready() != nil {
		runtime.Gosched()
	}
	if k.vaults[0].bundles.Load() == 0 {
		t.Error("ready without a bundle")
	}
}

func TestNotReadyWithoutVault(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.vaults[0].Close() })
	if status, _ := k.look("/readyz"); status != 503 {
		t.Error(status)
	}
	k.expect(k.do(http.MethodGet, "/v1/bundle", nil), 503, "vault")
}

func TestNotReadyWithoutTheIssuersKeys(t *testing.T) {
	silent := must(token.URL(token.Remote{URL: "https://127.0.0.1:1/"}))
	k := newKit(t, 1, func(k *kit) { k.c.Relay.Issuers[0].Keys = silent })
	if status, _ := k.look("/readyz"); status != 503 {
		t.Error(status)
	}
	k.expect(k.send("ann"), 401, "token")
}

func TestMetricsCountWhatHappened(t *testing.T) {
	k := newKit(t, 1)
	k.send("ann")
	k.do(http.MethodPost, "/v1/vault", request, "Content-Type", octets)
	k.login("ann@example.com")
	k.server.CodeSent(errors.New("no way"))
	k.do(http.MethodGet, "/v1/bundle", nil)
	_, text := k.look("/metrics")
	for _, want := range []string{
		`chatd_requests_total{route="vault",status="200"} 1`, `chatd_requests_total{route="vault",status="401"} 1`, `chatd_relays_total{outcome="answered"} 1`,
		`chatd_refused_total{reason="token"} 1`, `chatd_logins_total{outcome="ok",step="code"} 1`, `chatd_logins_total{outcome="failed",step="send"} 1`,
		`chatd_audit_lines_total{outcome="ok"} 3`, `chatd_request_seconds_count{route="vault"} 2`, `chatd_tries_total{outcome="ok",vault="0"}`,
		`chatd_bundle_fetches_total{outcome="ok"}`, `chatd_certificate_expires_seconds`, `chatd_bundle_age_seconds`, `go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for what, change := range map[string]func(*chatd.Config){
		"no role":        func(c *chatd.Config) { c.Relay, c.Issuer = nil, nil },
		"no certificate": func(c *chatd.Config) { c.Certificate = nil },
		"no audit":       func(c *chatd.Config) { c.Audit = nil },
		"no name key":    func(c *chatd.Config) { c.Names = chatd.NameKey{} },
		"no vaults":      func(c *chatd.Config) { c.Relay = &chatd.Relay{Issuers: c.Relay.Issuers} },
		"no issuers":     func(c *chatd.Config) { c.Relay = &chatd.Relay{Vaults: c.Relay.Vaults} },
		"plain vault": func(c *chatd.Config) {
			c.Relay = &chatd.Relay{Issuers: c.Relay.Issuers, Vaults: []chatd.Vault{{URL: "http://vault.example"}}}
		},
		"short header": func(c *chatd.Config) { c.Limits.Header = 1024 },
		"cut answers":  func(c *chatd.Config) { c.Limits.WriteTimeout = c.Limits.RelayTimeout },
		"no relays":    func(c *chatd.Config) { c.Limits.Relays = -1 },
		"no time":      func(c *chatd.Config) { c.Limits.TryTimeout = -1 },
	} {
		k := prepareKit(t, 1)
		k.c.Limits = chatd.DefaultLimits()
		change(&k.c)
		if _, err := chatd.New(k.c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestDiscoveryOfAnOIDCIssuer(t *testing.T) {
	var s *httptest.Server
	named := ""
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys"}`, named, s.URL)
	}))
	defer s.Close()
	named = s.URL
	if where, err := chatd.Discover(s.URL)(context.Background(), s.Client()); err != nil || where != s.URL+"/keys" {
		t.Errorf("%q, %v", where, err)
	}
	named = "https://evil.example"
	if _, err := chatd.Discover(s.URL)(context.Background(), s.Client()); err == nil {
		t.Error("an issuer with another name is believed")
	}
}

// The built-in issuer publishes what a vault needs to find its keys.
func TestBuiltInIssuerCanBeDiscovered(t *testing.T) {
	k := newKit(t, 1)
	g := k.do(http.MethodGet, "/.well-known/openid-configuration", nil)
	k.expect(g, 200, "")
	if !strings.Contains(string(g.body), `"jwks_uri":"https://chat.example/v1/jwks.json"`) {
		t.Errorf("%s", g.body)
	}
	if keys := k.do(http.MethodGet, "/v1/jwks.json", nil); must(token.Static(keys.body)) == nil {
		t.Error("no keys")
	}
}

func TestCertificateFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	c := clocktest.At(time.Now())
	write := func(path string, text []byte) {
		t.Helper()
		must(0, errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)))
		c.Pass(2 * time.Second)
	}
	firstCert, firstKey := pemPair("1")
	secondCert, secondKey := pemPair("2")
	if _, err := chatd.NewCertificateFiles(cert, keyFile, c.Now); err == nil {
		t.Fatal("missing files are accepted")
	}
	write(cert, firstCert)
	write(keyFile, firstKey)
	f := must(chatd.NewCertificateFiles(cert, keyFile, c.Now))
	shown := func() chatd.Pin {
		leaf := must(f.Certificate(nil)).Leaf
		return chatd.PinOf(leaf)
	}
	first := shown()
	write(cert, secondCert) // and the key not yet
	if shown() != first || f.Err() == nil {
		t.Error("a certificate without its key is shown")
	}
	write(keyFile, secondKey)
	if shown() == first || f.Err() != nil {
		t.Errorf("the new pair is not shown: %v", f.Err())
	}
}
