package chatd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/sealed"
)

// These tests play a fleet in a bubble: TLS and HTTP/2 as always, over pipes, and
// time that passes only when everybody waits. A vaultd that takes 70 ms takes 70
// ms, on any machine.

var (
	block = bytes.Repeat([]byte("q"), sealed.RequestSize)
	// lost is of an account whose group has no majority.
	lost = bytes.Repeat([]byte("l"), sealed.RequestSize)
)

// replica is a played vaultd.
type replica struct {
	t    *testing.T
	cert tls.Certificate

	mu      sync.Mutex
	far     time.Duration // of every answer
	tries   time.Duration // to decide what is lost
	work    time.Duration // of a request, besides
	status  int           // of every answer, when not 200
	refuses int           // status of requests alone
	silent  chan struct{} // answers nothing until it is closed
	server  *http.Server  // nil: nobody listens
	dial    chan net.Conn

	got    int // requests that arrived
	probed int
	busy   int // requests under way
	most   int // of them at once
}

// set changes how the replica behaves.
func (r *replica) set(f func(*replica)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

func (r *replica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

// ServeHTTP answers as a vaultd does.
func (r *replica) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	pause, status, silent := r.far, r.status, r.silent
	if req.Method == http.MethodPost {
		if bytes.Equal(body, lost) {
			pause, status = r.tries, http.StatusServiceUnavailable
		} else if err == nil && !bytes.Equal(body, block) {
			r.t.Errorf("not the bytes that were sent: %d of them", len(body))
		}
		r.got++
		r.busy++
		r.most = max(r.most, r.busy)
		defer r.set(func(r *replica) { r.busy-- })
		pause += r.work
		if r.refuses != 0 {
			status = r.refuses
		}
	} else {
		r.probed++
	}
	r.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-req.Context().Done():
		}
		return
	}
	if !sleep(req.Context(), pause) {
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if req.Method == http.MethodPost {
		w.Write(make([]byte, sealed.AnswerSize))
	}
}

// up begins to listen.
func (r *replica) up() {
	server := &http.Server{
		Handler:   r,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{r.cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}},
		ErrorLog:  quiet(),
	}
	r.set(func(r *replica) { r.server = server })
	go server.ServeTLS(&pipes{conns: r.dial, end: make(chan struct{})}, "", "")
}

// down breaks every connection, and refuses new ones.
func (r *replica) down() {
	r.mu.Lock()
	server := r.server
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		server.Close()
	}
}

func (r *replica) connect(context.Context, string, string) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	r.dial <- there
	return here, nil
}

// pipes is a listener without a network.
type pipes struct {
	conns chan net.Conn
	end   chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// inFleet runs a test with replicas, which are up and at the given distances.
func inFleet(t *testing.T, limits Limits, test func(*testing.T, *upstream, []*replica), far ...time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		own, err := MakeCertificate(ed25519.NewKeyFromSeed(make([]byte, 32)), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		limits.setDefaults()
		c := &Config{Limits: limits, Now: time.Now, Log: slog.New(slog.DiscardHandler), Relay: &Relay{Certificate: own}}
		var fleet []*replica
		for _, d := range far {
			fleet = append(fleet, &replica{t: t, cert: own, far: d, tries: 4 * time.Second, dial: make(chan net.Conn, 64)})
			c.Relay.Vaults = append(c.Relay.Vaults, Vault{URL: "https://vault.internal", Pin: PinOf(own.Leaf)})
		}
		u, err := newUpstream(c, newMetrics())
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range u.vaults {
			p.client.Transport.(*http.Transport).DialContext = fleet[i].connect
			fleet[i].up()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { u.watch(ctx) })
		time.Sleep(2 * time.Second) // probes
		test(t, u, fleet)
		cancel()
		watching.Wait()
		u.close()
		for _, r := range fleet {
			r.down()
		}
	})
}

// send relays one request, which has to be answered, and gives the replica and
// the time it took.
func send(t *testing.T, u *upstream) (by int, took time.Duration) {
	t.Helper()
	began := time.Now()
	answer, by, err := u.relay(t.Context(), block)
	if err != nil || len(answer) != sealed.AnswerSize {
		t.Fatalf("%d bytes, %v", len(answer), err)
	}
	return by, time.Since(began)
}

func total(fleet []*replica) (n int) {
	for _, r := range fleet {
		n += r.count()
	}
	return n
}

const ms = time.Millisecond

func TestTheNearestIsAsked(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		for range 20 {
			if by, took := send(t, u); by != 2 || took != 10*ms {
				t.Fatalf("%d answered, after %v", by, took)
			}
		}
		if n := total(fleet); n != 20 {
			t.Errorf("%d requests arrived of 20", n)
		}
	}, 80*ms, 120*ms, 10*ms, 30*ms, 90*ms)
}

func TestOrderDecidesBetweenEquals(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		for range 20 {
			if by, _ := send(t, u); by != 0 {
				t.Fatalf("%d answered", by)
			}
		}
	}, 20*ms, 20*ms, 18*ms)
}

// The replica next door has to ask a leader far away; the leader itself is asked
// a little farther, and answers sooner.
func TestTheTimeOfTheWorkCounts(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.work = 150 * ms })
		send(t, u)
		for range 20 {
			if by, took := send(t, u); by != 1 || took != 40*ms {
				t.Fatalf("%d answered, after %v", by, took)
			}
		}
		// The leader moves next door. That is found out within a minute or so, at
		// the cost of a request that takes longer.
		fleet[0].set(func(r *replica) { r.work = 0 })
		fleet[1].set(func(r *replica) { r.work = 150 * ms })
		for range 150 {
			send(t, u)
			time.Sleep(time.Second)
		}
		for range 20 {
			if by, took := send(t, u); by != 0 || took != 10*ms {
				t.Fatalf("%d answered, after %v", by, took)
			}
		}
	}, 10*ms, 40*ms)
}

func TestUnavailableIsPassedOverUntilItIsBack(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		send(t, u)
		fleet[0].set(func(r *replica) { r.status = http.StatusServiceUnavailable }) // it drains
		time.Sleep(2 * time.Second)
		before := fleet[0].count()
		for range 10 {
			if by, took := send(t, u); by != 1 || took != 30*ms {
				t.Fatalf("%d answered, after %v", by, took)
			}
		}
		if fleet[0].count() != before {
			t.Error("who says that it is unavailable is sent requests")
		}
		if st := u.status(time.Now()); !st[0].Away || st[0].PassedOver != 10 || st[0].Probe != 10 || !st[1].Current || st[1].Request != 30 {
			t.Errorf("%+v", st)
		}
		fleet[0].set(func(r *replica) { r.status = 0 })
		time.Sleep(40 * time.Second)
		if by, _ := send(t, u); by != 0 {
			t.Errorf("%d answered: the nearest is back", by)
		}
	}, 10*ms, 30*ms)
}

func TestLostConnectionIsRepeatedElsewhereAtOnce(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.work = time.Second })
		go func() {
			time.Sleep(500 * ms)
			fleet[0].down()
		}()
		if by, took := send(t, u); by != 1 || took != 530*ms {
			t.Errorf("%d answered, after %v", by, took)
		}
		if fleet[0].count() != 1 || fleet[1].count() != 1 {
			t.Errorf("%d and %d requests arrived", fleet[0].count(), fleet[1].count())
		}
	}, 10*ms, 30*ms)
}

// A host that is cut off, or a process that was stopped: connections stay, and
// nothing comes back. The probes notice, and requests do not wait for the end of
// their time.
func TestSilenceIsFoundByProbes(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		send(t, u)
		silent := make(chan struct{})
		fleet[0].set(func(r *replica) { r.silent = silent })
		if by, took := send(t, u); by != 1 || took > 750*ms {
			t.Errorf("%d answered, after %v", by, took)
		}
		if by, took := send(t, u); by != 1 || took != 30*ms {
			t.Errorf("%d answered, after %v", by, took)
		}
		close(silent)
		fleet[0].set(func(r *replica) { r.silent = nil })
		time.Sleep(40 * time.Second)
		if by, _ := send(t, u); by != 0 {
			t.Errorf("%d answered: the nearest is back", by)
		}
	}, 10*ms, 30*ms)
}

// Its probes are answered, its requests are not: each return costs one request a
// second try, and returns get rare.
func TestWhoFailsRequestsOnlyComesBackMoreAndMoreSeldom(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.refuses = http.StatusInternalServerError })
		for range 200 {
			if by, _ := send(t, u); by != 1 {
				t.Fatalf("%d answered", by)
			}
			time.Sleep(300 * ms)
		}
		// Pauses of 0.25 to 0.5 s, 0.5 to 1 s, …: seven in the first 32 to 64 s.
		if n := fleet[0].count(); n < 5 || n > 9 {
			t.Errorf("%d requests were tried in a minute", n)
		}
	}, 10*ms, 30*ms)
}

// Who comes back gets one request, then two: not all that went elsewhere.
func TestNoHerdAtTheReturn(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.status, r.work = http.StatusServiceUnavailable, 40*ms })
		time.Sleep(2 * time.Second)
		load := func(clients, each int) {
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for range each {
						send(t, u)
					}
				})
			}
			all.Wait()
		}
		load(50, 4)
		fleet[0].set(func(r *replica) { r.status = 0 })
		time.Sleep(40 * time.Second)
		load(50, 1)
		if fleet[0].most != 1 || fleet[0].count() != 1 {
			t.Errorf("%d requests, %d at once, to who came back", fleet[0].count(), fleet[0].most)
		}
		load(50, 1)
		if fleet[0].most != 2 || fleet[0].count() != 3 {
			t.Errorf("%d requests, %d at once, when it had answered one", fleet[0].count(), fleet[0].most)
		}
		load(50, 15)
		if fleet[0].most != 50 {
			t.Errorf("%d at once when it had proved itself", fleet[0].most)
		}
	}, 10*ms, 200*ms)
}

// The fall of one replica puts no more on the others than the requests there
// are and the budget.
func TestFailureIsNotMultiplied(t *testing.T) {
	inFleet(t, Limits{Retries: limit.Rate{Burst: 10, Every: time.Hour}}, func(t *testing.T, u *upstream, fleet []*replica) {
		for range 100 {
			send(t, u) // it is proven
		}
		fleet[0].set(func(r *replica) { r.work = time.Second })
		before := total(fleet)
		failed := make(chan error, 100)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, _, err := u.relay(t.Context(), block)
				failed <- err
			})
		}
		time.Sleep(500 * ms)
		fleet[0].down()
		all.Wait()
		close(failed)
		n := 0
		for err := range failed {
			if err != nil {
				n++
			}
		}
		if n != 90 {
			t.Errorf("%d of 100 were told to come again, with a budget of 10", n)
		}
		if got := total(fleet) - before; got != 110 {
			t.Errorf("%d requests arrived", got)
		}
	}, 10*ms, 30*ms, 50*ms)
}

// One group of the fleet has no majority, and requests for it come all the time: that is no fault
// of the vaultds, and the other groups' requests are neither called back nor told to come again.
func TestRequestsOfALostGroupHarmNoOthers(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		for range 100 {
			send(t, u) // it is proven
		}
		var all sync.WaitGroup
		for i := range 60 * 200 { // 200 a second, for a minute
			if i%10 == 0 {
				all.Go(func() {
					if _, _, err := u.relay(t.Context(), lost); !errors.Is(err, errNoVault) {
						t.Errorf("a lost one: %v", err)
					}
				})
			}
			all.Go(func() {
				if by, took := send(t, u); by != 0 || took != 40*ms {
					t.Errorf("%d answered, after %v", by, took)
				}
			})
			time.Sleep(5 * ms)
		}
		if st := u.nearest.Status(0, time.Now()); !st.Since.IsZero() {
			t.Errorf("the vaultd that all were sent to: %+v", st)
		}
		all.Wait()
	}, 40*ms, 60*ms, 60*ms)
}

// Who refuses one request at once, and answers others, is asked again after pauses: it has too much to do.
func TestWhoIsBusyIsNotHammered(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		send(t, u)
		fleet[0].set(func(r *replica) { r.tries = 5 * ms })
		began, took := time.Now(), time.Duration(0)
		var refused sync.WaitGroup
		refused.Go(func() {
			if _, _, err := u.relay(t.Context(), lost); !errors.Is(err, errNoVault) {
				t.Errorf("what is refused: %v", err)
			}
			took = time.Since(began)
		})
		for range 500 { // more often than it refuses
			send(t, u)
		}
		if st := u.nearest.Status(0, time.Now()); !st.Since.IsZero() {
			t.Errorf("it went away: %+v", st)
		}
		if refused.Wait(); took < time.Second {
			t.Errorf("all tries were made within %v", took)
		}
	}, ms)
}

// A vaultd that decides nothing is passed over all the same, though its probes are answered.
func TestWhoDecidesNothingIsPassedOver(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		send(t, u)
		time.Sleep(ms)
		fleet[0].set(func(r *replica) { r.refuses = http.StatusServiceUnavailable })
		for _, want := range []time.Duration{40 * ms, 30 * ms} {
			if by, took := send(t, u); by != 1 || took != want {
				t.Errorf("%d answered, after %v", by, took)
			}
		}
	}, 10*ms, 30*ms)
}

func TestAllAwayAreAskedAllTheSame(t *testing.T) {
	inFleet(t, Limits{Tries: 4}, func(t *testing.T, u *upstream, fleet []*replica) {
		for _, r := range fleet {
			r.set(func(r *replica) { r.status = http.StatusServiceUnavailable })
		}
		time.Sleep(time.Minute)
		if _, _, err := u.relay(t.Context(), block); !errors.Is(err, errNoVault) {
			t.Fatal(err)
		}
		counts := []int{fleet[0].count(), fleet[1].count(), fleet[2].count()}
		if !slices.Equal(counts, []int{2, 1, 1}) {
			t.Errorf("tries %v: in turn, the nearest first", counts)
		}
		fleet[2].set(func(r *replica) { r.status = 0 })
		if by, _ := send(t, u); by != 2 {
			t.Errorf("%d answered", by)
		}
		if by, took := send(t, u); by != 2 || took != 50*ms {
			t.Errorf("%d answered, after %v: who has answered is not away", by, took)
		}
	}, 10*ms, 30*ms, 50*ms)
}

// The leader is gone with its data center, and the others choose another one: 1.5 s
// in which nobody answers. Clients wait, and are not told to come again.
func TestElectionIsWaitedFor(t *testing.T) {
	for name, lose := range map[string]func(*replica){
		"refuses": (*replica).down,
		"silent":  func(r *replica) { r.set(func(r *replica) { r.silent = make(chan struct{}) }) },
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
				send(t, u)
				lose(fleet[0])
				for _, r := range fleet[1:] {
					r.set(func(r *replica) { r.status = http.StatusServiceUnavailable })
				}
				go func() {
					time.Sleep(1500 * ms)
					for _, r := range fleet[1:] {
						r.set(func(r *replica) { r.status = 0 })
					}
				}()
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						if by, took := send(t, u); by == 0 || took > 4*time.Second {
							t.Errorf("%d answered, after %v", by, took)
						}
					})
				}
				all.Wait()
			}, 10*ms, 30*ms, 50*ms, 50*ms, 50*ms)
		})
	}
}

// When nobody answers, one that is silent does not hold a request up for the whole
// time of a try.
func TestSilentIsNotWaitedForAmongTheAway(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.silent = make(chan struct{}) })
		fleet[1].set(func(r *replica) { r.status = http.StatusServiceUnavailable })
		time.Sleep(time.Minute)
		fleet[1].set(func(r *replica) { r.status = 0 }) // which no probe has seen yet
		if by, took := send(t, u); by != 1 || took > 1300*ms {
			t.Errorf("%d answered, after %v", by, took)
		}
	}, 10*ms, 30*ms)
}

// A replica that lags behind does not know the newest channel key. One more is
// asked, and no third.
func TestKeyUnknownToOneIsAskedOfAnother(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.refuses = http.StatusNotFound })
		if by, _ := send(t, u); by != 1 {
			t.Errorf("%d answered", by)
		}
		fleet[1].set(func(r *replica) { r.refuses = http.StatusNotFound })
		if _, _, err := u.relay(t.Context(), block); !errors.Is(err, errNoChannelKey) {
			t.Errorf("%v", err)
		}
		if fleet[2].count() != 0 {
			t.Error("a third was asked")
		}
		for i := range fleet {
			if u.nearest.Status(i, time.Now()).Away {
				t.Errorf("%d is passed over for an answer", i)
			}
		}
	}, 10*ms, 30*ms, 50*ms)
}

// A client that goes says nothing of the vaultd.
func TestClientThatLeavesBlamesNobody(t *testing.T) {
	inFleet(t, Limits{}, func(t *testing.T, u *upstream, fleet []*replica) {
		fleet[0].set(func(r *replica) { r.work = time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		if _, _, err := u.relay(ctx, block); err == nil {
			t.Fatal("answered")
		}
		synctest.Wait()
		if st := u.nearest.Status(0, time.Now()); st.Away || st.Flying != 0 {
			t.Errorf("%+v", st)
		}
		if fleet[1].count() != 0 {
			t.Error("another was asked for nobody")
		}
	}, 10*ms, 30*ms)
}

// All tries together end within the deadline of the request.
func TestTriesEndInTime(t *testing.T) {
	inFleet(t, Limits{RelayTimeout: 3500 * ms, TryTimeout: time.Second, ProbeTimeout: time.Hour}, func(t *testing.T, u *upstream, fleet []*replica) {
		silent := make(chan struct{})
		for _, r := range fleet {
			r.set(func(r *replica) { r.silent = silent })
		}
		began := time.Now()
		_, _, err := u.relay(t.Context(), block)
		if took := time.Since(began); !errors.Is(err, errNoVault) || took != 3500*ms {
			t.Errorf("%v after %v", err, took)
		}
		close(silent)
	}, 10*ms, 10*ms, 10*ms, 10*ms)
}
