package outage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is no measure of
// anything: the machine may be busy.
const patience = time.Minute

// buffer is what processes print, while tests read it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// server is a vaultd or a chatd that is started again and again, in its site.
type server struct {
	site   *site
	name   string // of its program
	config string
	admin  string
	log    buffer
	during *testing.T // the test that it runs in, which may be longer than the one that starts it

	cmd   *exec.Cmd
	ended chan struct{}
}

// run starts the server. It dies with the test, even if that is killed.
func (s *server) run(t *testing.T) {
	t.Helper()
	s.cmd, s.ended = exec.Command(filepath.Join(s.site.bin, s.name), "serve", "--config", s.config), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.Env = []string{"HOME=/nonexistent", "PATH=/usr/bin:/bin"}
	var err error
	s.site.do(func() { err = s.cmd.Start() })
	check(t, err)
	cmd, ended := s.cmd, s.ended
	go func() {
		cmd.Wait() // how it ended is in ProcessState
		close(ended)
	}()
	s.during.Cleanup(func() { cmd.Process.Kill(); <-ended })
}

func (s *server) signal(t *testing.T, what syscall.Signal) {
	t.Helper()
	check(t, s.cmd.Process.Signal(what))
}

// kill ends the process as a power cut would, but for the disk.
func (s *server) kill(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGKILL)
	<-s.ended
}

// stop tells the process to end, and wants it to do so in good order.
func (s *server) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Fatalf("%s does not end:\n%s", s.config, tail(s.log.String()))
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s ended with %d:\n%s", s.config, code, tail(s.log.String()))
	}
}

func (s *server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// look asks the operator's address; 0 when nobody answers.
func (s *server) look(path string) (status int, body []byte) {
	r, err := s.site.client().Get("http://" + s.admin + path)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	if body, err = io.ReadAll(r.Body); err != nil {
		return 0, nil
	}
	return r.StatusCode, body
}

func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(s.witness())
		}
	}()
	await(t, s.config+" to be ready", func() bool {
		if !s.running() {
			t.Fatalf("%s ended with %d:\n%s", s.config, s.cmd.ProcessState.ExitCode(), tail(s.log.String()))
		}
		status, _ := s.look("/readyz")
		return status == http.StatusOK
	})
}

// witness is what a server that is not as it should be says of itself: status, log and
// stacks. It ends the process.
func (s *server) witness() string {
	_, ready := s.look("/readyz")
	_, status := s.look("/status")
	s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.ended:
	case <-time.After(patience):
	}
	return fmt.Sprintf("%s: %s\n%s\n%s", s.config, ready, status, s.log.String())
}

// tail is the end of a log.
func tail(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// command runs a command that has to succeed, inside a site.
func (s *site) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, code := s.try(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

func (s *site) try(t *testing.T, name string, args ...string) (out string, code int) {
	t.Helper()
	var b buffer
	c := exec.CommandContext(t.Context(), filepath.Join(s.bin, name), args...)
	c.Stdout, c.Stderr = &b, &b
	var err error
	s.do(func() { err = c.Start() })
	check(t, err)
	c.Wait() // how it ended is in ProcessState
	return b.String(), c.ProcessState.ExitCode()
}

// made reads what a command printed with --json.
func made(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	_, object, _ := strings.Cut(text, "{") // warnings come before it
	if err := json.Unmarshal([]byte("{"+object), &m); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return m
}

// settings replaces the values of settings, each of which must be there once.
func settings(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		line := regexp.MustCompile(`(?m)^` + pairs[i] + `\s*=.*$`)
		if n := len(line.FindAllString(text, -1)); n != 1 {
			t.Fatalf("%s is there %d times in\n%s", pairs[i], n, text)
		}
		text = line.ReplaceAllLiteralString(text, pairs[i]+" = "+pairs[i+1])
	}
	return text
}
