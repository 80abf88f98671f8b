package clouds_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// drive is Google Drive, played by a program on this machine behind a proxy, which
// leads who is told of it to Google's names (package fakedrive).
type drive struct {
	t        *testing.T
	commands io.Writer
	answers  *bufio.Scanner
	env      []string
}

func newDrive(t *testing.T) *drive {
	t.Helper()
	mounttest.Port(t, 53682) // rclone's, at which the browser ends: no other's connection is to come from it
	c := exec.Command(program("fake-drive"))
	c.Env = []string{"TMPDIR=" + t.TempDir()}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in := must(c.StdinPipe())
	d := &drive{t: t, commands: in, answers: bufio.NewScanner(must(c.StdoutPipe()))}
	check(t, c.Start())
	t.Cleanup(func() {
		in.Close()
		check(t, c.Wait())
	})
	d.env = strings.Fields(d.line())
	return d
}

func (d *drive) line() string {
	d.t.Helper()
	if !d.answers.Scan() {
		d.t.Fatal("fake-drive has ended")
	}
	return d.answers.Text()
}

// tell gives a command, and its answer.
func (d *drive) tell(words ...any) string {
	d.t.Helper()
	fmt.Fprintln(d.commands, words...)
	answer := d.line()
	if strings.HasPrefix(answer, "error") || strings.HasPrefix(answer, "unknown") {
		d.t.Fatalf("%v: %s", words, answer)
	}
	return answer
}

// sent is how many bytes of contents have arrived.
func (d *drive) sent() int64 {
	d.t.Helper()
	for word := range strings.FieldsSeq(d.tell("requests")) {
		if n, ok := strings.CutPrefix(word, "sent="); ok {
			return must(strconv.ParseInt(n, 10, 64))
		}
	}
	d.t.Fatal("fake-drive counts nothing")
	return 0
}

// person signs in, in a browser on this computer, and turns backups on.
func (d *drive) person(chats string) *person {
	t := d.t
	t.Helper()
	p := &person{t: t, home: t.TempDir(), chats: chats, env: d.env}
	d.signIn(p)
	p.run("enable", chats, "--cloud", "gdrive:Backups", "--key-out", p.path("key"), "--profile", p.path("profile")).wants(0)
	return p
}

// signIn goes through Google's page: what opens a browser writes down what it is to show.
func (d *drive) signIn(p *person) {
	t := d.t
	t.Helper()
	page, secret := p.path("page"), p.path("client-secret")
	check(t, os.RemoveAll(page))
	check(t, os.WriteFile(secret, []byte("not-a-secret-of-anybody\n"), 0o600))
	check(t, os.MkdirAll(p.path("bin"), 0o700))
	script := fmt.Sprintf("#!/bin/sh\nprintf '%%s' \"$1\" > '%s.new' && mv '%s.new' '%s'\n", page, page, page)
	check(t, os.WriteFile(filepath.Join(p.path("bin"), "xdg-open"), []byte(script), 0o700))
	p.env = append(d.env, "PATH="+p.path("bin")+":/usr/bin:/bin", "DISPLAY=:0")
	r := p.begin("keepsake-cloud", "login", "gdrive", "--store", "file", "--client-id", "keepsake-test.apps.googleusercontent.com", "--client-secret-file", secret)
	await(t, "the browser to be opened", func() bool { _, err := os.Stat(page); return err == nil })
	if got := d.tell("open", string(must(os.ReadFile(page)))); got != "delivered" && !strings.HasPrefix(got, "200") {
		t.Errorf("the browser ended at %s", got)
	}
	r.wait().wants(0, "Signed in to Google Drive")
}

// restoredFrom restores on a new device and compares.
func (p *person) restoredFrom(dest string) {
	p.t.Helper()
	out := filepath.Join(p.t.TempDir(), "restored")
	p.run("restore", out, "--cloud", dest, "--key-file", p.path("key"), "--profile", filepath.Join(p.t.TempDir(), "new")).wants(0)
	same(p.t, p.chats, out)
}

// A person's days with Google Drive: signing in, a backup that is killed, refusals,
// listings that are late, objects that are there twice, a full Drive, and access that
// was taken away.
func TestDrive(t *testing.T) {
	t.Parallel()
	d := newDrive(t)
	chats := filepath.Join(t.TempDir(), "chats")
	check(t, os.CopyFS(chats, os.DirFS(must(history()))))
	p := d.person(chats)
	const lag = 2 * time.Second
	d.tell("lag", lag, time.Second)
	d.tell("stall", 1) // or all would be there before a fast machine has killed anything
	r := p.begin("keepsake", "backup", "--profile", p.path("profile"))
	await(t, "a pack to arrive", func() bool { return d.sent() > 1_000_000 })
	child := childOf(t, r.cmd.Process.Pid)
	check(t, r.cmd.Process.Kill())
	r.wait().wants(-1)
	await(t, "keepsake-cloud to end", func() bool { return ended(child) })
	d.tell("storm", 2)
	d.tell("expire")
	p.backup().wants(0)
	p.restoredFrom("gdrive:Backups")

	check(t, os.WriteFile(filepath.Join(chats, "new.jpg"), must(os.ReadFile(program("keepsake-cloud")))[:2<<20], 0o600))
	d.tell("quota", 1000)
	p.backup().wants(10, "hint:")
	d.tell("quota", 0)
	for name := range strings.FieldsSeq(d.tell("names", "Backups/head")) {
		d.tell("copy", "Backups/head/"+name)
	}
	d.tell("revoke")
	p.backup().wants(10, "revoked", "keepsake cloud login gdrive")
	d.signIn(p)
	p.backup().wants(0)
	p.verified()
	time.Sleep(lag) // until then a device that has seen nothing yet may be shown the snapshot before
	p.restoredFrom("gdrive:Backups")
}
