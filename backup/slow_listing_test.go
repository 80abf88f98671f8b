package backup_test

import (
	"context"
	"io"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A tardy store answers in time, and the answers arrive after the lag is over: a storm of refusals, waited out below, or a line that was gone.
type tardy struct {
	cloud.Store
	delay time.Duration
}

func (s tardy) Traits() cloud.Traits { return cloud.TraitsOf(s.Store) }

func (s tardy) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	var infos []cloud.Info
	if err := s.Store.List(ctx, prefix, func(i cloud.Info) error { infos = append(infos, i); return nil }); err != nil {
		return err
	}
	time.Sleep(s.delay)
	for _, i := range infos {
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func (s tardy) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, name, offset, length)
	time.Sleep(s.delay)
	return r, err
}

// What a listing showed that was asked for within the lag says nothing, however late it comes: neither that there is no repository, nor that it
// was rolled back, nor that an object is missing.
func TestLagOfSlowAnswers(t *testing.T) {
	p, n := newPhone(t), newNetwork(late)
	backup.Warm()
	p.write("Media/1.jpg", []byte("1"))
	p.onNetwork(n, func() {
		_, err := backup.Create(p.t.Context(), p.store, p.key, time.Now())
		must(p.t, err)
		p.store = tardy{n.handle(), 2 * lag}
		p.snapNow()
	})
	p.write("Media/2.jpg", []byte("2"))
	p.snap(n)
	p.onNetwork(n, func() {
		p.snapNow()
		p.store = tardy{n.handle(), 2 * lag}
		must(p.t, verifyAll(p.open()))
		if got := len(p.open().Snapshots()); got != 2 {
			p.t.Errorf("%d snapshots", got)
		}
	})
}
