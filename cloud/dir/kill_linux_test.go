package dir_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

const roleVar = "KEEPSAKE_TEST_ROLE" // "role path": this process is a helper of a test

func TestMain(m *testing.M) {
	role, path, found := strings.Cut(os.Getenv(roleVar), " ")
	if !found {
		os.Exit(m.Run())
	}
	s, err := dir.Open(path)
	if err == nil {
		err = map[string]func(*dir.Store) error{"limited": limited, "writer": writer, "stuck": stuck}[role](s)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func helperCommand(t *testing.T, role, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role+" "+path)
	return cmd
}

func helper(t *testing.T, role, path string) string {
	t.Helper()
	out, err := helperCommand(t, role, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", role, err, out)
	}
	return string(out)
}

// limited puts an object larger than the process may make a file.
func limited(s *dir.Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	const limit = 3 << 19
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	err := s.Put(context.Background(), "data/00", bytes.NewReader(make([]byte, limit+1)), limit+1)
	if errors.Is(err, cloud.ErrFull) {
		fmt.Println("ErrFull")
		return nil
	}
	return fmt.Errorf("put: %w", err)
}

// object is what writer puts under a name: anyone can tell if it is whole.
func object(name string) []byte {
	seed := [32]byte{}
	copy(seed[:], name)
	r := rand.NewChaCha8(seed)
	data := make([]byte, 100_000+r.Uint64()%3_000_000)
	_, _ = r.Read(data) // never fails
	return data
}

// writer puts objects until it is killed, and says which are put.
func writer(s *dir.Store) error {
	for i := 0; ; i++ {
		name := fmt.Sprintf("data/%d-%d", os.Getpid(), i)
		data := object(name)
		if err := s.Put(context.Background(), name, bytes.NewReader(data), int64(len(data))); err != nil {
			return err
		}
		fmt.Println(name)
	}
}

// stuck puts half an object, says so, and waits to be killed.
func stuck(s *dir.Store) error {
	data := object("data/stuck")
	body := &pausing{Reader: bytes.NewReader(data), pause: func() {
		fmt.Println("half")
		_, _ = io.Copy(io.Discard, os.Stdin)
	}}
	return s.Put(context.Background(), "data/stuck", body, int64(len(data)))
}

// killed starts a helper, kills it when after says so, and returns the lines
// it got out.
func killed(t *testing.T, role, path string, after func(first <-chan struct{})) []string {
	t.Helper()
	cmd := helperCommand(t, role, path)
	stdin, err := cmd.StdinPipe() // stays open
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, done := make(chan struct{}), make(chan []string)
	go func() {
		var lines []string
		for in := bufio.NewScanner(out); in.Scan(); {
			if lines = append(lines, in.Text()); len(lines) == 1 {
				close(first)
			}
		}
		if lines == nil {
			close(first) // it failed; the caller finds no line
		}
		done <- lines
	}()
	after(first)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lines := <-done
	_ = cmd.Wait() // says that it was killed
	return lines
}

// Killed at any moment: what was reported is there, and all that is there is whole.
func TestKilledWriter(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	reported := make(map[string]bool)
	for range 25 {
		pause := time.Duration(rand.IntN(30_000)) * time.Microsecond
		for _, name := range killed(t, "writer", path, func(first <-chan struct{}) { <-first; time.Sleep(pause) }) {
			reported[name] = true
		}
	}
	listed := make(map[string]bool)
	err := s.List(t.Context(), "", func(i cloud.Info) error {
		listed[i.Name] = true
		got, err := get(s, i.Name)
		if err != nil || got != string(object(i.Name)) || i.Size != int64(len(got)) {
			t.Errorf("%s is not whole: %d bytes, %v", i.Name, len(got), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range reported {
		if !listed[name] {
			t.Errorf("%s was reported and is lost", name)
		}
	}
	if len(reported) < 25 {
		t.Errorf("25 writers reported %d objects", len(reported))
	}
	t.Logf("%d objects reported, %d listed, %d half-written files hidden", len(reported), len(listed), len(temps(t, path)))
}

func TestKilledHalfWay(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	if got := killed(t, "stuck", path, func(first <-chan struct{}) { <-first }); len(got) != 1 || got[0] != "half" {
		t.Fatalf("writer said %q", got)
	}
	left := temps(t, path)
	if len(left) != 1 {
		t.Fatalf("%d half-written files, want 1", len(left))
	}
	wantListed(t, s)
	put(t, s, "data/stuck", "whole")
	wantListed(t, s, "data/stuck")

	later := time.Now().Add(-dir.Abandoned - time.Minute)
	if err := os.Chtimes(left[0], later, later); err != nil {
		t.Fatal(err)
	}
	next, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, next, "data/next", "x")
	if left := temps(t, path); left != nil {
		t.Errorf("a day later there is still %q", left)
	}
}
