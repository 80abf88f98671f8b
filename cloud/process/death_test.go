package process_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
)

// killingBody has somebody kill the child when half of it is read.
type killingBody struct {
	*bytes.Reader
	at   int
	kill func()
}

func (b *killingBody) Read(p []byte) (int, error) {
	if b.kill != nil && b.Len() <= b.at {
		b.kill()
		b.kill = nil
	}
	return b.Reader.Read(p[:min(len(p), 32<<10)])
}

func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

// A child that is killed in the middle of an upload leaves nothing, the error says
// what happened, and the next request has a new child.
func TestKilledInTheMiddleOfPut(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	data := noise(4 << 20)
	for _, at := range []int{len(data), len(data) / 2, 0} {
		err := s.Put(t.Context(), "data/a", &killingBody{bytes.NewReader(data), at, s.Kill}, int64(len(data)))
		if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("Put with %d bytes left = %v, want ErrUnreachable and how it ended", at, err)
		}
		if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
			t.Fatalf("Stat after the death = %v, want ErrNotExist from a new child", err)
		}
	}
	if err := s.Put(t.Context(), "data/a", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("the next Put: %v", err)
	}
	if got, err := read(s, "data/a"); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read back %d bytes, %v", len(got), err)
	}
}

func TestKilledInTheMiddleOfGet(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	data := noise(16 << 20)
	if err := s.Put(t.Context(), "data/a", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	r, err := s.Get(t.Context(), "data/a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	rest, err := io.ReadAll(r)
	if !errors.Is(err, cloud.ErrUnreachable) || len(rest) >= len(data)-1000 {
		t.Errorf("the rest is %d bytes, %v; want ErrUnreachable before the end", len(rest), err)
	}
}

// Requests that wait when the child dies all end, and one new child serves them all.
func TestKilledUnderManyRequests(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if i == 10 {
				s.Kill()
			}
			_, err := s.Stat(t.Context(), "data/a")
			if !errors.Is(err, cloud.ErrNotExist) && !errors.Is(err, cloud.ErrUnreachable) {
				t.Errorf("Stat = %v", err)
			}
		})
	}
	wg.Wait()
	_, err := s.Stat(t.Context(), "data/a")
	for err != nil && strings.Contains(err.Error(), "killed") { // until it is seen that the first is gone
		_, err = s.Stat(t.Context(), "data/a")
	}
	if !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Stat afterwards = %v, want ErrNotExist", err)
	}
}

// A store whose children die again and again gives up.
func TestGivesUp(t *testing.T) {
	s := open(t, "hostile", "dies")
	for range process.MaxDeaths + 1 {
		if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrUnreachable) {
			t.Fatalf("Stat = %v, want ErrUnreachable", err)
		}
	}
	_, err := s.Stat(t.Context(), "data/a")
	if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "in a row") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("Stat = %v, want how often it ended, and what it said", err)
	}
}

// A network that is down while a new child opens the cloud kills no child, however often it is tried.
func TestStormAfterADeath(t *testing.T) {
	s := open(t, "storm", filepath.Join(t.TempDir(), "cloud"))
	s.Kill()
	for n := range stormy {
		_, err := s.Stat(t.Context(), "data/a")
		for n == 0 && err != nil && strings.Contains(err.Error(), "killed") { // until it is seen that the first is gone
			_, err = s.Stat(t.Context(), "data/a")
		}
		if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "storm") {
			t.Fatalf("Stat %d = %v, want what the new child says", n, err)
		}
	}
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Stat after the storm = %v, want ErrNotExist", err)
	}
}

// Requests of a context that ended leave the child alone.
func TestCancelledRequestSparesTheChild(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	before := s.Pid()
	ctx, cancel := context.WithCancel(t.Context())
	body := &killingBody{bytes.NewReader(noise(2 << 20)), 1 << 20, cancel}
	if err := s.Put(ctx, "data/a", body, 2<<20); !errors.Is(err, context.Canceled) {
		t.Fatalf("Put = %v, want context.Canceled", err)
	}
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Fatalf("Stat = %v, want ErrNotExist", err)
	}
	if s.Pid() != before {
		t.Error("the child is another one")
	}
}

// A child that does not leave when its input ends is made to.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	s := open(t, "stays", filepath.Join(t.TempDir(), "cloud"))
	process.SetLeaveTime(50 * time.Millisecond)
	defer process.SetLeaveTime(5 * time.Second)
	if err := s.Close(); err != nil || s.Alive() {
		t.Errorf("Close: %v, and the child lives: %t", err, s.Alive())
	}
}
