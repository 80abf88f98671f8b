package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"keepsake.example/internal/cli"
)

// screen is the far side of a terminal: what a person sees and types.
type screen struct {
	t    *testing.T
	ctrl *os.File
	tty  *os.File
	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{}
}

func newScreen(t *testing.T) (*cli.Terminal, *screen) {
	t.Helper()
	ctrl, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, ctrl: ctrl, tty: tty, more: make(chan struct{}, 1)}
	go s.watch()
	t.Cleanup(func() { ctrl.Close(); tty.Close() })
	return cli.TerminalOn(tty), s
}

func (s *screen) watch() {
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
	return s.seen.String()
}

// wait returns when text was seen. The deadline keeps a failing test from hanging:
// the terminal goes, and with it the question.
func (s *screen) wait(text string) {
	deadline := time.After(2 * time.Minute)
	for !strings.Contains(s.text(), text) {
		select {
		case <-s.more:
		case <-deadline:
			s.t.Errorf("never saw %q, but %q", text, s.text())
			s.ctrl.Close()
			return
		}
	}
}

func (s *screen) press(text string) {
	s.t.Helper()
	if _, err := s.ctrl.WriteString(text); err != nil {
		s.t.Error(err)
	}
}

const typed = "0011 2233-4455 6677 8899 aabb ccdd eeff ffee ddcc bbaa 9988 7766 5544 3322 1100"

func TestDigitsAreNeverEchoed(t *testing.T) {
	terminal, s := newScreen(t)
	go func() {
		s.wait("your digits")
		s.press(typed)
		s.wait("•••• •••• •••• ••••")
		s.press("\r")
	}()
	got, err := terminal.Digits(context.Background(), "your digits")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(" ", "", "-", "").Replace(typed)
	if string(got) != want {
		t.Errorf("got %q", got)
	}
	s.wait("(64 digits)")
	for _, group := range strings.Fields(strings.ReplaceAll(typed, "-", " ")) {
		if strings.Contains(s.text(), group) {
			t.Errorf("group %s is on the screen", group)
		}
	}
}

func TestTabShowsTheDigitsAndEnterErasesThem(t *testing.T) {
	terminal, s := newScreen(t)
	go func() {
		s.wait("your digits")
		s.press("dead\t")
		s.wait("dead")
		s.press("\r")
	}()
	if _, err := terminal.Digits(context.Background(), "your digits"); err != nil {
		t.Fatal(err)
	}
	s.wait("(4 digits)")
	text := s.text()
	if !strings.Contains(text[strings.LastIndex(text, "dead"):], "\x1b[J") {
		t.Errorf("not erased after it was shown: %q", text)
	}
}

func TestEditing(t *testing.T) {
	for typed, want := range map[string]string{
		"abcd\x7f\x7fef\r":              "abef",
		"abcd\x15ef\r":                  "ef",
		"\x7fab\x1b[Ac\x1bOHd\n":        "abcd",
		"ab\x04cd\r":                    "abcd",
		"ab\x00\x01cd\r":                "abcd",
		"ä7\r":                          "ä7",
		strings.Repeat("a", 300) + "\r": strings.Repeat("a", 256),
	} {
		terminal, s := newScreen(t)
		go func() {
			s.wait("?")
			s.press(typed)
		}()
		got, err := terminal.Digits(context.Background(), "?")
		if err != nil || string(got) != want {
			t.Errorf("%q gave %q, %v; want %q", typed, got, err, want)
		}
	}
}

func TestAskAndConfirm(t *testing.T) {
	for typed, want := range map[string]bool{"y\r": true, "YES\r": true, "\r": false, "n\r": false, "yy\r": false, "yes please\r": false} {
		terminal, s := newScreen(t)
		go func() {
			s.wait("[y/N]")
			s.press(typed)
		}()
		got, err := terminal.Confirm(context.Background(), "sure?")
		s.wait("sure? [y/N] " + strings.TrimSpace(typed))
		if err != nil || got != want {
			t.Errorf("%q gave %v, %v", typed, got, err)
		}
	}
}

// Typed ahead, the second answer must not be lost with the first.
func TestAnswersTypedAhead(t *testing.T) {
	terminal, s := newScreen(t)
	go func() {
		s.wait("one")
		s.press("a\rb\r")
	}()
	for _, want := range []string{"a", "b"} {
		got, err := terminal.Ask(context.Background(), "one")
		if err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestInterruptedQuestionRestoresTheTerminal(t *testing.T) {
	ends := map[string]func(s *screen, cancel context.CancelCauseFunc){
		"ctrl-c": func(s *screen, _ context.CancelCauseFunc) { s.press("12\x03") },
		"ctrl-d": func(s *screen, _ context.CancelCauseFunc) { s.press("\x04") },
		"signal": func(_ *screen, cancel context.CancelCauseFunc) { cancel(cli.ErrInterrupted) },
	}
	for name, end := range ends {
		terminal, s := newScreen(t)
		before, err := term.GetState(int(s.tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() {
			s.wait("digits?")
			end(s, cancel)
		}()
		if _, err := terminal.Digits(ctx, "digits?"); !errors.Is(err, cli.ErrInterrupted) {
			t.Errorf("%s: got %v", name, err)
		}
		after, err := term.GetState(int(s.tty.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if *before != *after {
			t.Errorf("%s: the terminal was left changed", name)
		}
		cancel(nil)
	}
}

func TestShowErasesTheScreen(t *testing.T) {
	terminal, s := newScreen(t)
	go func() {
		s.wait("press enter")
		s.press("\r")
	}()
	if err := terminal.Show(context.Background(), "the secret\n", "press enter"); err != nil {
		t.Fatal(err)
	}
	s.wait("\x1b[?1049l")
	text := s.text()
	if strings.Index(text, "\x1b[?1049h") > strings.Index(text, "the secret") {
		t.Error("the secret was shown on the primary screen")
	}
	if !strings.Contains(text[strings.Index(text, "the secret"):], "\x1b[2J") {
		t.Error("the alternate screen was not erased")
	}
}

// A cloud that is asked in the name of a person chooses what he is shown and asked: the terminal
// obeys none of it.
func TestTerminalObeysNoText(t *testing.T) {
	terminal, s := newScreen(t)
	terminal.Print("phones:\n%s\n", "1\x1b]0;mine\x07 2\u009b2J\u202e3")
	go func() {
		s.wait("red: ")
		s.press("123\r")
	}()
	if _, err := terminal.Ask(t.Context(), "code \x1b[31mred: "); err != nil {
		t.Fatal(err)
	}
	if text := s.text(); !strings.Contains(text, "1?]0;mine? 2?2J?3") || strings.Contains(text, "\x1b[31m") {
		t.Errorf("shown: %q", text)
	}
}

// A second signal ends the process in the middle of a question.
func TestRestoreTerminalFromAnotherGoroutine(t *testing.T) {
	terminal, s := newScreen(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		terminal.Show(ctx, "the secret\n", "press enter")
	}()
	s.wait("press enter")
	cli.RestoreTerminal()
	s.wait("\x1b[?1049l")
	cancel(cli.ErrInterrupted)
	<-done
	if n := strings.Count(s.text(), "\x1b[?1049l"); n != 1 {
		t.Errorf("left the alternate screen %d times", n)
	}
}

// Nothing of a password is shown, and nothing of it is lost.
func TestPasswordIsNotShown(t *testing.T) {
	term, s := newScreen(t)
	go func() {
		s.wait("Password: ")
		s.press("xx\x15 b\u00fc \u3000-e\u0301\t\x7f\u0301\r")
	}()
	got, err := term.Password(context.Background(), "Password: ")
	if err != nil || string(got) != " b\u00fc \u3000-e\u0301" {
		t.Errorf("%q, %v", got, err)
	}
	s.wait("\n")
	if text := s.text(); text != "Password: \r\n" {
		t.Errorf("the screen shows %q", text)
	}
}

// A password that is too long is refused, not cut.
func TestLongPasswordIsRefused(t *testing.T) {
	for n, ok := range map[int]bool{1024: true, 1025: false} {
		term, s := newScreen(t)
		go func() {
			s.wait("Password: ")
			s.press(strings.Repeat("a", n) + "\r")
		}()
		got, err := term.Password(context.Background(), "Password: ")
		if (err == nil) != ok || ok && len(got) != n {
			t.Errorf("%d: %d, %v", n, len(got), err)
		}
	}
}

// A paste is longer than what a terminal takes as a line (4,096 bytes) and is not shown.
func TestPaste(t *testing.T) {
	for n, ok := range map[int]bool{10: true, 16 << 10: true, 16<<10 + 1: false} {
		term, s := newScreen(t)
		go func() {
			s.wait("Paste: ")
			s.press(strings.Repeat("a", n) + "\r")
		}()
		got, err := term.Paste(context.Background(), "Paste: ")
		if (err == nil) != ok || ok && len(got) != n {
			t.Errorf("%d: %d, %v", n, len(got), err)
		}
		s.wait("\n")
		if text := s.text(); text != "Paste: \r\n" {
			t.Errorf("%d: the screen shows %d bytes", n, len(text))
		}
	}
}

func TestPasswordThatIsNoTextIsRefused(t *testing.T) {
	term, s := newScreen(t)
	go func() {
		s.wait("Password: ")
		s.press("caf\xe9abc\r")
	}()
	if got, err := term.Password(context.Background(), "Password: "); err == nil {
		t.Errorf("%q", got)
	}
}
