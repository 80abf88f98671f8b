package retry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/retry"
)

// world is a store in memory, a fault before or after each request, and a clock
// that moves only when somebody waits.
type world struct {
	*cloudtest.Memory
	mu     sync.Mutex
	now    time.Time
	slept  []time.Duration
	waits  []retry.Wait
	resume int
	asked  map[string]int // requests by method

	// Both may be nil. before fails a request that then does nothing; after
	// fails one that has done its work. n counts from 1 for each method.
	before, after func(method string, n int) error
	// spared, if not nil, says of a request that no fault is planted in it.
	spared func(method, name string) bool
	// broken cuts the part of a download that was opened as the nth after so
	// many bytes; negative: not.
	broken func(n int) (after int, err error)
}

func newWorld() *world {
	return &world{Memory: cloudtest.NewMemory(), now: time.Unix(1e9, 0), asked: make(map[string]int)}
}

// store tries again, with waits as long as they can be.
func (w *world) store(change func(*retry.Options)) *retry.Store {
	o := retry.Options{
		Now:     func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Jitter:  func(d time.Duration) time.Duration { return d },
		Waiting: func(wait retry.Wait) { w.mu.Lock(); defer w.mu.Unlock(); w.waits = append(w.waits, wait) },
		Resumed: func() { w.mu.Lock(); defer w.mu.Unlock(); w.resume++ },
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.pass(d)
			return ctx.Err()
		},
	}
	if change != nil {
		change(&o)
	}
	return retry.New(w, o)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	w.slept = append(w.slept, d)
}

// do makes one request with its faults.
func (w *world) do(method, name string, request func(n int) error) error {
	spared := w.spared != nil && w.spared(method, name)
	w.mu.Lock()
	w.asked[method]++
	n := w.asked[method]
	w.mu.Unlock()
	if w.before != nil && !spared {
		if err := w.before(method, n); err != nil {
			return err
		}
	}
	err := request(n)
	if w.after != nil && !spared {
		if fault := w.after(method, n); fault != nil {
			return fault
		}
	}
	return err
}

func (w *world) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	return w.do("Put", name, func(int) error { return w.Memory.Put(ctx, name, body, size) })
}

func (w *world) Delete(ctx context.Context, name string) error {
	return w.do("Delete", name, func(int) error { return w.Memory.Delete(ctx, name) })
}

func (w *world) Stat(ctx context.Context, name string) (info cloud.Info, err error) {
	err = w.do("Stat", name, func(int) error { info, err = w.Memory.Stat(ctx, name); return err })
	return info, err
}

func (w *world) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	return w.do("List", prefix, func(n int) error {
		told := 0
		return w.Memory.List(ctx, prefix, func(info cloud.Info) error {
			if after, err := w.breaks(n); err != nil && told == after {
				return err
			}
			told++
			return fn(info)
		})
	})
}

func (w *world) Get(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = w.do("Get", name, func(n int) error {
		if r, err = w.Memory.Get(ctx, name, offset, length); err != nil {
			return err
		}
		if after, fault := w.breaks(n); fault != nil {
			r = &cutReader{r, after, fault}
		}
		return nil
	})
	return r, err
}

func (w *world) breaks(n int) (after int, err error) {
	if w.broken == nil {
		return 0, nil
	}
	return w.broken(n)
}

type cutReader struct {
	io.ReadCloser
	left int
	err  error
}

func (r *cutReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, r.err
	}
	n, err := r.ReadCloser.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// times fails the first n requests of a method.
func times(n int, method string, err error) func(string, int) error {
	return func(m string, i int) error {
		if m == method && i <= n {
			return err
		}
		return nil
	}
}

func unreachable(why string) error { return fmt.Errorf("asking: %w: %s", cloud.ErrUnreachable, why) }

func put(t *testing.T, s cloud.Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

func wantContent(t *testing.T, s cloud.Store, name string, want []byte) {
	t.Helper()
	if got, err := read(t, s, name, 0, -1); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Get(%s) gave %d bytes, %v; want the %d put", name, len(got), err, len(want))
	}
}

func read(t *testing.T, s cloud.Store, name string, offset, length int64) ([]byte, error) {
	t.Helper()
	r, err := s.Get(t.Context(), name, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// pattern has another byte at each of the next 251 offsets.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}
