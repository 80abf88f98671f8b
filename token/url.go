package token

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Remote says where an issuer's keys are fetched. Whoever answers there is
// trusted with every account: it is HTTPS, checked against Roots, and no
// redirect is followed.
type Remote struct {
	// URL is that of the JWK Set. With Locate it stays empty.
	URL string
	// Locate finds the URL (OpenID Connect discovery) with the client it is
	// given, which has the same roots and limits. It is asked before the first
	// fetch, and again after one that failed.
	Locate func(context.Context, *http.Client) (string, error)
	// Roots are the authorities that certificates are checked against; nil
	// means the system's.
	Roots *x509.CertPool
	// Timeout bounds one fetch: 5 s by default. A token with a key that is not
	// known waits for it.
	Timeout time.Duration
	// Interval is the least time between two fetches, 1 min by default: a
	// stream of invented key ids causes no more than one fetch each.
	Interval time.Duration
	// Fresh is the age at which the keys are fetched again, 15 min by default:
	// that long a key taken back is still accepted. A token that comes later
	// waits for the fetch; only where that fails do older keys serve, to MaxAge.
	Fresh time.Duration
	// MaxAge is how long the keys serve while fetching fails, 24 h by default.
	// After it no token of the issuer is accepted.
	MaxAge time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// fetcher is the KeySource of a Remote.
type fetcher struct {
	current
	r      Remote
	client *http.Client

	mu      sync.Mutex
	tried   time.Time     // start of the last fetch
	good    time.Time     // of the last that succeeded
	running chan struct{} // closed when the fetch that runs is over
}

// URL gives the keys at a URL. Nothing is fetched before [Refresh] or the
// first token.
func URL(r Remote) (KeySource, error) {
	defaultTo(&r.Timeout, 5*time.Second)
	defaultTo(&r.Interval, time.Minute)
	defaultTo(&r.Fresh, 15*time.Minute)
	defaultTo(&r.MaxAge, 24*time.Hour)
	if r.Now == nil {
		r.Now = time.Now
	}
	if (r.URL == "") == (r.Locate == nil) {
		return nil, errors.New("token: a URL or a way to find it, and not both")
	}
	if r.URL != "" && !https(r.URL) {
		return nil, errors.New("token: keys come over https only")
	}
	f := &fetcher{r: r, client: newClient(r.Roots, r.Timeout)}
	f.fail(errors.New("token: the keys have not been fetched yet"))
	return f, nil
}

func defaultTo(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

func https(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// Refresh brings a source up to date, so that a server can begin with keys: it
// fetches once if there is something to fetch, and tells what is wrong then.
func Refresh(ctx context.Context, s KeySource) error {
	if f, ok := s.(*fetcher); ok {
		if done := f.begin(); done != nil {
			select {
			case <-done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return s.Err()
}

func (f *fetcher) find(kid, algorithm string) (key, bool) {
	if age, never := f.age(); !never && age <= f.r.Fresh {
		if k, ok := f.current.find(kid, algorithm); ok {
			return k, true
		}
	}
	// A new key, or keys so old that they may have been taken back: worth waiting for one
	// fetch, bounded by its timeout, if the interval allows one.
	if done := f.begin(); done != nil {
		<-done
	}
	if age, never := f.age(); never || age > f.r.MaxAge {
		return key{}, false
	}
	return f.current.find(kid, algorithm)
}

func (f *fetcher) age() (age time.Duration, never bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.r.Now().Sub(f.good), f.good.IsZero()
}

// begin starts a fetch unless one runs or the last began too recently, and
// gives the channel that is closed at the end of the one that runs, or nil.
func (f *fetcher) begin() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running != nil {
		return f.running
	}
	now := f.r.Now()
	if !f.tried.IsZero() && now.Sub(f.tried).Abs() < f.r.Interval {
		return nil
	}
	f.tried = now
	f.running = make(chan struct{})
	go f.fetch(now, f.running)
	return f.running
}

func (f *fetcher) fetch(began time.Time, done chan struct{}) {
	set, err := f.get()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.fail(fmt.Errorf("fetching keys: %w", err))
	} else {
		f.good = began
		f.replace(set)
	}
	f.running = nil
	close(done)
}

func (f *fetcher) get() (keySet, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.r.Timeout)
	defer cancel()
	where := f.r.URL
	if f.r.Locate != nil {
		var err error
		if where, err = f.r.Locate(ctx, f.client); err != nil {
			return nil, err
		}
		if !https(where) {
			return nil, errors.New("token: keys come over https only")
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("token: status %d in place of keys", res.StatusCode)
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return parseKeySet(text)
}

// newClient makes a client for a trusted place: no proxy of the environment,
// no redirect, bounded answers.
func newClient(roots *x509.CertPool, timeout time.Duration) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 16 << 10,
		IdleConnTimeout:        timeout,
	}
	return &http.Client{
		Timeout:       timeout,
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded ends every answer after one byte over the size of a key set.
type bounded struct{ http.RoundTripper }

// RoundTrip does what the transport does.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxKeySet+1), res.Body}
	return res, nil
}
