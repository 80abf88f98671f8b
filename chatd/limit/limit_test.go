package limit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/chatd/limit"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func key(n int) limit.Key { return limit.Key{byte(n), byte(n >> 8)} }

func TestBurstThenOneEveryInterval(t *testing.T) {
	l := limit.New(limit.Rate{Burst: 3, Every: time.Minute}, 10)
	for i := range 3 {
		if _, ok := l.Allow(key(1), start); !ok {
			t.Fatalf("refused at %d", i)
		}
	}
	if wait, ok := l.Allow(key(1), start); ok || wait != time.Minute {
		t.Errorf("a fourth: %v, %v", wait, ok)
	}
	if wait, ok := l.Allow(key(1), start.Add(59*time.Second)); ok || wait != time.Second {
		t.Errorf("a second early: %v, %v", wait, ok)
	}
	if _, ok := l.Allow(key(1), start.Add(time.Minute)); !ok {
		t.Error("refused after the wait it was told")
	}
}

// What is refused must not push the next one further away.
func TestRefusalsCostNothing(t *testing.T) {
	l := limit.New(limit.Rate{Burst: 1, Every: time.Minute}, 10)
	l.Allow(key(1), start)
	for range 1000 {
		if wait, ok := l.Allow(key(1), start); ok || wait != time.Minute {
			t.Fatalf("%v, %v", wait, ok)
		}
	}
}

func TestKeysDoNotShareABucket(t *testing.T) {
	l := limit.New(limit.Rate{Burst: 1, Every: time.Hour}, 10)
	for i := range 10 {
		if _, ok := l.Allow(key(i), start); !ok {
			t.Errorf("key %d is refused", i)
		}
	}
}

func TestTableForgetsWhomItSawLongestAgo(t *testing.T) {
	l := limit.New(limit.Rate{Burst: 1, Every: time.Hour}, 100)
	for i := range 1000 {
		l.Allow(key(i), start)
		l.Allow(key(0), start) // stays in sight
	}
	if l.Len() != 100 {
		t.Errorf("%d places", l.Len())
	}
	if _, ok := l.Allow(key(0), start); ok {
		t.Error("a key in sight was forgotten")
	}
	if _, ok := l.Allow(key(1), start); !ok {
		t.Error("a key out of sight is remembered")
	}
}

func TestNoRateIsNoBound(t *testing.T) {
	l := limit.New(limit.Rate{}, 1)
	for range 1000 {
		if _, ok := l.Allow(key(1), start); !ok || l.Len() != 0 {
			t.Fatal("bounded")
		}
	}
}

func TestConcurrentCallersGetTheBurstAndNoMore(t *testing.T) {
	l := limit.New(limit.Rate{Burst: 50, Every: time.Hour}, 10)
	var got atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, ok := l.Allow(key(1), start); ok {
				got.Add(1)
			}
		})
	}
	all.Wait()
	if got.Load() != 50 {
		t.Errorf("%d were allowed", got.Load())
	}
}
