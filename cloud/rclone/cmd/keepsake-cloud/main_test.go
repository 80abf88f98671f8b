//go:build !windows

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

const asCommand = "KEEPSAKE_TEST_AS_COMMAND"

// The test's binary is the command too, and the browser that xdg-open starts: linking rclone
// takes its time.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == "xdg-open":
		browse(os.Args[1])
	case os.Getenv(asCommand) != "":
		main()
	default:
		os.Exit(m.Run())
	}
}

// browse is a browser whose person says yes to everything: it follows redirects, through the
// proxy and with the authorities of the environment.
func browse(address string) {
	resp, err := http.Get(address)
	if err != nil {
		os.Exit(1)
	}
	page, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	os.WriteFile(os.Getenv("BROWSER_PAGE"), page, 0o600)
}

// world is a computer with nothing on it.
type world struct {
	t    *testing.T
	home string
	env  []string
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(bin, 0o700)
	}
	if err == nil {
		err = os.Symlink(self, filepath.Join(bin, "xdg-open"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, home, append([]string{
		asCommand + "=1", "HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "XDG_CACHE_HOME=" + filepath.Join(home, "cache"),
		"PATH=" + bin + ":/usr/bin:/bin", "TERM=xterm", "TZ=UTC", "BROWSER_PAGE=" + filepath.Join(home, "page"),
		// No keyring, also on a developer's desktop.
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + home + "/no-bus",
	}, env...)}
}

func (w *world) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), self, args...)
	cmd.Env = w.env
	return cmd
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

// run runs the command without a terminal.
func (w *world) run(args ...string) result {
	w.t.Helper()
	cmd := w.command(args...)
	cmd.SysProcAttr = noTerminal()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), err.String()}
}

// want fails the test unless the command ended with code and said all of says, on any stream.
func (w *world) want(r result, code int, says ...string) result {
	w.t.Helper()
	for _, text := range says {
		if !strings.Contains(r.out+r.err, text) {
			w.t.Errorf("it does not say %q", text)
			code = -1
		}
	}
	if r.code != code {
		w.t.Fatalf("exit %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	return r
}

// report runs check and gives what it found.
func (w *world) check(dest string) report {
	w.t.Helper()
	r := w.want(w.run("check", dest, "--json"), 0)
	var got report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		w.t.Fatalf("%v in\n%s", err, r.out)
	}
	if !got.Passed || len(got.Steps) != 11 || got.LeftBehind != "" || got.Up <= 0 || got.Down <= 0 || got.Latency <= 0 || got.Provider != "" && len(got.Sees) == 0 {
		w.t.Errorf("check %s: %s", dest, r.out)
	}
	return got
}

// files gives the files in which sign-ins are kept.
func (w *world) files() []string {
	w.t.Helper()
	all, err := filepath.Glob(filepath.Join(w.home, "config", "keepsake", "clouds", "*.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

type screen struct {
	t    *testing.T
	cmd  *exec.Cmd
	ctrl *os.File
	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{}
	at   int
	end  chan struct{}
}

// sit runs the command at a terminal of its own, which is also its standard input and output.
func (w *world) sit(args ...string) *screen {
	w.t.Helper()
	s := &screen{t: w.t, cmd: w.command(args...), more: make(chan struct{}, 1), end: make(chan struct{})}
	var err error
	if s.ctrl, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		w.t.Fatal(err)
	}
	go s.watch()
	w.t.Cleanup(func() { s.ctrl.Close() })
	return s
}

func (s *screen) watch() {
	defer close(s.end)
	buf := make([]byte, 4096)
	for {
		n, err := s.ctrl.Read(buf)
		s.mu.Lock()
		s.seen.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.seen.String(), "\r\n", "\n")
}

// see waits until text is on the screen, behind what was seen before, and gives what stands
// between.
func (s *screen) see(text string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		all := s.text()
		if i := strings.Index(all[s.at:], text); i >= 0 {
			between := all[s.at : s.at+i]
			s.at += i + len(text)
			return between
		}
		select {
		case <-s.more:
		case <-s.end:
			if !strings.Contains(s.text()[s.at:], text) {
				s.t.Fatalf("it ended and did not say %q:\n%s", text, s.text())
			}
		case <-ctx.Done():
			s.t.Fatalf("it does not say %q:\n%s", text, s.text())
		}
	}
}

// enter types a line.
func (s *screen) enter(text string) {
	s.t.Helper()
	if _, err := s.ctrl.WriteString(text + "\r"); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the end of the command.
func (s *screen) ends(code int) string {
	s.t.Helper()
	<-s.end
	s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("exit %d, want %d\n%s", got, code, s.text())
	}
	if os.Getenv("SHOW") != "" {
		s.t.Logf("\n%s", s.text())
	}
	return s.text()
}

// hides fails the test if a secret was on the screen.
func (s *screen) hides(secrets ...string) {
	s.t.Helper()
	for _, secret := range secrets {
		if strings.Contains(s.text(), secret) {
			s.t.Errorf("the screen shows %q:\n%s", secret, s.text())
		}
	}
}
