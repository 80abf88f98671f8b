package chatd

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// silentFleet is a cache whose fetches find no vaultd, which takes them 6 s.
func silentFleet() (*bundleCache, *atomic.Int32) {
	fetches := new(atomic.Int32)
	return &bundleCache{every: 2 * time.Second, now: time.Now, fetch: func(context.Context) ([]byte, error) {
		fetches.Add(1)
		time.Sleep(6 * time.Second)
		return nil, errNoVault
	}}, fetches
}

// While no vaultd answers, all who ask share one fetch; they wait for it a second, if there
// is an older bundle, and it is not begun again as soon as it has failed.
func TestAllWhoAskShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, fetches := silentFleet()
		b.last.Store(&fetched{[]byte("bundle"), time.Now().Add(-time.Minute)})
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if data, err := b.get(t.Context()); err != nil || string(data) != "bundle" {
					t.Errorf("%q, %v", data, err)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took > time.Second || fetches.Load() != 1 {
			t.Errorf("%d fetches, and answers after %v", fetches.Load(), took)
		}
		for _, at := range []struct {
			passed time.Duration
			want   int32
		}{{6500 * time.Millisecond, 1}, {7100 * time.Millisecond, 2}} {
			time.Sleep(time.Until(began.Add(at.passed)))
			b.get(t.Context())
			if n := fetches.Load(); n != at.want {
				t.Errorf("%d fetches after %v", n, at.passed)
			}
		}
		time.Sleep(10 * time.Second) // the last fetch ends
	})
}

// Without any bundle they wait for the fetch, each as long as its client does.
func TestWhoHangsUpWaitsForNoBundle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := silentFleet()
		began := time.Now()
		var all sync.WaitGroup
		for _, patience := range []time.Duration{time.Second, 2 * time.Second, time.Minute} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := b.get(ctx)
				if took := time.Since(began); !errors.Is(err, errNoBundle) || took != min(patience, 6*time.Second) {
					t.Errorf("%v after %v, to a client that waits %v", err, took, patience)
				}
			})
		}
		all.Wait()
	})
}

// Who asked first and hangs up does not end the fetch that others wait for; what was told to be
// old is fetched once.
func TestFetchOutlivesWhoBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetches := 0
		b := &bundleCache{every: time.Hour, now: time.Now, fetch: func(ctx context.Context) ([]byte, error) {
			fetches++
			select {
			case <-time.After(3 * time.Second):
				return []byte("bundle"), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		b.old.Store(true)
		first, hangUp := context.WithTimeout(t.Context(), time.Second)
		defer hangUp()
		var second sync.WaitGroup
		second.Go(func() {
			time.Sleep(500 * time.Millisecond)
			if data, err := b.get(t.Context()); err != nil || string(data) != "bundle" {
				t.Errorf("%q, %v", data, err)
			}
		})
		b.get(first)
		second.Wait()
		time.Sleep(10 * time.Second)
		if _, err := b.get(t.Context()); err != nil || fetches != 1 {
			t.Errorf("%v after %d fetches", err, fetches)
		}
	})
}
