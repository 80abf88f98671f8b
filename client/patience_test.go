package client_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/password"
)

// waiter is the person's client with a clock that only servers and pauses move.
func (p *person) waiter(passed *atomic.Int64, waiting func(string)) *client.Client {
	began := time.Now()
	return client.New(client.Settings{
		Profile: p.profile, Keyring: p.world, KDF: password.Floor, Waiting: waiting,
		Now:   func() time.Time { return began.Add(time.Duration(passed.Load())) },
		Pause: func(ctx context.Context, d time.Duration) error { passed.Add(int64(d)); return ctx.Err() },
	})
}

// Nobody waits for a minute to hear that nobody answers. No server is asked again after 15 s, however many
// there are, but each is asked once.
func TestPatienceEnds(t *testing.T) {
	for servers, want := range map[int][2]int{1: {3, 4}, 2: {3, 4}, 5: {5, 5}} {
		p := newPerson(t)
		fronts, access := p.fronts(servers)
		var passed atomic.Int64
		for _, f := range fronts {
			f.set(func(http.ResponseWriter, *http.Request) {
				passed.Add(int64(5 * time.Second))
				panic(http.ErrAbortHandler)
			})
		}
		_, err := p.waiter(&passed, nil).VaultStatus(ctx, access)
		wants(t, err, client.ErrNotCounted)
		asked := 0
		for _, f := range fronts {
			asked += f.count()
		}
		if asked < want[0] || asked > want[1] {
			t.Errorf("%d servers were asked %d times in %v", servers, asked, time.Duration(passed.Load()))
		}
		if least := time.Duration(5*servers) * time.Second; time.Duration(passed.Load()) > max(21*time.Second, least) {
			t.Errorf("%d servers: %v passed", servers, time.Duration(passed.Load()))
		}
	}
}

// One of several servers that takes a request and says nothing keeps nobody: the next is asked, and
// answers.
func TestSilentServerIsPassedOver(t *testing.T) {
	// The other one is waited for as long, and may need more on a busy machine.
	for haste := 50 * time.Millisecond; ; haste *= 2 {
		p := newPerson(t)
		fronts, access := p.fronts(2)
		fronts[0].set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		c := p.device()
		c.TestingTimes(time.Hour, haste)
		_, err := c.VaultStatus(ctx, access)
		if err == nil && fronts[0].count() > 0 && fronts[1].count() > 0 {
			return
		}
		if haste > 5*time.Second {
			t.Fatalf("who waits %v for each asked %d and %d times: %v", haste, fronts[0].count(), fronts[1].count(), err)
		}
	}
}

// The person is told who is asked when that takes long, and hears nothing when it does not.
func TestWaitingIsTold(t *testing.T) {
	p := newPerson(t)
	fronts, access := p.fronts(2)
	said := make(chan struct{})
	var text string
	var passed atomic.Int64
	c := p.waiter(&passed, func(s string) {
		if text == "" {
			text = s
			close(said)
		}
	})
	c.TestingTimes(time.Millisecond, time.Hour)
	fronts[0].set(func(w http.ResponseWriter, _ *http.Request) {
		<-said
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	access.Code = nil
	_, _ = c.VaultStatus(ctx, access) // it asks for a code in the end; what counts is said
	if !strings.Contains(text, strings.TrimPrefix(fronts[0].URL, "https://")) || !strings.Contains(text, "2 servers") || !strings.Contains(text, "15s") {
		t.Errorf("told %q", text)
	}
	q := newPerson(t)
	quick := q.waiter(&passed, func(s string) { t.Errorf("told %q", s) })
	quick.TestingTimes(time.Hour, time.Hour)
	if _, err := quick.VaultStatus(ctx, q.access()); err != nil {
		t.Fatal(err)
	}
}
