package backup_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A tardy store answers in time, but for one request the answer arrives after the lag is over: a storm of refusals, waited out below, or a line
// that was gone for a while.
type tardy struct {
	cloud.Store
	nth   int // that request, counted over listings and downloads from 1
	delay time.Duration
	asked atomic.Int64
}

func (s *tardy) Traits() cloud.Traits { return cloud.TraitsOf(s.Store) }

func (s *tardy) wait() {
	if s.asked.Add(1) == int64(s.nth) {
		time.Sleep(s.delay)
	}
}

func (s *tardy) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	var infos []cloud.Info
	if err := s.Store.List(ctx, prefix, func(i cloud.Info) error { infos = append(infos, i); return nil }); err != nil {
		return err
	}
	s.wait()
	for _, i := range infos {
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *tardy) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, name, offset, length)
	s.wait()
	return r, err
}

// What an answer showed that was asked for within the lag says nothing, however late it comes: neither that there is no repository, nor that the
// cloud was rolled back, nor that an object is missing.
func TestLagOfSlowAnswers(t *testing.T) {
	for nth := 1; nth <= 8; nth++ {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			p, n := newPhone(t), newNetwork(late)
			backup.Warm()
			p.write("Media/1.jpg", []byte("1"))
			p.onNetwork(n, func() {
				_, err := backup.Create(p.t.Context(), p.store, p.key, time.Now())
				must(p.t, err)
				p.store = &tardy{Store: n.handle(), nth: nth, delay: 2 * lag}
				p.snapNow()
				p.cache = p.t.TempDir() // which would know
				p.store = &tardy{Store: n.handle(), nth: nth, delay: 2 * lag}
				r := p.open()
				if got := len(r.Snapshots()); got != 1 {
					p.t.Errorf("%d snapshots", got)
				}
				must(p.t, verifyAll(r))
			})
		})
	}
}
