package outage_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// A witness guesses at some accounts through chatd, and meanwhile asks members of the fleet
// themselves how they stand, past chatd, which would go elsewhere: whoever is cut off, or
// slept, and believes that it leads, must not tell what is over. What they say is in the
// histories of the accounts. A member may say nothing at all.
type witness struct {
	l       *load
	members []int
	ending
	all sync.WaitGroup

	mu    sync.Mutex
	heard map[int]time.Time // by member: when the newest question was put that it answered
}

// Of each kind there are so many. Four at once is what a vaultd works of one account.
const (
	watched   = 4
	watchPace = 20 * time.Millisecond
	straight  = time.Second // an answer that comes later is nobody's
)

func (l *load) witness(t *testing.T, members ...int) *witness {
	t.Helper()
	w := &witness{l: l, members: members, ending: make(ending), heard: map[int]time.Time{}}
	var ready sync.WaitGroup
	for i := range watched {
		u := l.newUser(fmt.Sprintf("%s, account %d", t.Name(), i))
		ready.Add(1)
		w.all.Go(func() { w.watch(t, u, ready.Done) })
	}
	ready.Wait()
	w.await(t, time.Time{})
	return w
}

// repeated is an attempt that was answered.
type repeated struct {
	asked *vaultapi.AttemptBody
	blind *oprf.Blinding
}

// watch lets the count rise, so that every state but the newest tells too many guesses.
func (w *witness) watch(t *testing.T, u *user, ready func()) {
	defer u.p.http.CloseIdleConnections()
	var last atomic.Pointer[repeated]
	guess := func() {
		asked, b := u.p.guess("a guess")
		if d := u.tryWith(asked, b); !d.unknown && d.code == vaultapi.OK {
			last.Store(&repeated{asked, b})
		}
	}
	if u.register() {
		guess()
	}
	ready()
	if last.Load() == nil {
		t.Errorf("%s was not made", u.name)
		return
	}
	for _, n := range w.members {
		c := straightTo()
		defer c.CloseIdleConnections()
		w.hand(func() { w.status(u, n, c) })
		w.hand(func() { w.repeat(u, n, c, last.Load()) })
	}
	for made := 1; made < limit-1 && !w.ended(pace); made++ {
		guess()
	}
	<-w.ending
}

// hand does one thing again and again.
func (w *witness) hand(f func()) {
	w.all.Go(func() {
		for !w.ended(watchPace) {
			f()
		}
	})
}

func (w *witness) status(u *user, n int, c *http.Client) {
	d := done{kind: vaultapi.Status}
	if a := w.ask(u, n, c, &vaultapi.StatusBody{}, &d); a != nil {
		if r, ok := a.Body.(*vaultapi.StatusReport); ok {
			d.past = len(r.Past)
		}
		u.h.add(d)
	}
}

// repeat asks for an attempt again that was answered: it is not counted, and the answer says
// how many are left.
func (w *witness) repeat(u *user, n int, c *http.Client, r *repeated) {
	d := done{kind: look, id: r.asked.Attempt}
	a := w.ask(u, n, c, r.asked, &d)
	if a == nil {
		return
	}
	if u.h.add(d); d.code != vaultapi.OK {
		w.l.t.Errorf("%s: member %d answers %v to an attempt that was acknowledged", u.name, n, d.code)
	} else if err := u.p.checkEvaluation(r.asked, r.blind, a); err != nil {
		w.l.t.Errorf("%s: member %d: %v", u.name, n, err)
	}
}

// ask puts one question to one member; nil when it does not decide it in time.
func (w *witness) ask(u *user, n int, c *http.Client, body vaultapi.Body, d *done) *vaultapi.Answer {
	request, pending, err := u.p.seal(body)
	if err != nil {
		w.l.t.Errorf("%s: %v", u.name, err)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), straight)
	defer cancel()
	began := time.Now()
	text, err := post(ctx, c, w.l.s.sites[n-1].request(), "", request)
	ended := time.Now()
	if err != nil {
		return nil
	}
	a, err := answer(body, pending, text)
	if err != nil {
		w.l.t.Errorf("%s: member %d: %v", u.name, n, err)
		return nil
	}
	if a.Code == vaultapi.Busy {
		return nil
	}
	d.began, d.end = int64(began.Sub(w.l.start)), int64(ended.Sub(w.l.start))
	d.code, d.left = a.Code, int(a.Left)
	w.mu.Lock()
	defer w.mu.Unlock()
	if began.After(w.heard[n]) {
		w.heard[n] = began
	}
	return a
}

// await waits until every member answered what it was asked after a moment.
func (w *witness) await(t *testing.T, since time.Time) {
	t.Helper()
	for _, n := range w.members {
		await(t, fmt.Sprintf("member %d to answer", n), func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.heard[n].After(since)
		})
	}
}

// end waits for answers to what was asked after a moment, and stops asking.
func (w *witness) end(t *testing.T, since time.Time) {
	t.Helper()
	w.await(t, since)
	close(w.ending)
	w.all.Wait()
}

// request is where a site's vaultd takes requests, without a detour.
func (s *site) request() string { return fmt.Sprintf("https://%s:7443/v1/request", s.ip()) }

// straightTo has a connection of its own, on which questions lie ready for a process that wakes.
func straightTo() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: straight}).DialContext, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // what it carries is sealed
	}}
}

// answer opens what came back.
func answer(body vaultapi.Body, pending *sealed.Pending, text []byte) (*vaultapi.Answer, error) {
	m, err := pending.Open(text)
	if err != nil {
		return nil, err
	}
	return vaultapi.DecodeAnswer(body.Type(), m)
}
