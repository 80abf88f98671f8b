package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// How long the servers are waited for.
const (
	requestTime = 20 * time.Second // one request, from the first byte out to the last in
	// connectTime is for a connection, and again for its TLS: a server that is cut
	// off must not keep a device from the next one.
	connectTime = 5 * time.Second
	// maxTries is how often one server is asked. Of several, each is asked at least
	// minTries times.
	maxTries   = 4
	minTries   = 2
	firstPause = 250 * time.Millisecond // when all were asked; doubled each time, plus up to as much by chance
	maxJSON    = 64 << 10               // bytes of a JSON answer that are read
	// patience is after what time nobody is asked any more. What is under way is waited
	// for: the vault may have decided it.
	patience = 15 * time.Second
	// hasteTime is how long each of several servers but the last is waited for in the first
	// round: one that is cut off from the vault, while the others are not, must not keep
	// the person. It costs nothing to ask another as well, and the vault goes on with what it
	// was asked. An answer takes a tenth of that with data centers 120 ms apart.
	hasteTime = time.Second
	// noticeTime is after what time the person is told who is asked.
	noticeTime = 3 * time.Second
	// maxPause is the longest wait that a server can ask for and that is waited
	// for without telling the person.
	maxPause = 5 * time.Second
)

// errChannelKey means that the vault no longer has the key a request was sealed to.
var errChannelKey = errors.New("client: the vault's keys have changed")

// errToken means that the server refuses the access token.
var errToken = fmt.Errorf("%w: the access token was refused", ErrLogin)

// relay speaks to chatd. It trusts chatd with nothing but the way: what matters is
// sealed, or signed by the fleet. That is why any of an operator's chatds will do,
// and the same bytes are sent to one after the other.
type relay struct {
	server *Server
	relays servers
	issuer servers
	http   *http.Client
	pause  func(context.Context, time.Duration) error
	now    func() time.Time
	// waiting is told who is asked when nobody has answered for notice.
	waiting func(text string)
	notice  time.Duration
	haste   time.Duration
}

// servers are URLs that do the same, and which of them answered last.
type servers struct {
	urls  []string
	first int
}

// newRelay asks the server at the URL near first, where there is such a one.
func newRelay(s *Server, near string, c *Client) *relay {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if s.CA != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(s.CA)) // checked by NewServer
	}
	r := &relay{
		server: s, relays: servers{urls: s.relays()}, issuer: servers{urls: []string{s.issuer()}},
		pause: c.s.Pause, now: c.now, waiting: c.s.Waiting, notice: cmp.Or(c.s.notice, noticeTime), haste: cmp.Or(c.s.haste, hasteTime),
	}
	if r.pause == nil {
		r.pause = pauseFor
	}
	r.relays.first = max(slices.Index(r.relays.urls, near), 0)
	r.http = &http.Client{
		Timeout: requestTime,
		// Whoever is sent elsewhere is not where the person said.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    connectTime,
			ResponseHeaderTimeout:  requestTime,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        30 * time.Second,
		},
	}
	return r
}

// near is the URL of the relay that answered last.
func (r *relay) near() string { return r.relays.urls[r.relays.first] }

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *relay) close() { r.http.CloseIdleConnections() }

// A call is one request, which can be sent again and again.
type call struct {
	to                 *servers
	method, path, kind string
	token              string
	body               []byte
	limit              int64 // of the answer, in bytes
}

// answer is what came back.
type answer struct {
	status int
	after  time.Duration
	body   []byte
}

// again says that a try did not settle it.
type again struct {
	cause error
	after time.Duration // not before this time
	here  bool          // another server would say the same
}

func (e *again) Error() string { return e.cause.Error() }
func (e *again) Unwrap() error { return e.cause }

// repeat sends the same bytes until use is content with the answer: it returns an
// *again otherwise. When all servers were asked often enough the error is a
// NotCountedError.
func (r *relay) repeat(ctx context.Context, c call, use func(*answer) error) error {
	defer r.tell(c.to)()
	n, begun := len(c.to.urls), r.now()
	most, asked, sent := max(maxTries, minTries*n), 0, false
	for pause := firstPause; ; pause *= 2 {
		err := r.round(ctx, c, begun, &asked, &sent, use)
		retry, ok := errors.AsType[*again](err)
		if !ok {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// By chance as well: a thousand phones that lost one server must not come
		// back to it in step.
		rest := max(pause+rand.N(pause), retry.after)
		if asked >= most || retry.after > maxPause || r.now().Add(rest).Sub(begun) >= patience {
			if n > 1 && !retry.here {
				err = fmt.Errorf("none of %d servers answers; the last: %w", n, retry.cause)
			} else {
				err = retry.cause
			}
			return &NotCountedError{Sent: sent, Cause: err}
		}
		if err := r.pause(ctx, rest); err != nil {
			return err
		}
	}
}

// tell has the person told who is asked, if that takes long. The function that it returns is
// called when somebody answered, or nobody is asked any more.
func (r *relay) tell(to *servers) (stop func()) {
	if r.waiting == nil {
		return func() {}
	}
	text := "no answer yet from " + strings.TrimPrefix(to.urls[to.first], "https://")
	if n := len(to.urls); n > 1 {
		text += fmt.Sprintf(" or the others, %d servers in all", n)
	}
	told := make(chan struct{})
	t := time.AfterFunc(r.notice, func() {
		defer close(told)
		r.waiting(fmt.Sprintf("%s; asking for up to %v", text, patience))
	})
	return func() {
		if !t.Stop() {
			<-told
		}
	}
}

// round asks the servers one after the other, beginning with the one that answered
// last, until one settles it or says that all would say the same. It counts them in
// asked, and sets sent when something may have arrived.
func (r *relay) round(ctx context.Context, c call, begun time.Time, asked *int, sent *bool, use func(*answer) error) (err error) {
	first, n := c.to.first, len(c.to.urls)
	for i := range n {
		if *asked >= n && i > 0 && r.now().Sub(begun) >= patience {
			return err
		}
		at, limit := (first+i)%n, requestTime
		if *asked < n-1 {
			limit = r.haste
		}
		*asked++
		got, failed := r.send(ctx, c, c.to.urls[at], limit)
		if failed == nil {
			failed = use(got)
			*sent = true
		} else {
			*sent = *sent || !neverLeft(failed)
		}
		retry, ok := errors.AsType[*again](failed)
		if !ok || retry.here {
			c.to.first = at
			return failed
		}
		if soonest, ok := errors.AsType[*again](err); !ok || retry.after <= soonest.after {
			err = failed
		}
		if ctx.Err() != nil {
			return err
		}
	}
	return err
}

// send sends once. The error is an *again, for the server was not reached, or the
// context's.
func (r *relay) send(ctx context.Context, c call, to string, limit time.Duration) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, to+c.path, bytes.NewReader(c.body))
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	if c.kind != "" {
		req.Header.Set("Content-Type", c.kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, &again{cause: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.limit+1))
	if err != nil {
		return nil, &again{cause: err}
	}
	got := &answer{status: resp.StatusCode, after: retryAfter(resp.Header), body: body}
	if int64(len(body)) > c.limit {
		return nil, &again{cause: errors.New("the answer is too long")}
	}
	return got, nil
}

// neverLeft says whether the request certainly did not reach the server.
func neverLeft(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || isCertificate(err)
}

func isCertificate(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 || n > 24*3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// refusal turns a status other than success into an error.
func (a *answer) refusal() error {
	switch {
	case a.status == http.StatusUnauthorized:
		return errToken
	case a.status == http.StatusTooManyRequests && a.after > 0 && a.after <= maxPause:
		// The limit is the person's. It is not got round by asking the next server.
		return &again{cause: fmt.Errorf("HTTP %d", a.status), after: a.after, here: true}
	case a.status == http.StatusRequestTimeout, a.status >= 500:
		return &again{cause: fmt.Errorf("HTTP %d", a.status), after: a.after}
	}
	return &RefusedError{Status: a.status, After: a.after}
}

// exchange sends a sealed request, the same bytes until open is content with the
// answer.
func (r *relay) exchange(ctx context.Context, token string, request []byte, open func(answer []byte) error) error {
	c := call{to: &r.relays, method: http.MethodPost, path: "/v1/vault", kind: "application/octet-stream", token: token, body: request, limit: sealed.AnswerSize}
	return r.repeat(ctx, c, func(a *answer) error {
		switch a.status {
		case http.StatusOK:
			return open(a.body)
		case http.StatusNotFound:
			// A path that is not there is a 404 as well: of a chatd that relays
			// nothing, or of another server than the person meant.
			if a.word() == "key" {
				return errChannelKey
			}
		}
		return a.refusal()
	})
}

// word is what chatd says of a refusal (doc/chatd-openapi.yaml), "" when it says nothing.
func (a *answer) word() string {
	var refused struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(a.body, &refused); err != nil {
		return ""
	}
	return refused.Error
}

// bundle fetches what the fleet says of itself; believe decides about it.
func (r *relay) bundle(ctx context.Context, believe func(data []byte) error) error {
	c := call{to: &r.relays, method: http.MethodGet, path: "/v1/bundle", limit: fleet.MaxSize}
	return nothingSent(r.repeat(ctx, c, func(a *answer) error {
		if a.status != http.StatusOK {
			return a.refusal()
		}
		return believe(a.body)
	}))
}

// nothingSent is err of a call that asks nothing of the vault: it left the device
// perhaps, but nothing that could be counted did.
func nothingSent(err error) error {
	if e, ok := errors.AsType[*NotCountedError](err); ok {
		e.Sent = false
	}
	return err
}

// post sends JSON and reads JSON; want is the status of success.
func (r *relay) post(ctx context.Context, path string, want int, request, result any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("asking the server: %w", err)
	}
	defer clear(body)
	return nothingSent(r.repeat(ctx, call{to: &r.issuer, method: http.MethodPost, path: path, kind: "application/json", body: body, limit: maxJSON}, func(a *answer) error {
		if a.status != want {
			return a.refusal()
		}
		if err := json.Unmarshal(a.body, result); err != nil {
			return fmt.Errorf("client: the server's answer makes no sense: %w", err)
		}
		return nil
	}))
}
