package rclone_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"keepsake.example/cloud/rclone/servertest"
)

// A front stands before a server of HTTP: it writes down what is asked, and
// may answer in its place.
type front struct {
	mu      sync.Mutex
	asked   []string // method and path
	moves   []string // what a MOVE is to become
	instead func(w http.ResponseWriter, r *http.Request) bool
}

// before puts a front before a server.
func before(t *testing.T, at servertest.Server) (*front, servertest.Server) {
	t.Helper()
	to, err := url.Parse("http://" + at.Addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	// The name the client used stays: WebDAV compares Destination with it,
	// and S3's signature is about it.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	at.Addr = strings.TrimPrefix(s.URL, "http://")
	for _, key := range []string{"url", "endpoint"} {
		if at.Options[key] != "" {
			at.Options[key] = s.URL
		}
	}
	return f, at
}

func (f *front) answer(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	if to := r.Header.Get("Destination"); to != "" {
		f.moves = append(f.moves, to)
	}
	instead := f.instead
	f.mu.Unlock()
	return instead != nil && instead(w, r)
}

func (f *front) set(instead func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instead = instead
}

// since gives what do asks.
func (f *front) since(do func()) []string {
	f.mu.Lock()
	f.asked, f.moves = nil, nil
	f.mu.Unlock()
	do()
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// cut ends the connection of a request in the midst of its body.
func cut(w http.ResponseWriter, r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, 100)
	panic(http.ErrAbortHandler)
}
