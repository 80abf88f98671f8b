package token_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/internal/clocktest"
	"keepsake.example/token"
)

func TestKeySetsThatAreRefused(t *testing.T) {
	private := strings.Replace(edKey.jwk(), `"kty"`, `"d":"`+b64(edKey.private.(ed25519.PrivateKey).Seed())+`","kty"`, 1)
	many := strings.Repeat(edKey.jwk()+",", 32) + edKey.jwk()
	for name, text := range map[string][]byte{
		"nothing":         nil,
		"not JSON":        []byte("x"),
		"no keys":         jwks(),
		"a private key":   jwks(ecKey.jwk(), private),
		"a shared secret": jwks(edKey.jwk(), `{"kty":"oct","k":"c2VjcmV0"}`),
		"one kid twice":   jwks(edKey.jwk(), edKey.jwk()),
		"33 keys":         jwks(many),
		"64 KiB":          append(jwks(edKey.jwk()), bytes.Repeat([]byte(" "), 64<<10)...),
		"only others":     jwks(`{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`, `{"kty":"new"}`),
		"for encryption":  jwks(strings.Replace(edKey.jwk(), `"kty"`, `"use":"enc","kty"`, 1)),
		"weak RSA":        jwks(`{"kty":"RSA","kid":"r","e":"AQAB","n":"` + b64(bytes.Repeat([]byte{0xff}, 128)) + `"}`),
		"huge RSA":        jwks(`{"kty":"RSA","kid":"r","e":"AQAB","n":"` + b64(bytes.Repeat([]byte{0xff}, 1024)) + `"}`),
		"point off curve": jwks(`{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 32)) + `","y":"` + b64(make([]byte, 32)) + `"}`),
		"short Ed25519":   jwks(`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`),
	} {
		if _, err := token.Static(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKeysOfOtherKindsArePassedOver(t *testing.T) {
	keys, err := token.Static(jwks(`{"kty":"new","kid":"x"}`, edKey.jwk(), `{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`))
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, must(token.NewVerifier(issuer(ours, keys, token.EdDSA))), good(edKey).String())
}

func FuzzStatic(f *testing.F) {
	f.Add(jwks(edKey.jwk(), ecKey.jwk()))
	f.Add(jwks(rsaKey.jwk()))
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := token.Static(text); err == nil && keys.Err() != nil {
			t.Fatal(keys.Err())
		}
	})
}

func TestKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	c := clocktest.At(now)
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text []byte) {
		t.Helper()
		// A new file in place of the old one, as tools write them.
		if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		c.Pass(2 * time.Second)
	}
	if _, err := token.File(path, c.Now); err == nil {
		t.Fatal("a missing file is accepted")
	}
	write(jwks(edKey.jwk()))
	keys := must(token.File(path, c.Now))
	v := must(token.NewVerifier(issuer(ours, keys, token.EdDSA)))
	accepted(t, v, good(edKey).String())

	write([]byte("{"))
	accepted(t, v, good(edKey).String()) // the last good keys stay
	if keys.Err() == nil {
		t.Error("a broken file is no error")
	}
	write(jwks(otherKey.jwk()))
	accepted(t, v, good(otherKey).String())
	refused(t, v, good(edKey).String(), token.BadKey)
	if keys.Err() != nil {
		t.Error(keys.Err())
	}
}

// keyServer is an issuer's web server; answer can be exchanged.
type keyServer struct {
	*httptest.Server
	answer  atomic.Pointer[http.HandlerFunc]
	fetches atomic.Int32
}

func newKeyServer(t *testing.T) *keyServer {
	s := &keyServer{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fetches.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) serve(h http.HandlerFunc) { s.answer.Store(&h) }

func (s *keyServer) publish(keys ...string) {
	s.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(jwks(keys...)) })
}

func (s *keyServer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func (s *keyServer) source(c *clocktest.Clock) token.KeySource {
	return must(token.URL(token.Remote{URL: s.URL, Roots: s.roots(), Now: c.Now}))
}

func remote(keys token.KeySource) *token.Verifier {
	return must(token.NewVerifier(issuer(ours, keys, token.EdDSA)))
}

func TestFetchedKeysAreKept(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	s.publish(edKey.jwk())
	keys := s.source(c)
	if keys.Err() == nil {
		t.Error("no keys yet, and no error")
	}
	if err := token.Refresh(context.Background(), keys); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		accepted(t, remote(keys), good(edKey).String())
	}
	if n := s.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestNewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	s.publish(edKey.jwk())
	v := remote(s.source(c))
	accepted(t, v, good(edKey).String())
	s.publish(edKey.jwk(), otherKey.jwk())
	c.Pass(time.Minute)
	accepted(t, v, good(otherKey).String())
}

func TestInventedKeyIDsCauseOneFetchAMinute(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	s.publish(edKey.jwk())
	v := remote(s.source(c))
	for range 3 {
		for range 20 {
			refused(t, v, good(otherKey).String(), token.BadKey)
		}
		c.Pass(time.Minute)
	}
	if n := s.fetches.Load(); n != 3 {
		t.Errorf("%d fetches in three minutes", n)
	}
}

func TestFailingFetchKeepsTheLastGoodKeysForADay(t *testing.T) {
	failures := map[string]http.HandlerFunc{
		"status":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"not JSON":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"too large": func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), 1<<20)) },
		"redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"cut off":   func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			s, c := newKeyServer(t), clocktest.At(now)
			s.publish(edKey.jwk())
			keys := s.source(c)
			v := remote(keys)
			accepted(t, v, good(edKey).String())
			s.serve(failure)
			c.Pass(24 * time.Hour)
			if token.Refresh(context.Background(), keys) == nil {
				t.Error("the failure is not told")
			}
			accepted(t, v, good(edKey).String())
			c.Pass(time.Second)
			refused(t, v, good(edKey).String(), token.BadKey)
			s.publish(edKey.jwk())
			c.Pass(time.Minute)
			accepted(t, v, good(edKey).String())
		})
	}
}

// Also where nobody asked for hours: the first token waits for the fetch.
func TestKeysTakenBackAreAcceptedForAQuarterOfAnHour(t *testing.T) {
	for _, later := range []time.Duration{time.Second, 9 * time.Hour} {
		s, c := newKeyServer(t), clocktest.At(now)
		s.publish(edKey.jwk(), otherKey.jwk())
		v := remote(s.source(c))
		accepted(t, v, good(otherKey).String())
		s.publish(edKey.jwk())
		c.Pass(15 * time.Minute)
		accepted(t, v, good(otherKey).String())
		c.Pass(later)
		refused(t, v, good(otherKey).String(), token.BadKey)
		accepted(t, v, good(edKey).String())
		if n := s.fetches.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
	}
}

func TestKeysComeFromATrustedServerOnly(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	s.publish(edKey.jwk())
	stranger := must(token.URL(token.Remote{URL: s.URL, Roots: x509.NewCertPool(), Now: c.Now}))
	refused(t, remote(stranger), good(edKey).String(), token.BadKey)
	for _, r := range []token.Remote{
		{}, {URL: "http://keys.example"}, {URL: "keys.example"}, {URL: "file:///etc/keys"},
		{URL: "https://keys.example", Locate: func(context.Context, *http.Client) (string, error) { return "", nil }},
	} {
		if _, err := token.URL(r); err == nil {
			t.Errorf("%+v: accepted", r)
		}
	}
}

func TestLocatedKeysAreFetchedOverHTTPSOnly(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	s.publish(edKey.jwk())
	at := func(where string) token.KeySource {
		locate := func(context.Context, *http.Client) (string, error) { return where, nil }
		return must(token.URL(token.Remote{Locate: locate, Roots: s.roots(), Now: c.Now}))
	}
	accepted(t, remote(at(s.URL)), good(edKey).String())
	refused(t, remote(at("http"+strings.TrimPrefix(s.URL, "https"))), good(edKey).String(), token.BadKey)
}

func TestManyCallersShareOneFetch(t *testing.T) {
	s, c := newKeyServer(t), clocktest.At(now)
	release := make(chan struct{})
	s.serve(func(w http.ResponseWriter, _ *http.Request) { <-release; w.Write(jwks(edKey.jwk())) })
	v, raw := remote(s.source(c)), good(edKey).String()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := v.Verify(raw, now); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	all.Wait()
	if n := s.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}
