package cloudtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

// down is a store that answers every request with an error, until it is nil.
type down struct {
	err error
	hooked
}

func newDown(err error) *down {
	d := &down{err: err}
	m := cloudtest.NewMemory()
	d.hooked = hooked{
		memory: m,
		put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
			if d.err != nil {
				return d.err
			}
			return m.Put(ctx, name, body, size)
		},
		get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
			if d.err != nil {
				return nil, d.err
			}
			return m.Get(ctx, name, offset, length)
		},
		list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
			if d.err != nil {
				return d.err
			}
			return m.List(ctx, prefix, fn)
		},
		stat: func(ctx context.Context, name string) (cloud.Info, error) {
			if d.err != nil {
				return cloud.Info{}, d.err
			}
			return m.Stat(ctx, name)
		},
		del: func(ctx context.Context, name string) error {
			if d.err != nil {
				return d.err
			}
			return m.Delete(ctx, name)
		},
	}
	return d
}

func (d *down) mend() { d.err = nil }

func slow(err error) error {
	return fmt.Errorf("asking: %w", &cloud.DelayError{After: time.Second, Err: err})
}

func TestRunErrors(t *testing.T) {
	open := func(err error) func(*testing.T) (cloud.Store, func()) {
		return func(*testing.T) (cloud.Store, func()) {
			d := newDown(err)
			return d, d.mend
		}
	}
	cloudtest.RunErrors(t, []cloudtest.ErrorCase{
		{Name: "denied", Open: open(fmt.Errorf("signing in: %w", cloud.ErrDenied)), Want: cloud.ErrDenied},
		{Name: "throttled", Open: open(slow(cloud.ErrThrottled)), Want: cloud.ErrThrottled, After: time.Second},
	})
}

// What the suite has to object to.
func TestErrorsAreToldApart(t *testing.T) {
	wantDenied := cloudtest.ErrorCase{Want: cloud.ErrDenied}
	wantDelay := cloudtest.ErrorCase{Want: cloud.ErrThrottled, After: time.Second}
	for name, c := range map[string]struct {
		cloudtest.ErrorCase
		err        error
		complaints int
	}{
		"as it is":        {wantDenied, cloud.ErrDenied, 0},
		"another kind":    {wantDenied, cloud.ErrFull, 10}, // what it is, and what it is not, of five methods
		"two kinds":       {wantDenied, errors.Join(cloud.ErrDenied, cloud.ErrFull), 5},
		"no kind":         {wantDenied, errors.New("odd"), 5},
		"delayed":         {wantDelay, slow(cloud.ErrThrottled), 0},
		"no delay":        {wantDelay, cloud.ErrThrottled, 5},
		"an unasked wait": {wantDenied, slow(cloud.ErrDenied), 5},
		"nothing wrong":   {wantDenied, nil, 5},
	} {
		t.Run(name, func(t *testing.T) {
			got := cloudtest.CheckErrors(t.Context(), c.ErrorCase, newDown(c.err), nil)
			if len(got) != c.complaints {
				t.Errorf("%d complaints, want %d: %q", len(got), c.complaints, got)
			}
		})
	}
}

func TestOnlyNamedMethodsFail(t *testing.T) {
	d := newDown(nil)
	d.put = func(context.Context, string, io.ReadSeeker, int64) error { return cloud.ErrFull }
	c := cloudtest.ErrorCase{Want: cloud.ErrFull, Methods: []string{"Put"}}
	if got := cloudtest.CheckErrors(t.Context(), c, d, nil); got != nil {
		t.Errorf("complaints about a store that is full: %q", got)
	}
}

// A Put that failed and is there when the failure ends.
func TestFailedPutThatStays(t *testing.T) {
	d := newDown(cloud.ErrThrottled)
	d.put = func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		return errors.Join(d.memory.Put(ctx, name, body, size), d.err)
	}
	if got := cloudtest.CheckErrors(t.Context(), cloudtest.ErrorCase{Want: cloud.ErrThrottled}, d, d.mend); got == nil {
		t.Error("no complaint about an object of a Put that failed")
	}
}
