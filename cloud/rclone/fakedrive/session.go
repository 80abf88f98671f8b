package fakedrive

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sessionLife is how long an upload session waits for the rest: "A resumable
// session URI expires after one week."
const sessionLife = 7 * 24 * time.Hour

// session is a resumable upload on its way.
type session struct {
	id     string
	target *file
	meta   metadata
	grant  *grant
	mime   string
	began  time.Time

	mu    sync.Mutex // one request at a time
	total int64      // -1 while it is not known
	blob  *blob
	done  *file
}

// contentRange is what a request says it brings: "bytes 0-99/200",
// "bytes 0-99/*", and "bytes */200" or "bytes */*", which ask how far it is.
type contentRange struct {
	first, last, total int64 // last is inclusive; total is -1 for "*"
	query              bool
}

var errContentRange = errors.New("fakedrive: malformed Content-Range")

func parseContentRange(text string) (contentRange, error) {
	bad := fmt.Errorf("%w: %.60q", errContentRange, text)
	spec, ok := strings.CutPrefix(text, "bytes ")
	span, size, found := strings.Cut(spec, "/")
	if !ok || !found {
		return contentRange{}, bad
	}
	c := contentRange{total: -1, query: span == "*"}
	if size != "*" {
		var valid bool
		if c.total, valid = number(size); !valid {
			return contentRange{}, bad
		}
	}
	if c.query {
		return c, nil
	}
	first, last, _ := strings.Cut(span, "-")
	var valid, valid2 bool
	c.first, valid = number(first)
	c.last, valid2 = number(last)
	if !valid || !valid2 || c.last < c.first || c.total >= 0 && c.last >= c.total {
		return contentRange{}, bad
	}
	return c, nil
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 62)
	return int64(n), err == nil
}

// sessionRequest brings a part of the content, asks how far it is, or gives
// up. The session's URI is all the authority it needs; an Authorization that
// comes with it must be good.
func (s *Server) sessionRequest(w http.ResponseWriter, r *http.Request) {
	f := s.judge(OpUploadChunk, r)
	if f.Lose {
		s.mu.Lock()
		delete(s.sessions, r.URL.Query().Get("upload_id"))
		s.mu.Unlock()
	}
	if f.suffer(w, r) {
		return
	}
	if f.CutAnswer {
		w = &cutAnswer{w, f.At}
	}
	if r.Header.Get("Authorization") != "" {
		if _, err := s.authorize(r); err != nil {
			answerError(w, err)
			return
		}
	}
	s.mu.Lock()
	u := s.sessions[r.URL.Query().Get("upload_id")]
	if u != nil && s.config.Now().Sub(u.began) > sessionLife {
		delete(s.sessions, u.id)
		u = nil
	}
	s.mu.Unlock()
	if u == nil {
		answerError(w, errSession)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	answerError(w, s.proceed(w, r, u, f))
	if f.CutAnswer {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) proceed(w http.ResponseWriter, r *http.Request, u *session, f Fault) error {
	c := contentRange{last: r.ContentLength - 1, total: r.ContentLength} // no header: all of it
	if text := r.Header.Get("Content-Range"); text != "" {
		var err error
		if c, err = parseContentRange(text); err != nil {
			return badRequest("Failed to parse Content-Range header.")
		}
	}
	switch {
	case u.done != nil:
		return s.answerFile(w, r, u.done)
	case c.total >= 0 && u.total >= 0 && c.total != u.total:
		return badRequest("Content-Range does not match the size announced")
	case !c.query && r.ContentLength != c.last-c.first+1:
		return badRequest("Content-Length does not match Content-Range")
	}
	if c.total >= 0 {
		u.total = c.total
	}
	if !c.query {
		if early, err := s.append(w, r.Body, u, c, f); early || err != nil {
			return err
		}
	}
	if u.total < 0 || u.blob.size < u.total {
		incomplete(w, r, u.blob.size)
		return nil
	}
	done, err := s.finish(u.blob, u.target, u.meta, u.mime, u.grant)
	if err != nil {
		s.mu.Lock()
		delete(s.sessions, u.id)
		s.mu.Unlock()
		return err
	}
	u.done = done
	return s.answerFile(w, r, done)
}

// append takes a chunk. Bytes the server has already are passed over; of the
// rest it keeps blocks of 256 KiB, and the end of the content when it has all.
func (s *Server) append(w http.ResponseWriter, body io.Reader, u *session, c contentRange, f Fault) (answered bool, err error) {
	if c.first > u.blob.size {
		tooFar(w, c.first, u.blob.size)
		return true, nil
	}
	passed, err := io.CopyN(io.Discard, body, min(u.blob.size-c.first, c.last-c.first+1))
	s.sent(passed)
	if err != nil {
		return false, io.ErrUnexpectedEOF
	}
	n := c.last + 1 - c.first - passed
	last := c.last+1 == u.total
	if f.KeepLess && f.At < n {
		n, last = f.At, false
	}
	read, err := u.blob.take(body, n, last)
	rest, _ := io.Copy(io.Discard, body)
	s.sent(read + rest)
	return false, err
}

// incomplete is the answer 308: how far the content has come. A client that
// says X-GUploader-No-308 is spared the status that others take for a
// redirect.
func incomplete(w http.ResponseWriter, r *http.Request, size int64) {
	if size > 0 { // "if you haven't received any bytes, no Range header"
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", size-1))
	}
	w.Header().Set("Content-Length", "0")
	if r.Header.Get("X-GUploader-No-308") == "yes" {
		w.Header().Set("X-Http-Status-Code-Override", "308")
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

func tooFar(w http.ResponseWriter, offset, size int64) {
	http.Error(w, fmt.Sprintf("Invalid request.  According to the Content-Range header, the upload offset is %d byte(s), which exceeds already uploaded size of %d byte(s).", offset, size), http.StatusServiceUnavailable)
}
