package fakeicloud_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/rclone/fs/fshttp"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/fakeicloud"
)

// signIns is an account that several goroutines use.
type signIns struct {
	mu sync.Mutex
	m  map[string]string
}

func (s *signIns) Get(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[name]
	return v, ok
}

func (s *signIns) Set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[name] = value
}

// anAccount is person's, signed in.
func anAccount(t *testing.T, s *fakeicloud.Server) *signIns {
	t.Helper()
	return &signIns{m: signedIn(t, s)}
}

func storeConfig(s *fakeicloud.Server, a *signIns, root string, create bool) rclone.Config {
	return rclone.Config{
		Backend: "iclouddrive", Root: root, Mapper: a, Login: "icloud", Create: create,
		Network: rclone.Network{Proxy: s.Proxy(), CAs: []string{s.CA()}},
	}
}

func openStore(t *testing.T, s *fakeicloud.Server, a *signIns, root string, create bool) *rclone.Store {
	t.Helper()
	fshttp.ResetTransport()
	st, err := rclone.Open(t.Context(), storeConfig(s, a, root, create))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// TestConformanceLate runs the suite where listings show the past.
func TestConformanceLate(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	n := 0
	cloudtest.RunSlow(t, func(t *testing.T) cloud.Store {
		n++
		s.SetLag(0)
		st := openStore(t, s, a, fmt.Sprintf("Keepsake/check-%d", n), true)
		s.SetLag(300 * time.Millisecond)
		return st
	})
}

func TestErrors(t *testing.T) {
	const wait = 7
	everything := func(status int, body string) func(s *fakeicloud.Server) {
		return func(s *fakeicloud.Server) {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				http.Error(w, body, status)
				return true
			})
		}
	}
	cases := []struct {
		name    string
		fail    func(s *fakeicloud.Server)
		want    error
		after   time.Duration
		methods []string
	}{
		{"full", func(s *fakeicloud.Server) { s.SetQuota(person, s.Used(person)) }, cloud.ErrFull, 0, []string{"Put"}},
		{"throttled", func(s *fakeicloud.Server) { s.Throttle("", 1000, 429, wait) }, cloud.ErrThrottled, wait * time.Second, nil},
		{"throttled with 503", func(s *fakeicloud.Server) { s.Throttle("", 1000, 503, wait) }, cloud.ErrThrottled, wait * time.Second, []string{"Put"}},
		{"trust ended", func(s *fakeicloud.Server) { s.EndTrust() }, cloud.ErrDenied, 0, nil},
		{"locked", func(s *fakeicloud.Server) { s.Lock(person, true) }, cloud.ErrDenied, 0, nil},
		{"password changed", func(s *fakeicloud.Server) { _ = s.SetPassword(person, "another") }, cloud.ErrDenied, 0, nil},
		{"server error", everything(500, "internal"), cloud.ErrUnreachable, 0, nil},
		{"bad gateway", everything(502, "bad gateway"), cloud.ErrUnreachable, 0, []string{"Get"}},
		{"a page in place of JSON", everything(200, "<html>sign in to the hotel's network</html>"), cloud.ErrUnreachable, 0, nil},
		{"folder removed", func(s *fakeicloud.Server) { s.Remove(person, "Keepsake") }, cloud.ErrUnreachable, 0, nil},
		{"gone", func(s *fakeicloud.Server) { s.Close() }, cloud.ErrUnreachable, 0, nil},
	}
	var all []cloudtest.ErrorCase
	for _, c := range cases {
		all = append(all, cloudtest.ErrorCase{Name: c.name, Want: c.want, After: c.after, Methods: c.methods, Open: func(t *testing.T) (cloud.Store, func()) {
			s := start(t)
			st := openStore(t, s, anAccount(t, s), "Keepsake", true)
			c.fail(s)
			return st, nil
		}})
	}
	cloudtest.RunErrors(t, all)
}

// TestDownloadRefused: rclone loses why a download was refused. It must not
// come out as an object that is not there.
func TestDownloadRefused(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	store(t, openStore(t, s, a, "Keepsake", true), "data/a", 1000)
	st := openStore(t, s, a, "Keepsake", false)
	for _, lag := range []time.Duration{0, time.Hour} {
		s.SetLag(lag)
		s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			busy := strings.HasSuffix(r.URL.Path, "/by_id")
			if busy {
				http.Error(w, "busy", http.StatusTooManyRequests)
			}
			return busy
		})
		if r, err := st.Get(t.Context(), "data/a", 0, -1); !errors.Is(err, cloud.ErrUnreachable) || errors.Is(err, cloud.ErrNotExist) {
			t.Errorf("a download that is throttled: %v, %v; want ErrUnreachable", r, err)
		}
		s.SetLag(0)
		s.Intercept(nil)
		if err := readAll(t, st, "data/a"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	s.Remove(person, "Keepsake/data/a")
	if err := readAll(t, st, "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("an object somebody else deleted: %v, want ErrNotExist", err)
	}
}

// TestSessionEnds: cookies go stale in the middle, and nobody is asked for a code.
func TestSessionEnds(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	st := openStore(t, s, a, "Keepsake", true)
	store(t, st, "data/a", 1000)
	for range 3 {
		s.EndSessions()
		store(t, st, fmt.Sprintf("data/a%d", s.Stats().Requests["POST complete"]), 1000)
	}
	s.EndSessions()
	if err := st.List(t.Context(), "", func(cloud.Info) error { return nil }); err != nil {
		t.Error(err)
	}
	s.EndSessions()
	if r, err := st.Get(t.Context(), "data/a", 0, -1); err != nil {
		t.Error(err)
	} else {
		r.Close()
	}
	s.EndSessions()
	if err := st.Delete(t.Context(), "data/a"); err != nil {
		t.Error(err)
	}
	// The next process takes up the session that this one began.
	before := s.Stats().Requests["POST complete"]
	openStore(t, s, a, "Keepsake", false)
	if after := s.Stats().Requests["POST complete"]; after != before {
		t.Errorf("the password was proved again")
	}
}

// TestTrustEnds: the error says what to do.
func TestTrustEnds(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	st := openStore(t, s, a, "Keepsake", true)
	s.EndTrust()
	err := st.Put(t.Context(), "data/a", bytes.NewReader([]byte("1")), 1)
	wantDenied(t, "Put", err)
	_, err = rclone.Open(t.Context(), storeConfig(s, a, "Keepsake", false))
	wantDenied(t, "Open", err)
	m := signedIn(t, s)
	a.m = m
	openStore(t, s, a, "Keepsake", false)
}

func wantDenied(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), "keepsake cloud login icloud") {
		t.Errorf("%s without trust: %v; want ErrDenied and what to do", what, err)
	}
	if err != nil && strings.Contains(err.Error(), password) {
		t.Errorf("%s tells the password", what)
	}
}

func store(t *testing.T, st cloud.Store, name string, size int) {
	t.Helper()
	if err := st.Put(t.Context(), name, bytes.NewReader(make([]byte, size)), int64(size)); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}
