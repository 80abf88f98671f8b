package faulty_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keepsake.example/cloud/faulty"
	"keepsake.example/internal/mounttest"
)

// server keeps what is PUT and gives it to GET.
type server struct {
	mu      sync.Mutex
	objects map[string][]byte
	asked   int
	broken  int // bodies that ended too early
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	switch {
	case err != nil:
		s.broken++
	case r.Method == "PUT":
		s.objects[r.URL.Path] = data
	default:
		w.Write(s.objects[r.URL.Path])
	}
}

func (s *server) get(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[path]
}

type world struct {
	*server
	*faulty.Proxy
	client *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: &server{objects: make(map[string][]byte)}}
	behind := httptest.NewServer(w.server)
	t.Cleanup(behind.Close)
	p, err := faulty.HTTP(strings.TrimPrefix(behind.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	w.Proxy = p
	w.client = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) do(method, path string, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequest(method, "http://"+w.Addr()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.GetBody = nil // or the client would try again by itself
	res, err := w.client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res, data, err
}

// always plans one fault for a method.
func (w *world) always(method string, f faulty.Fault) {
	w.SetPlan(func(r faulty.Request) faulty.Fault {
		if r.Method == method {
			return f
		}
		return faulty.Fault{}
	})
}

func content(n int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n] }

func TestCarries(t *testing.T) {
	w := newWorld(t)
	data := content(3 << 20)
	for range 3 {
		if _, _, err := w.do("PUT", "/a", data); err != nil {
			t.Fatal(err)
		}
		if _, got, err := w.do("GET", "/a", nil); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	c := w.Counts()
	if c.Requests["PUT"] != 3 || c.Requests["GET"] != 3 || c.Total() != 6 || c.BodyUp != 9<<20 || c.BodyDown != 9<<20 || c.Faults != 0 {
		t.Errorf("counted %+v", c)
	}
	// One connection carries them all, unless the machine is too busy for net/http to see in time that a request was sent.
	if c.Connections < 1 || c.Connections > 6 || c.Up < c.BodyUp || c.Up > c.BodyUp+3000 || c.Down < c.BodyDown {
		t.Errorf("counted %+v", c)
	}
	w.Forget()
	if c := w.Counts(); c.Total() != 0 || c.Up != 0 {
		t.Errorf("counted %+v after Forget", c)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	f := faulty.S3Error(503, "SlowDown", "Reduce your request rate.")
	f.RetryAfter = 1500 * time.Millisecond
	w.always("PUT", f)
	res, body, err := w.do("PUT", "/a", content(3<<20))
	if err != nil || res.StatusCode != 503 || res.Header.Get("Retry-After") != "2" || !strings.Contains(string(body), "<Code>SlowDown</Code>") {
		t.Errorf("PUT: %v %s %v", res, body, err)
	}
	if w.get("/a") != nil || w.asked != 0 || w.Counts().Faults != 1 {
		t.Error("the server was asked")
	}
}

func TestPlanCounts(t *testing.T) {
	w := newWorld(t)
	w.SetPlan(func(r faulty.Request) faulty.Fault {
		if r.N == 2 {
			return faulty.Fault{Status: 429}
		}
		return faulty.Fault{}
	})
	for i, want := range []int{200, 429, 200} {
		if res, _, err := w.do("GET", "/a", nil); err != nil || res.StatusCode != want {
			t.Errorf("request %d: %v, %v; want %d", i, res, err, want)
		}
	}
}

// An upload is reset at exactly the byte that was asked for.
func TestCutUp(t *testing.T) {
	for _, at := range []int64{1, 4096, 1 << 20, 3<<20 - 1, 3 << 20} {
		w := newWorld(t)
		w.always("PUT", faulty.Fault{CutUp: at})
		if _, _, err := w.do("PUT", "/a", content(3<<20)); err == nil {
			t.Errorf("PUT that is cut after %d bytes succeeded", at)
		}
		if c := w.Counts(); c.BodyUp != at {
			t.Errorf("%d bytes passed, want %d", c.BodyUp, at)
		}
		w.SetPlan(nil)
		if _, _, err := w.do("PUT", "/b", content(100)); err != nil {
			t.Errorf("PUT afterwards: %v", err)
		}
		if got := w.get("/a"); got != nil && at < 3<<20 {
			t.Errorf("the server has %d bytes", len(got))
		}
	}
}

func TestRefuse(t *testing.T) {
	w := newWorld(t)
	w.always("GET", faulty.Fault{Refuse: true})
	if _, _, err := w.do("GET", "/a", nil); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) || w.asked != 0 {
		t.Errorf("GET = %v, asked %d times; want a reset", err, w.asked)
	}
}

func TestLose(t *testing.T) {
	w := newWorld(t)
	w.always("PUT", faulty.Fault{Lose: true})
	if _, _, err := w.do("PUT", "/a", content(100)); err == nil {
		t.Error("the answer came")
	}
	if w.get("/a") == nil {
		t.Error("the server has not done its work")
	}
}

func TestTruncateAndLie(t *testing.T) {
	for _, c := range []struct {
		f    faulty.Fault
		got  int
		ends bool // in good order
	}{
		{faulty.Fault{Truncate: 1}, 1, false},
		{faulty.Fault{Truncate: 99_999}, 99_999, false},
		{faulty.Fault{Truncate: 1 << 20}, 100_000, true},
		{faulty.Fault{Lie: 1}, 100_000, false},
		{faulty.Fault{Lie: -1}, 99_999, true},
		{faulty.Fault{Lie: -1 << 20}, 0, true},
	} {
		w := newWorld(t)
		if _, _, err := w.do("PUT", "/a", content(100_000)); err != nil {
			t.Fatal(err)
		}
		w.always("GET", c.f)
		_, got, err := w.do("GET", "/a", nil)
		if len(got) != c.got || (err == nil) != c.ends || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v gave %d bytes, %v", c.f, len(got), err)
		}
	}
}

// A client that waits for an answer waits until it has had enough.
func TestSilent(t *testing.T) {
	for _, f := range []faulty.Fault{{Silent: true}, {Silent: true, CutUp: 1000}} {
		w := newWorld(t)
		w.always("PUT", f)
		w.client.Timeout = 50 * time.Millisecond
		_, _, err := w.do("PUT", "/a", content(100_000))
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
			t.Errorf("PUT = %v, want a time out", err)
		}
		if w.get("/a") != nil {
			t.Error("the server was asked")
		}
	}
}

func TestSkew(t *testing.T) {
	w := newWorld(t)
	w.always("GET", faulty.Fault{Skew: time.Hour})
	res, _, err := w.do("GET", "/a", nil)
	if err != nil || res.StatusCode != 200 || len(res.Header.Values("Date")) != 1 {
		t.Fatalf("GET: %v, %v", res, err)
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil || time.Until(date) < 50*time.Minute {
		t.Errorf("Date is %v, %v; want an hour ahead", date, err)
	}
	for offset, want := range map[time.Duration]int{0: 403, 44 * time.Minute: 403, 50 * time.Minute: 200, time.Hour: 200, 80 * time.Minute: 403} {
		r, _ := http.NewRequest("GET", "http://"+w.Addr()+"/a", nil)
		r.Header.Set("X-Amz-Date", time.Now().Add(offset).UTC().Format("20060102T150405Z"))
		res, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want || (want == 403) != strings.Contains(string(body), "RequestTimeTooSkewed") {
			t.Errorf("signed %v ahead: %d %s, want %d", offset, res.StatusCode, body, want)
		}
	}
}

// A server that is not there looks like one.
func TestNobodyBehind(t *testing.T) {
	nobody := fmt.Sprint("127.0.0.1:", mounttest.Port(t, 0)) // kept, and nobody listens
	for _, listen := range []func(string) (*faulty.Proxy, error){faulty.HTTP, faulty.TCP} {
		p, err := listen(nobody)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := http.Get("http://" + p.Addr()); err == nil {
			res.Body.Close()
			t.Errorf("GET = %d", res.StatusCode)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Uploads many at a time, cut at random bytes, and each whole at last.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	w.SetPlan(func(r faulty.Request) faulty.Fault {
		if r.N%3 > 0 {
			return faulty.Fault{CutUp: int64(r.N * 1000 % 100_000)}
		}
		return faulty.Fault{}
	})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				if _, _, err := w.do("PUT", fmt.Sprint("/", i), content(100_000)); err == nil {
					return
				}
			}
			t.Error("never through")
		})
	}
	all.Wait()
	for i := range 8 {
		if !bytes.Equal(w.get(fmt.Sprint("/", i)), content(100_000)) {
			t.Errorf("object %d is not whole", i)
		}
	}
}
