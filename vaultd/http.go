package vaultd

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"keepsake.example/sealed"
)

// Handler serves chatd:
//
//	POST /v1/request  8192 octets -> 200 and 4096 octets
//	GET  /v1/bundle   200 and the signed bundle
//
// A request that does not open is answered 404 when its channel key is not here
// and 400 else, 503 when it was not looked at or cannot be decided here now;
// without any detail. The bundle is answered 503 as long as requests would be.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/request", s.serveRequest)
	mux.HandleFunc("GET /v1/bundle", s.serveBundle)
	return s.guarded(mux)
}

func (s *Server) serveRequest(w http.ResponseWriter, r *http.Request) {
	request, err := readRequest(w, r)
	if err != nil {
		refuse(w, err)
		return
	}
	answer, err := s.Answer(r.Context(), request)
	if err != nil {
		refuse(w, err)
		return
	}
	octets(w, answer)
}

// readRequest reads the body when it has the one length there is.
func readRequest(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength >= 0 && r.ContentLength != sealed.RequestSize {
		return nil, ErrRequest
	}
	request := make([]byte, sealed.RequestSize)
	body := http.MaxBytesReader(w, r.Body, sealed.RequestSize)
	if _, err := io.ReadFull(body, request); err != nil {
		return nil, ErrRequest
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, ErrRequest
	}
	return request, nil
}

// serveBundle also tells chatd, which asks for it four times a second, whether to bring
// requests here.
func (s *Server) serveBundle(w http.ResponseWriter, _ *http.Request) {
	if !s.ready() {
		refuse(w, ErrNoQuorum)
		return
	}
	octets(w, s.Bundle())
}

func octets(w http.ResponseWriter, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	w.Write(b)
}

// refuse answers with one word: what is wrong with a sealed block is nobody's
// business who cannot open it.
func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case errors.Is(err, ErrKey):
		http.Error(w, "refused", http.StatusNotFound)
	case errors.Is(err, ErrRequest):
		http.Error(w, "refused", http.StatusBadRequest)
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	}
}

// guarded keeps a panic's value and the arguments on the stack, which can be
// pieces of secrets, out of the log and the answer: net/http would print them.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				s.log.Error("internal error", "at", panicPlace())
				refuse(w, ErrHalted)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// panicPlace names the functions a panic came through.
func panicPlace() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var where []string
	for more := true; more && len(where) < 6; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			where = append(where, f.Function+":"+strconv.Itoa(f.Line))
		}
	}
	return strings.Join(where, ", ")
}
