//go:build !windows

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdPty runs a command at a terminal of its own, with a person who follows a
// script: "pty [-pipe] CODE SCRIPT command...". With -pipe standard output
// and error are no terminal but the file printed, and nothing of a key may get there. All that was on the
// terminal is left in the file screen.
//
// Lines of the script:
//
//	see TEXT          wait until TEXT appears after what was seen before
//	type TEXT         type TEXT and Enter
//	keys "TEXT"       type TEXT, quoted as in Go
//	digits [N...]     type the digits that were shown last, digits N wrong, and Enter
//	key FILE [N...]   type the digits in FILE, digits N wrong, and Enter
//	word              type the last word before the next colon, and Enter
//	signal            end the command by SIGTERM
//	save FILE         keep the digits that were shown last
func cmdPty(ts *testscript.TestScript, neg bool, args []string) {
	pipe := args[0] == "-pipe"
	if pipe {
		args = args[1:]
	}
	p := startPerson(ts, pipe, args[2:])
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.follow(line)
		}
	}
	p.end(args[0])
}

// person sits at a terminal.
type person struct {
	ts      *testscript.TestScript
	cmd     *exec.Cmd
	ctrl    *os.File
	done    chan error
	out     bytes.Buffer // standard output and error, with -pipe
	mu      sync.Mutex
	screen  bytes.Buffer
	more    chan struct{}
	at      int // what was seen so far
	drained chan struct{}
}

func startPerson(ts *testscript.TestScript, pipe bool, args []string) *person {
	ctrl, tty, err := pty.Open()
	ts.Check(err)
	defer tty.Close()
	ts.Check(pty.Setsize(ctrl, &pty.Winsize{Rows: 24, Cols: 80}))
	p := &person{ts: ts, ctrl: ctrl, done: make(chan error, 1), more: make(chan struct{}, 1), drained: make(chan struct{})}
	p.cmd = exec.Command(findCommand(ts, args[0]), args[1:]...)
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TERM", "TZ", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "POWER_SUPPLIES", "XDG_CONFIG_HOME", "KEEPSAKE_PROFILE"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	if pipe {
		p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	}
	ts.Check(p.cmd.Start())
	ts.Defer(func() { p.cmd.Process.Kill(); ctrl.Close() })
	go p.watch()
	go func() { p.done <- p.cmd.Wait() }()
	return p
}

func findCommand(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path := filepath.Join(dir, name); pathExists(path) {
			return path
		}
	}
	ts.Fatalf("no command %s", name)
	return ""
}

func (p *person) watch() {
	defer close(p.drained)
	buf := make([]byte, 4096)
	for {
		n, err := p.ctrl.Read(buf)
		p.mu.Lock()
		p.screen.Write(buf[:n])
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (p *person) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

func (p *person) follow(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "see":
		p.see(rest)
	case "type":
		p.press(rest + "\r")
	case "keys":
		text, err := strconv.Unquote(rest)
		p.ts.Check(err)
		p.press(text)
	case "digits":
		p.press(p.digits(strings.Fields(rest)) + "\r")
	case "key":
		args := strings.Fields(rest)
		p.press(p.wrongly(p.ts.ReadFile(args[0]), args[1:]) + "\r")
	case "word":
		p.see(": ")
		words := strings.Fields(strings.TrimRight(p.seen()[:p.at], ": "))
		p.press(words[len(words)-1] + "\r")
	case "signal":
		p.ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))
	case "save":
		p.ts.Check(os.WriteFile(p.ts.MkAbs(rest), []byte(p.digits(nil)), 0o600))
	default:
		p.ts.Fatalf("the script says %q", line)
	}
}

func (p *person) press(text string) {
	_, err := p.ctrl.WriteString(text)
	p.ts.Check(err)
}

// see waits. The deadline only keeps a failing test from hanging.
func (p *person) see(text string) {
	deadline := time.After(2 * time.Minute)
	for {
		if i := strings.Index(p.seen()[p.at:], text); i >= 0 {
			p.at += i + len(text)
			return
		}
		select {
		case <-p.more:
		case <-p.drained:
			if !strings.Contains(p.seen()[p.at:], text) {
				p.ts.Fatalf("ended before %q was seen; since the last: %q\n%s", text, p.seen()[p.at:], p.out.String())
			}
		case <-deadline:
			p.ts.Fatalf("never saw %q; since the last: %q", text, p.seen()[p.at:])
		}
	}
}

var rowOfDigits = regexp.MustCompile(`groups +\d+-\d+ +((?:[0-9a-f]{4} ?){4})`)

// digits reads what was shown last from the screen.
func (p *person) digits(wrong []string) string {
	rows := rowOfDigits.FindAllStringSubmatch(p.seen(), -1)
	if len(rows) < 4 {
		p.ts.Fatalf("no digits on the screen: %q", p.seen())
	}
	all := ""
	for _, row := range rows[len(rows)-4:] {
		all += row[1]
	}
	return p.wrongly(all, wrong)
}

// wrongly changes some digits.
func (p *person) wrongly(text string, wrong []string) string {
	digits := []byte(squeeze(text))
	for _, arg := range wrong {
		n, err := strconv.Atoi(arg)
		p.ts.Check(err)
		digits[n-1] = slipped(digits[n-1])
	}
	return string(digits)
}

func (p *person) end(code string) {
	var err error
	select {
	case err = <-p.done:
	case <-time.After(2 * time.Minute):
		p.ts.Fatalf("did not end; since the last: %q", p.seen()[p.at:])
	}
	<-p.drained
	p.ts.Check(os.WriteFile(p.ts.MkAbs("screen"), []byte(p.seen()), 0o600))
	p.ts.Check(os.WriteFile(p.ts.MkAbs("printed"), p.out.Bytes(), 0o600))
	p.ts.Logf("[screen]\n%q\n[out]\n%s", p.seen()[p.at:], p.out.String())
	checkCode(p.ts, err, code)
	checkLeak(p.ts, p.out.String())
}
