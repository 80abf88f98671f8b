//go:build !windows

package process_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
)

// stop stops a child, and waits until it has: the last of its threads may answer meanwhile.
func stop(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			t.Fatalf("stopping the child: %v, status %v", err, status)
		}
		return
	}
}

// A child that is stopped is noticed, in whatever a request does then, and is ended; the next
// request has another.
func TestFrozenChild(t *testing.T) {
	defer process.SetFrozenTime(100*time.Millisecond, 4*time.Second)() // a child of a busy machine answers within that
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	data := noise(4 << 20)
	var err error
	for range process.MaxDeaths { // and if not, the next one does
		if err = s.Put(t.Context(), "data/a", bytes.NewReader(data), int64(len(data))); err == nil || errors.Is(err, cloud.ErrExist) {
			break
		}
	}
	if err != nil && !errors.Is(err, cloud.ErrExist) {
		t.Fatal(err)
	}
	for what, request := range map[string]func(freeze func()) error{
		"Stat": func(freeze func()) error {
			freeze()
			_, err := s.Stat(t.Context(), "data/a")
			return err
		},
		"Put": func(freeze func()) error {
			return s.Put(t.Context(), "data/b", &killingBody{bytes.NewReader(data), len(data) / 2, freeze}, int64(len(data)))
		},
		"Get": func(freeze func()) error {
			r, err := s.Get(t.Context(), "data/a", 0, -1)
			if err != nil {
				return err
			}
			defer r.Close()
			freeze()
			_, err = io.Copy(io.Discard, r)
			return err
		},
	} {
		frozen := 0
		err := request(func() {
			frozen = s.Pid()
			stop(t, frozen)
		})
		if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "has not answered for 4s, and was ended") {
			t.Errorf("%s of a frozen child = %v, want ErrUnreachable and why", what, err)
		}
		if err := syscall.Kill(frozen, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: the frozen child is there: %v", what, err)
		}
		for range process.MaxDeaths { // where the machine is so busy that the next one seems frozen too
			if _, err = s.Stat(t.Context(), "data/a"); err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: the next child: %v", what, err)
		}
	}
}

// A child that is asked nothing, or takes long over an answer, is not frozen.
func TestQuietChildLives(t *testing.T) {
	defer process.SetFrozenTime(20*time.Millisecond, 10*time.Second)()
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	pid := s.Pid()
	time.Sleep(200 * time.Millisecond) // ten questions whether it lives
	if _, err := s.Stat(t.Context(), "data/a"); !errors.Is(err, cloud.ErrNotExist) || s.Pid() != pid {
		t.Errorf("Stat = %v, of the child %d, want that of %d", err, s.Pid(), pid)
	}
}
