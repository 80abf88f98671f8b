package chatd

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/chatd/limit"
)

// These tests play a fleet in a bubble: TLS and HTTP/2 as always, over pipes, and
// time that passes only when everybody waits. A vaultd that takes 70 ms takes 70
// ms, on any machine.

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
