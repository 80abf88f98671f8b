package fakenet_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"testing"

	"keepsake.example/cloud/rclone/fakenet"
)

func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text+r.Proto) })
}

func client(t *testing.T, n *fakenet.Net, trust bool) *http.Client {
	t.Helper()
	proxy, err := url.Parse(n.Proxy())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(n.CA()); err != nil || trust && !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func start(t *testing.T) *fakenet.Net {
	t.Helper()
	n, err := fakenet.Start(t.TempDir(), map[string]http.Handler{"one.example": say("one "), "*.two.example": say("two ")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestNamesLeadToHandlers(t *testing.T) {
	n := start(t)
	c := client(t, n, true)
	for address, want := range map[string]string{
		"https://one.example/":        "one HTTP/1.1",
		"https://a.two.example/x":     "two HTTP/1.1",
		"https://b.two.example:443/x": "two HTTP/1.1",
	} {
		resp, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s said %q, %v; want %q", address, body, err, want)
		}
	}
	if got := n.Requests(); got["one.example"] != 1 || got["a.two.example"] != 1 || got["b.two.example"] != 1 {
		t.Errorf("requests %v, want one each", got)
	}
}

func TestOtherNamesAreRefused(t *testing.T) {
	n := start(t)
	c := client(t, n, true)
	for _, address := range []string{"https://www.icloud.com/", "https://two.example/", "https://one.example:8443/", "http://one.example/"} {
		resp, err := c.Get(address)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%s answered %s", address, resp.Status)
		}
	}
	if got := n.Refused(); len(got) != 4 || !slices.Contains(got, "www.icloud.com:443") {
		t.Errorf("refused %v, want all four", got)
	}
}

// Whoever does not trust the test authority must not be fooled by it.
func TestWithoutTheAuthority(t *testing.T) {
	n := start(t)
	if resp, err := client(t, n, false).Get("https://one.example/"); err == nil {
		t.Errorf("a client without the authority got %s", resp.Status)
	}
}

func TestClient(t *testing.T) {
	n := start(t)
	direct := httptest.NewServer(say("direct "))
	defer direct.Close()
	c := n.Client()
	defer c.CloseIdleConnections()
	for address, want := range map[string]string{"https://one.example/": "one HTTP/1.1", direct.URL: "direct HTTP/1.1"} {
		resp, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s said %q, %v; want %q", address, body, err, want)
		}
	}
	if len(n.Refused()) != 0 {
		t.Errorf("refused %v", n.Refused())
	}
}
