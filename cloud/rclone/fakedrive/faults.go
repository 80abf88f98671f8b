package fakedrive

import (
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Operations, as counters and faults name them.
const (
	OpAbout       = "about.get"
	OpGet         = "files.get"
	OpDownload    = "files.get alt=media"
	OpList        = "files.list"
	OpCreate      = "files.create"
	OpUpdate      = "files.update"
	OpDelete      = "files.delete"
	OpEmptyTrash  = "files.emptyTrash"
	OpMultipart   = "upload multipart"
	OpUploadStart = "upload start"
	OpUploadChunk = "upload chunk"
	OpToken       = "oauth token"
	OpRevoke      = "oauth revoke"
	OpConsent     = "oauth consent"
)

// A Fault is what becomes of a request. The zero value is none.
type Fault struct {
	// Delay passes before anything else.
	Delay time.Duration
	// Status, if not zero, is answered instead of doing what was asked, with
	// Reason and Message in Google's JSON.
	Status          int
	Reason, Message string
	// RetryAfter is told with Status, in seconds; Google does not promise it.
	RetryAfter int
	// Cut cuts the connection when At bytes of the request's body have
	// arrived. Of an upload session's chunk the server keeps what it keeps
	// of any broken one: whole blocks of 256 KiB.
	Cut bool
	// CutAnswer does what was asked and cuts the connection when At bytes of
	// the answer's body are sent.
	CutAnswer bool
	// KeepLess keeps only the first At bytes of a chunk that arrived whole,
	// in blocks of 256 KiB, and says so: 308 and a smaller Range.
	KeepLess bool
	// Lose forgets the upload session first: 404, start over.
	Lose bool
	At   int64
}

// Refusals of Google's guide to errors (handle-errors).
var (
	UserRate     = Fault{Status: 403, Reason: "userRateLimitExceeded", Message: "User Rate Limit Exceeded. Rate of requests for user exceed configured project quota."}
	ProjectRate  = Fault{Status: 403, Reason: "rateLimitExceeded", Message: "Rate Limit Exceeded"}
	TooMany      = Fault{Status: 429, Reason: "rateLimitExceeded", Message: "Rate Limit Exceeded", RetryAfter: 1}
	DailyLimit   = Fault{Status: 403, Reason: "dailyLimitExceeded", Message: "Daily Limit Exceeded"}
	BackendError = Fault{Status: 500, Reason: "backendError", Message: "Backend Error"}
	Unavailable  = Fault{Status: 503, Reason: "backendError", Message: "Service unavailable. Please try again later."}
)

// A Call is a request as a Rule sees it.
type Call struct {
	Op string // one of the constants Op…
	N  int    // how many requests of this operation there were, this one included
	// Name is that of the file the URL speaks of, by id or upload session; ""
	// for others.
	Name string
}

// A Rule decides what becomes of a request. It may be called concurrently.
type Rule func(Call) Fault

// Inject sets the rule for all requests from now on; nil ends it.
func (s *Server) Inject(r Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rule = r
}

// First is a rule for the next n requests of an operation, all if op is empty.
func First(n int, op string, f Fault) Rule {
	var mu sync.Mutex
	return func(c Call) Fault {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || op != "" && op != c.Op {
			return Fault{}
		}
		n--
		return f
	}
}

// After is a rule for all requests of an operation but the next n of them.
func After(n int, op string, f Fault) Rule {
	var mu sync.Mutex
	return func(c Call) Fault {
		mu.Lock()
		defer mu.Unlock()
		if op != c.Op {
			return Fault{}
		}
		if n > 0 {
			n--
			return Fault{}
		}
		return f
	}
}

// Always is a rule for every request of an operation, all if op is empty.
func Always(op string, f Fault) Rule { return First(-1, op, f) }

// Random is a rule that lets a share of the requests to the Drive API fail in
// all the ways there are, at random bytes up to size. Signing in is spared.
func Random(seed uint64, share float64, size int64) Rule {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func(c Call) Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() >= share || c.Op == OpToken || c.Op == OpConsent {
			return Fault{}
		}
		f := faults[random.IntN(len(faults))]
		f.At = random.Int64N(size)
		return f
	}
}

var faults = []Fault{
	UserRate, ProjectRate, TooMany, BackendError, Unavailable,
	{Cut: true}, {CutAnswer: true}, {KeepLess: true}, {Lose: true}, {Delay: 20 * time.Millisecond},
}

// judge counts a request and says what becomes of it.
func (s *Server) judge(op string, r *http.Request) Fault {
	s.mu.Lock()
	s.count.Requests[op]++
	call, rule := Call{Op: op, N: s.count.Requests[op]}, s.rule
	if f := s.files[r.PathValue("id")]; f != nil {
		call.Name = f.now().name
	}
	if u := s.sessions[r.URL.Query().Get("upload_id")]; u != nil && u.meta.Name != nil {
		call.Name = *u.meta.Name
	}
	s.mu.Unlock()
	if rule == nil {
		return Fault{}
	}
	return rule(call)
}

// suffer applies the part of a fault that needs no knowledge of the request;
// it answers true if the request is done with.
func (f Fault) suffer(w http.ResponseWriter, r *http.Request) bool {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.Status != 0 {
		e := refusal{Code: f.Status, Reason: f.Reason, Message: f.Message, Domain: "usageLimits", RetryAfter: f.RetryAfter}
		if f.Status >= 500 {
			e.Domain = "global"
		}
		e.answer(w)
		return true
	}
	if f.Cut {
		r.Body = &cutBody{ReadCloser: r.Body, left: f.At}
		if r.ContentLength <= f.At { // there is no such byte: cut before the answer
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}
	}
	return false
}

// cutBody is a request's body whose connection breaks.
type cutBody struct {
	io.ReadCloser
	left int64
}

func (b *cutBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// cutAnswer is an answer whose connection breaks after so many bytes.
type cutAnswer struct {
	http.ResponseWriter
	left int64
}

func (w *cutAnswer) Write(p []byte) (int, error) {
	if int64(len(p)) < w.left {
		n, err := w.ResponseWriter.Write(p)
		w.left -= int64(n)
		return n, err
	}
	_, _ = w.ResponseWriter.Write(p[:w.left])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *cutAnswer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
