package clouds_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// person is somebody with chats, a device, and a place in a cloud.
type person struct {
	t     *testing.T
	site  *site
	home  string
	chats string
	env   []string // over what all have
}

// newPerson signs in and turns backups on.
func newPerson(t *testing.T, s *site, chats string) *person {
	t.Helper()
	p := &person{t: t, site: s, home: t.TempDir(), chats: chats}
	p.signIn()
	p.run("enable", chats, "--cloud", s.dest(), "--key-out", p.path("key"), "--profile", p.path("profile")).wants(0)
	s.Forget()
	return p
}

func (p *person) path(name string) string { return filepath.Join(p.home, name) }

func (p *person) signIn() {
	p.t.Helper()
	secret := []string{"--user", serverUser, "--secret-file", p.site.key}
	if strings.HasPrefix(p.site.scheme, "sftp:") {
		secret = []string{"--key-file", p.site.key, "--host-key", p.hostKey()}
	}
	p.exec("keepsake-cloud", append([]string{"login", p.site.login(), "--store", "file"}, secret...)...).wants(0)
}

// hostKey is the fingerprint of the site's server, as its owner would tell it.
func (p *person) hostKey() string {
	p.t.Helper()
	out, err := exec.Command("ssh-keygen", "-lf", filepath.Join(filepath.Dir(p.site.key), "host.pub")).Output()
	check(p.t, err)
	return strings.Fields(string(out))[1]
}

// result is how a command ended.
type result struct {
	t         *testing.T
	what      string
	code      int
	out, errs string
}

// wants ends the test unless the command ended with code and said all of words.
func (r *result) wants(code int, words ...string) *result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("%s: exit code %d, want %d\n%s%s", r.what, r.code, code, r.out, r.errs)
	}
	for _, w := range words {
		if !strings.Contains(r.out+r.errs, w) {
			r.t.Errorf("%s does not say %q:\n%s%s", r.what, w, r.out, r.errs)
		}
	}
	return r
}

func (p *person) run(args ...string) *result { p.t.Helper(); return p.exec("keepsake", args...) }

func (p *person) exec(name string, args ...string) *result {
	p.t.Helper()
	return p.begin(name, args...).wait()
}

// running is a command that has been started.
type running struct {
	*result
	cmd       *exec.Cmd
	out, errs bytes.Buffer
	cancel    func()
}

func (p *person) begin(name string, args ...string) *running {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	r := &running{result: &result{t: p.t, what: name + " " + strings.Join(args, " ")}, cancel: cancel}
	r.cmd = exec.CommandContext(ctx, program(name), args...)
	r.cmd.Dir = p.home
	r.cmd.Env = append([]string{"HOME=" + p.home, "PATH=/usr/bin:/bin", "TMPDIR=" + p.t.TempDir(), "KEEPSAKE_CLOUD_IDLE=" + idle()}, p.env...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.errs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(p.t, r.cmd.Start())
	return r
}

// idle is after how long without a byte a connection counts as dead. A minute is what
// is shipped.
func idle() string {
	if *long {
		return ""
	}
	return "2s"
}

func (r *running) wait() *result {
	r.t.Helper()
	defer r.cancel()
	err := r.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		r.t.Errorf("%s: %v", r.what, err)
	}
	r.result.code, r.result.out, r.result.errs = r.cmd.ProcessState.ExitCode(), r.out.String(), r.errs.String()
	return r.result
}

// backup makes one, trying again for as long as a test is patient.
func (p *person) backup(more ...string) *result {
	p.t.Helper()
	return p.run(append([]string{"backup", "--profile", p.path("profile")}, more...)...)
}

// impatient is a backup that gives up at the first fault.
func (p *person) impatient() *result { p.t.Helper(); return p.backup("--retry-for", "0") }

// restored restores on a new device and compares.
func (p *person) restored() {
	p.t.Helper()
	out := filepath.Join(p.t.TempDir(), "restored")
	p.run("restore", out, "--cloud", p.site.dest(), "--key-file", p.path("key"), "--profile", filepath.Join(p.t.TempDir(), "new")).wants(0)
	same(p.t, p.chats, out)
}

// verified has every byte in the cloud checked.
func (p *person) verified() {
	p.t.Helper()
	p.run("verify", "--read-data", "--profile", p.path("profile")).wants(0)
}

// history is a chat history, which tests only read: real messages, photos and sound.
// Without the script that makes it, bytes that do not compress stand for them.
var history = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(programs, "chats")
	shared := os.Getenv("KEEPSAKE_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	script := filepath.Join(shared, "tools", "make-chat.py")
	if _, err := os.Stat(script); err != nil {
		return dir, noise(dir, 44)
	}
	out, err := exec.Command("python3", script, "build", dir, "--db-mb", "4", "--media-mb", "40").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("making the chat history: %w\n%s", err, out)
	}
	return dir, nil
})

// noise makes n files of a megabyte.
func noise(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte{})
	data := make([]byte, 1<<20)
	for i := range n {
		random.Read(data) // never fails
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.jpg", i)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// note is the smallest history.
func note(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "note.txt"), []byte("see you at the harbour at eight\n"), 0o644))
	return dir
}

// same compares two folders: names, contents, modes and times of files.
func same(t *testing.T, a, b string) {
	t.Helper()
	was, is := tree(t, a), tree(t, b)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if was[name] != is[name] {
			t.Errorf("%s differs", name)
		}
	}
	if len(was) == 0 || len(was) != len(is) {
		t.Errorf("%d and %d files", len(was), len(is))
	}
}

func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[must(filepath.Rel(root, path))] = fmt.Sprintf("%v %v %s", info.Mode(), info.ModTime().UnixNano(), data)
		return err
	}))
	return files
}
