package clouds_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"

	"keepsake.example/cloud/faulty"
)

// At terminals of several widths, over a narrow way: the line says of what is uploaded no more than
// what is confirmed, fits, and has all its numbers.
func TestProgressAtTerminals(t *testing.T) {
	t.Parallel()
	for cols, has := range map[int]string{60: `s left`, 80: `on the way`, 120: `new [0-9]+ MB`} {
		t.Run(fmt.Sprint(cols), func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, s3(t), must(history()))
			p.site.SetWay(faulty.Way{Rate: 10_000_000})
			screen := p.atTerminal(t, cols, "backup", "--profile", p.path("profile"))
			wantLines(t, screen, cols)
			if !regexp.MustCompile(has).MatchString(screen) {
				t.Errorf("never says %q:\n%q", has, screen)
			}
		})
	}
}

// wantLines checks what a progress line was, each time it was drawn.
func wantLines(t *testing.T, screen string, cols int) {
	t.Helper()
	halfway := 0
	for _, line := range strings.Split(screen, "\r\x1b[K")[1:] {
		line, _, _ = strings.Cut(line, "\r\n") // the result comes after the last
		var percent int
		if i := strings.Index(line, "%"); i > 0 {
			fmt.Sscanf(line[strings.LastIndex(line[:i], " "):], "%d%%", &percent)
		}
		if utf8.RuneCountInString(line) >= cols || strings.Contains(line, "…") {
			t.Errorf("in %d columns: %q", cols, line)
		}
		if percent == 100 && strings.Contains(line, "on the way") {
			t.Errorf("done, and not done: %q", line)
		}
		if percent > 0 && percent < 99 {
			halfway++
		}
	}
	if halfway == 0 {
		t.Errorf("no line tells how far it is:\n%q", screen)
	}
}

// atTerminal runs keepsake at a terminal, and gives what was drawn.
func (p *person) atTerminal(t *testing.T, cols int, args ...string) string {
	t.Helper()
	ctrl, tty, err := pty.Open()
	check(t, err)
	defer ctrl.Close()
	check(t, pty.Setsize(ctrl, &pty.Winsize{Rows: 24, Cols: uint16(cols)}))
	c := exec.Command(program("keepsake"), args...)
	c.Env = []string{"HOME=" + p.home, "PATH=/usr/bin:/bin", "TERM=xterm", "TMPDIR=" + t.TempDir()}
	c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	err = c.Start()
	tty.Close()
	check(t, err)
	screen, err := io.ReadAll(ctrl) // ends with an error when nobody has the terminal any more
	if _, ok := err.(*os.PathError); !ok && err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%q", err, screen)
	}
	return string(screen)
}
