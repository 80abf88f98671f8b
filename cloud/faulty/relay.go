package faulty

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

var silence = log.New(io.Discard, "", 0)

// relay carries requests on to the server, with their faults.
type relay struct {
	p       *Proxy
	reverse *httputil.ReverseProxy
}

func newRelay(p *Proxy, target string) *relay {
	h := &relay{p: p}
	h.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", target, r.In.Host
		},
		Transport: &http.Transport{
			DialContext:        (&net.Dialer{}).DialContext,
			DisableCompression: true, MaxIdleConns: 64, MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second,
		},
		// The proxy's server sets its own, or that of a clock that is off.
		ModifyResponse: func(r *http.Response) error { r.Header.Del("Date"); return nil },
		// A server that is not there is not a gateway that answers.
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, _ error) { abort(r) },
		ErrorLog:     silence,
	}
	return h
}

// abort resets the client's connection.
func abort(r *http.Request) {
	if c := connectionOf(r); c != nil {
		c.reset()
	}
	panic(http.ErrAbortHandler)
}

func connectionOf(r *http.Request) *connection {
	if p, ok := r.Context().Value(connectionKey{}).(*pair); ok {
		return p.of
	}
	return nil
}

func (h *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := h.decide(r)
	r.Body = &body{ReadCloser: r.Body, h: h, r: r, f: f}
	if f.Skew != 0 {
		now := time.Now().Add(f.Skew).UTC()
		w.Header().Set("Date", now.Format(http.TimeFormat))
		if skewed(r, now) {
			s := S3Error(http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
			f.Status, f.Body = s.Status, s.Body
		}
	}
	switch {
	case f.Status != 0:
		h.answer(w, r, f)
	case f.Refuse:
		abort(r)
	case f.Silent && f.CutUp == 0:
		h.silent(r)
	case f.Lose || f.Truncate != 0 || f.Lie != 0:
		h.spoil(w, r, f)
	default:
		h.reverse.ServeHTTP(&writer{w, h}, r)
	}
}

// decide asks the plan, and counts.
func (h *relay) decide(r *http.Request) Fault {
	h.p.mu.Lock()
	h.p.counts.Requests[r.Method]++
	n, plan := h.p.counts.Total(), h.p.plan
	h.p.mu.Unlock()
	if plan == nil {
		return Fault{}
	}
	f := plan(Request{r, n})
	if f != (Fault{}) {
		h.p.count(func(c *Counts) { c.Faults++ })
	}
	return f
}

func (h *relay) answer(w http.ResponseWriter, r *http.Request, f Fault) {
	io.Copy(io.Discard, r.Body) // a client that has not sent it all does not read the answer
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.Status)
	io.WriteString(w, f.Body)
}

// silent says nothing more, as long as the client waits.
func (h *relay) silent(r *http.Request) {
	if c := connectionOf(r); c != nil {
		c.fallSilent()
		<-c.done
	}
	panic(http.ErrAbortHandler)
}

// spoil asks the server, and gives an answer that is lost, cut off or not true.
func (h *relay) spoil(w http.ResponseWriter, r *http.Request, f Fault) {
	answer := &kept{header: make(http.Header)}
	h.reverse.ServeHTTP(answer, r)
	if f.Lose {
		abort(r)
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		abort(r)
	}
	defer conn.Close()
	given := answer.body.Bytes()
	announced := int64(len(given)) + f.Lie
	switch {
	case f.Truncate != 0:
		announced, given = int64(len(given)), given[:min(f.Truncate, int64(len(given)))]
	case f.Lie < 0:
		given = given[:max(announced, 0)]
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", answer.status, http.StatusText(answer.status))
	answer.header.Set("Content-Length", fmt.Sprint(max(announced, 0)))
	answer.header.Write(&head)
	head.WriteString("\r\n")
	h.p.count(func(c *Counts) { c.BodyDown += int64(len(given)) })
	conn.Write(append(head.Bytes(), given...)) // the client finds out itself
}

// kept is an answer in memory.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header { return k.header }
func (k *kept) WriteHeader(s int)   { k.status = s }
func (k *kept) Write(p []byte) (int, error) {
	return k.body.Write(p)
}

// writer counts what the client is given.
type writer struct {
	http.ResponseWriter
	h *relay
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.h.p.count(func(c *Counts) { c.BodyDown += int64(n) })
	return n, err
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// body is a request's, counted, and cut where its fault has it.
type body struct {
	io.ReadCloser
	h    *relay
	r    *http.Request
	f    Fault
	read int64
}

var errCut = errors.New("faulty: cut")

func (b *body) Read(p []byte) (int, error) {
	if b.f.CutUp > 0 {
		p = p[:min(int64(len(p)), b.f.CutUp-b.read)]
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.h.p.count(func(c *Counts) { c.BodyUp += int64(n) })
	if b.f.CutUp > 0 && b.read == b.f.CutUp {
		return n, b.cut()
	}
	return n, err
}

func (b *body) cut() error {
	c := connectionOf(b.r)
	switch {
	case c == nil:
	case b.f.Silent:
		c.fallSilent()
		<-c.done
	default:
		c.reset()
	}
	return errCut
}
