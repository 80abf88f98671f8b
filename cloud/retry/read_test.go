package retry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/retry"
)

// A download that breaks anywhere, in any of the ways in which one breaks, gives
// every byte once.
func TestGetGoesOn(t *testing.T) {
	const size = 1000
	data := pattern(size)
	for _, fault := range []error{unreachable("reset"), cloud.ErrThrottled, io.ErrUnexpectedEOF} {
		for _, r := range []struct{ offset, length int64 }{{0, -1}, {0, size}, {300, 500}, {999, 1}, {1, -1}} {
			for _, step := range []int{1, 7, 499, 500, 999} {
				w := newWorld()
				s := w.store(nil)
				put(t, s, "data/a", data)
				w.broken = func(int) (int, error) { return step, fault }
				got, err := read(t, s, "data/a", r.offset, r.length)
				want := data[r.offset:]
				if r.length >= 0 {
					want = want[:r.length]
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v every %d bytes: Get(%d, %d) gave %d bytes, %v", fault, step, r.offset, r.length, len(got), err)
				}
			}
		}
	}
}

// A range that ends too early without a word, or a byte that comes with its error.
func TestGetOfQuietEnds(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	put(t, s, "data/a", pattern(1000))
	w.broken = func(n int) (int, error) { return 100 * n, io.EOF }
	if got, err := read(t, s, "data/a", 0, 1000); err != nil || !bytes.Equal(got, pattern(1000)) {
		t.Errorf("Get gave %d bytes, %v", len(got), err)
	}
}

func TestBytesThatComeWithAnError(t *testing.T) {
	w := &withError{world: newWorld()}
	s := retry.New(w, retry.Options{Sleep: func(context.Context, time.Duration) error { return nil }})
	put(t, s, "data/a", pattern(1000))
	if got, err := read(t, s, "data/a", 0, -1); err != nil || !bytes.Equal(got, pattern(1000)) {
		t.Errorf("Get gave %d bytes, %v", len(got), err)
	}
}

// withError gives 100 bytes and an error at once, and would go on after it.
type withError struct{ *world }

func (w *withError) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := w.Memory.Get(ctx, name, offset, length)
	return &erring{ReadCloser: r}, err
}

type erring struct {
	io.ReadCloser
	broken bool
}

func (r *erring) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), 100)])
	if r.broken {
		clear(p[:n]) // nobody may count on what comes after an error
	}
	r.broken = true
	if err == nil {
		err = cloud.ErrThrottled
	}
	return n, err
}

// An object that is too short is that, and no fault of the way.
func TestGetOfTooShort(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	put(t, s, "data/a", pattern(1000))
	for _, r := range []struct{ offset, length int64 }{{0, 1001}, {500, 501}, {1001, -1}, {1001, 1}, {1 << 62, 1 << 62}} {
		if _, err := read(t, s, "data/a", r.offset, r.length); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Get(%d, %d) = %v, want io.ErrUnexpectedEOF", r.offset, r.length, err)
		}
	}
	if w.waits != nil {
		t.Errorf("waited %d times", len(w.waits))
	}
}

// Every byte is a reason to go on being patient.
func TestGetThatGetsFurtherIsNotGivenUp(t *testing.T) {
	w := newWorld()
	s := w.store(func(o *retry.Options) { o.Patience = 2 * time.Second })
	put(t, s, "data/a", pattern(1000))
	w.broken = func(int) (int, error) { return 1, unreachable("reset") }
	if got, err := read(t, s, "data/a", 0, -1); err != nil || !bytes.Equal(got, pattern(1000)) {
		t.Errorf("Get gave %d bytes, %v", len(got), err)
	}
	w.broken = func(int) (int, error) { return 0, unreachable("reset") }
	if _, err := read(t, s, "data/a", 0, -1); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Get = %v, want to be given up", err)
	}
}

func TestGetDeletedMeanwhile(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	put(t, s, "data/a", pattern(1000))
	w.broken = func(int) (int, error) {
		w.Memory.Delete(t.Context(), "data/a")
		return 10, unreachable("reset")
	}
	if got, err := read(t, s, "data/a", 0, -1); !errors.Is(err, cloud.ErrNotExist) || len(got) != 10 {
		t.Errorf("Get gave %d bytes, %v; want ErrNotExist", len(got), err)
	}
}

func TestGetCancelledWhileWaiting(t *testing.T) {
	w := newWorld()
	ctx, cancel := context.WithCancel(t.Context())
	s := w.store(func(o *retry.Options) { o.Waiting = func(retry.Wait) { cancel() } })
	put(t, s, "data/a", pattern(1000))
	w.broken = func(int) (int, error) { return 10, unreachable("reset") }
	r, err := s.Get(ctx, "data/a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading = %v, want context.Canceled", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}
