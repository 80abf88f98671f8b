package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A shortening store gives the nth object that is read whole without its last bytes, and does not say so: what comes of a Content-Length that is
// too small.
type shortening struct {
	cloud.Store
	nth, often int
	mu         sync.Mutex
	whole      int
}

func (s *shortening) Traits() cloud.Traits { return cloud.Traits{Parallel: 1} }

func (s *shortening) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, name, offset, length)
	if err != nil || offset != 0 || length >= 0 || strings.HasPrefix(name, "meta/") {
		return r, err
	}
	defer r.Close()
	object, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole++; s.whole >= s.nth && s.whole < s.nth+s.often {
		object = object[:len(object)-7]
	}
	return io.NopCloser(bytes.NewReader(object)), err
}

// What came too short once is read again, and not called damaged; what is too short each time is.
func TestShortOnceIsNotDamage(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.snapNow()
	read := 0
	for nth := 1; nth == 1 || nth <= read; nth++ {
		s := &shortening{Store: p.store, nth: nth, often: 1}
		r, err := backup.Open(t.Context(), s, p.key, backup.Options{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatalf("object %d came short once: %v", nth, err)
		}
		must(t, verifyAll(r))
		if s.whole < nth {
			t.Errorf("only %d objects were read", s.whole)
		}
		read = s.whole - 1
	}
	if read < 3 {
		t.Errorf("%d objects read whole, want a ring, a head and a snapshot at least", read)
	}
	s := &shortening{Store: p.store, nth: 1, often: 1000}
	if _, err := backup.Open(t.Context(), s, p.key, backup.Options{CacheDir: t.TempDir()}); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a ring that is short = %v, want ErrDamaged", err)
	}
}
