package chatd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/chatd/nearest"
	"keepsake.example/sealed"
)

// What a request sent to a vaultd can come to.
var (
	// errNoVault: nobody answered. Whether the request was worked is not known;
	// the client repeats the same bytes.
	errNoVault = errors.New("chatd: no vaultd answered")
	// errNoBundle: no vaultd gave the fleet's bundle since the start.
	errNoBundle = errors.New("chatd: no vaultd was reached yet")
	// errNoChannelKey: the vault does not have the key it is sealed to. The client
	// needs the current bundle.
	errNoChannelKey = errors.New("chatd: the vault has no such channel key")
	// errNotSealed: the vault cannot open it.
	errNotSealed = errors.New("chatd: the vault refused the request")
	// errUndecided: the vaultd drains, knows no leader, or has too much to do; or the account's group
	// alone cannot decide.
	errUndecided = errors.New("chatd: a vaultd answered 503")
	errPin       = errors.New("chatd: a vaultd shows another key than the pinned one")
	errAnswer    = errors.New("chatd: a vaultd's answer is none")
)

// maxBundle is how many bytes a bundle may have (spec/vault-protocol.md §7.1).
const maxBundle = 65536

// upstream sends requests to the replicas of a fleet.
type upstream struct {
	vaults  []*peer
	nearest *nearest.Servers
	limits  Limits
	now     func() time.Time
	budget  *limit.Table
	m       *metrics
	log     *slog.Logger

	answered chan struct{} // gets one, unless one waits there, for probes that were answered
}

// peer is one vaultd.
type peer struct {
	url    string
	label  string // its place, for metrics
	client *http.Client

	tries, failed atomic.Uint64
}

func newUpstream(c *Config, m *metrics) (*upstream, error) {
	r, l := c.Relay, c.Limits
	if len(r.Vaults) == 0 {
		return nil, errors.New("chatd: no vaultd to relay to")
	}
	u := &upstream{limits: l, now: c.Now, budget: limit.New(l.Retries, 1), m: m, log: c.Log, answered: make(chan struct{}, 1)}
	u.nearest = nearest.New(len(r.Vaults), nearest.Options{Every: l.ProbeEvery, PassOver: l.PassOver})
	for i, v := range r.Vaults {
		where, err := url.Parse(v.URL)
		if err != nil || where.Scheme != "https" || where.Host == "" || where.Path != "" {
			return nil, fmt.Errorf("chatd: %q is no https URL without a path, as that of a vaultd is", v.URL)
		}
		u.vaults = append(u.vaults, &peer{url: v.URL, label: strconv.Itoa(i), client: newPeerClient(v.Pin, r.Certificate, l)})
		m.watchVault(strconv.Itoa(i), func() nearest.Status { return u.nearest.Status(i, time.Now()) })
	}
	return u, nil
}

// newPeerClient speaks HTTP/2 over TLS 1.3 with the one key that is pinned.
func newPeerClient(pin Pin, own tls.Certificate, l Limits) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	t := &http.Transport{
		Protocols: &protocols,
		TLSClientConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{own},
			// The pin takes the place of names, dates and authorities: the key that
			// the operator wrote down is the one that must be shown.
			InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 || PinOf(s.PeerCertificates[0]) != pin {
					return errPin
				}
				return nil
			},
		},
		DialContext:            (&net.Dialer{Timeout: l.TryTimeout}).DialContext,
		TLSHandshakeTimeout:    l.TryTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		// A connection that a middlebox forgot is noticed before requests hang on it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (u *upstream) close() {
	for _, v := range u.vaults {
		v.client.CloseIdleConnections()
	}
}

// relay sends a sealed request until a vaultd gives an answer, and tells which.
// The same bytes again are the same attempt: it costs nothing, whoever gets
// them.
func (u *upstream) relay(ctx context.Context, request []byte) (answer []byte, by int, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.limits.RelayTimeout)
	defer cancel()
	return u.each(ctx, question{
		ask: func(ctx context.Context, p *peer) ([]byte, error) {
			return p.ask(ctx, http.MethodPost, "/v1/request", request, sealed.AnswerSize)
		},
		good: func(b []byte) bool { return len(b) == sealed.AnswerSize },
		work: true,
	})
}

// bundle fetches the fleet's bundle. Nothing of it is checked here: clients
// check its signature.
func (u *upstream) bundle(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, u.limits.TryTimeout)
	defer cancel()
	b, _, err := u.each(ctx, question{
		ask: func(ctx context.Context, p *peer) ([]byte, error) {
			return p.ask(ctx, http.MethodGet, bundlePath, nil, maxBundle)
		},
		good: func(b []byte) bool { return len(b) > 0 && len(b) <= maxBundle },
	})
	u.m.bundles.WithLabelValues(outcome(err)).Inc()
	return b, err
}

const bundlePath = "/v1/bundle"

// question is what one vaultd is asked, and which answers are any.
type question struct {
	ask  func(context.Context, *peer) ([]byte, error)
	good func([]byte) bool
	work bool // its time tells how long a request takes
}

// each asks the nearest vaultd that answers, then the next, at most limits.Tries
// of them in the time that ctx leaves.
func (u *upstream) each(ctx context.Context, q question) ([]byte, int, error) {
	failure, by := errNoVault, -1
	tried, pause := make([]bool, len(u.vaults)), u.limits.Pause
	everybody := false // was asked, and who was asked last cannot decide it now
	for try := range u.limits.Tries {
		if try > 0 && !u.again(ctx, &pause, !everybody) {
			break
		}
		if !slices.Contains(tried, false) {
			clear(tried)
		}
		b, at, err := u.try(ctx, q, tried)
		everybody = errors.Is(err, errUndecided) && !slices.Contains(tried, false)
		switch {
		case err == nil, errors.Is(err, errNotSealed):
			return b, at, err
		case errors.Is(err, errNoChannelKey):
			// A replica that lags does not know the newest key yet. One more is asked:
			// two that do not know it mean that the client's is old.
			if by >= 0 || len(tried) == 1 {
				return nil, at, err
			}
			failure, by = err, at
		case by < 0 && (errors.Is(err, errPin) || errors.Is(err, errAnswer)):
			failure = fmt.Errorf("%w: %w", errNoVault, err) // worth telling over a mere silence
		}
	}
	return nil, by, failure
}

func tryOutcome(err error) string {
	for name, e := range map[string]error{"pin": errPin, "answer": errAnswer, "key": errNoChannelKey, "refused": errNotSealed} {
		if errors.Is(err, e) {
			return name
		}
	}
	return outcome(err)
}

// again reports whether there may be another try. It is at once while a vaultd
// answers and others are left, and otherwise after a pause: they may be about to choose a leader.
func (u *upstream) again(ctx context.Context, pause *time.Duration, left bool) bool {
	if _, ok := u.budget.Allow(limit.Key{}, u.now()); !ok || ctx.Err() != nil {
		return false
	}
	if left && u.nearest.Answers() {
		return true
	}
	d := *pause
	*pause = min(2*d, maxPause)
	return sleep(ctx, d+rand.N(d))
}

// maxPause is the longest pause between two tries of a request, before chance.
const maxPause = 500 * time.Millisecond

// sleep reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try asks one vaultd that was not tried. It ends at once when that vaultd is
// found to be away meanwhile: a request must not wait for a silent one until its
// time is over.
func (u *upstream) try(ctx context.Context, q question, tried []bool) ([]byte, int, error) {
	t := u.nearest.Take(time.Now(), tried)
	tried[t.Server] = true
	p := u.vaults[t.Server]
	p.tries.Add(1)
	patience := u.limits.TryTimeout
	if t.Away {
		patience = min(patience, u.limits.ProbeTimeout) // there are others to ask
	}
	one, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(t.Life, cancel)()
	b, err := q.ask(one, p)
	if err == nil && !q.good(b) {
		err = errAnswer
	}
	u.m.tries.WithLabelValues(p.label, tryOutcome(err)).Inc()
	switch {
	case err == nil, errors.Is(err, errNoChannelKey), errors.Is(err, errNotSealed):
		t.Answered(time.Now(), q.work && err == nil)
	case ctx.Err() != nil:
		t.Left() // the client is gone, or out of time; not by this vaultd alone
	default:
		p.failed.Add(1)
		end := t.Failed
		if errors.Is(err, errUndecided) {
			end = t.Undecided
		}
		if end(time.Now(), err.Error()) {
			u.tellAway(p, err.Error())
		}
	}
	return b, t.Server, err
}

// ask sends one request and reads at most one byte over most.
func (p *peer) ask(ctx context.Context, method, path string, body []byte, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", octets)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(res.Body, most+1))
	case http.StatusNotFound:
		return nil, errNoChannelKey
	case http.StatusBadRequest:
		return nil, errNotSealed
	case http.StatusServiceUnavailable:
		return nil, errUndecided
	}
	return nil, fmt.Errorf("chatd: a vaultd answered %d", res.StatusCode)
}
