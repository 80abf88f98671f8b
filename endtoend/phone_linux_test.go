package endtoend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// phone is one device of a person: a profile of its own, in a folder of its own.
type phone struct {
	t      *testing.T
	s      *system
	handle string
	dir    string
	tokens string // file with tokens of the operator's issuer; "": the built-in one
	card   string // of the server; "": the system's
}

// newPhone makes a phone that logs in with codes at the built-in issuer.
func (s *system) newPhone(t *testing.T, handle string) *phone {
	t.Helper()
	return &phone{t: t, s: s, handle: handle, dir: t.TempDir()}
}

// managed makes a phone whose operator brings its tokens.
func (s *system) managed(t *testing.T, handle string) *phone {
	t.Helper()
	p := s.newPhone(t, handle)
	p.tokens = p.path("tokens.json")
	p.bring(s.token(handle, "keepsake-chatd", time.Now()), s.token(handle, "keepsake-vault", time.Now()))
	return p
}

// bring gives the phone other tokens.
func (p *phone) bring(chatd, vault string) {
	p.t.Helper()
	check(p.t, os.WriteFile(p.tokens, must(json.Marshal(map[string]string{"chatd": chatd, "vault": vault})), 0o600))
}

func (p *phone) path(parts ...string) string {
	return filepath.Join(append([]string{p.dir}, parts...)...)
}

// access are the flags with which a phone meets the server for the first time.
func (p *phone) access() []string {
	card := p.card
	if card == "" {
		card = p.s.card
	}
	if p.tokens != "" {
		return []string{"--server", card, "--accept-insecure-vault", "--token-file", p.tokens}
	}
	return []string{"--server", card, "--accept-insecure-vault", "--handle", p.handle, "--code-file", "-"}
}

// secret writes a password to a file, as scripts have to.
func (p *phone) secret(password string) string {
	p.t.Helper()
	f := filepath.Join(p.t.TempDir(), "password")
	check(p.t, os.WriteFile(f, []byte(password+"\n"), 0o600))
	return f
}

// result is how a command ended.
type result struct {
	t        *testing.T
	what     string
	code     int
	out, err string
}

// run runs keepsake. Where it is asked for a code it types the one that the issuer prints.
func (p *phone) run(args ...string) *result {
	p.t.Helper()
	return p.begin(args...)()
}

// begin starts keepsake; the function it returns waits for the end.
func (p *phone) begin(args ...string) (wait func() *result) {
	p.t.Helper()
	r := &result{t: p.t, what: "keepsake " + strings.Join(args, " ")}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	c := exec.CommandContext(ctx, program("keepsake"), append(args, "--profile", p.path("profile"))...)
	c.Dir = p.dir
	c.Env = []string{"HOME=" + p.dir, "PATH=/usr/bin:/bin", "TMPDIR=" + p.t.TempDir()}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	in := must(c.StdinPipe())
	ended := make(chan struct{})
	go p.typeCode(in, len(p.s.codes(p.handle)), ended)
	check(p.t, c.Start())
	return func() *result {
		defer cancel()
		err := c.Wait()
		close(ended)
		if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
			p.t.Errorf("%s: %v", r.what, err)
		}
		r.code, r.out, r.err = c.ProcessState.ExitCode(), out.String(), errs.String()
		fmt.Fprintf(&p.s.printed, "%s\n%s", r.out, r.err)
		return r
	}
}

// typeCode waits for the next code for this person, who had so many before.
func (p *phone) typeCode(in io.WriteCloser, before int, ended <-chan struct{}) {
	defer in.Close()
	for tick := time.NewTicker(2 * time.Millisecond); ; {
		select {
		case <-ended:
			return
		case <-tick.C:
			if codes := p.s.codes(p.handle); len(codes) > before {
				io.WriteString(in, codes[before]+"\n")
				return
			}
		}
	}
}

// codes are the codes that the issuer has printed for a person.
func (s *system) codes(handle string) (codes []string) {
	for line := range strings.Lines(string(s.issuer.log.Bytes())) {
		if _, rest, ok := strings.Cut(line, "the code for "+handle+" is "); ok && len(rest) >= 8 {
			codes = append(codes, rest[:8])
		}
	}
	return codes
}

// wants checks the exit code, and that parts were printed.
func (r *result) wants(code int, parts ...string) *result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("%s: exit code %d, want %d\n%s%s", r.what, r.code, code, r.out, r.err)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.err, part) {
			r.t.Errorf("%s: no %q in\n%s%s", r.what, part, r.out, r.err)
		}
	}
	return r
}

// enable sets backup up behind a password, and makes the first backup.
func (p *phone) enable(chats, password string, more ...string) {
	p.t.Helper()
	args := append([]string{"enable", chats, "--cloud", p.path("cloud"), "--key-store", "file", "--password", "--password-file", p.secret(password)}, p.access()...)
	p.run(append(args, more...)...).wants(0)
	p.run("backup").wants(0)
}

// restore gets the backup of another phone with a password.
func (p *phone) restore(target string, from *phone, password string, more ...string) *result {
	p.t.Helper()
	return p.run(append(p.restoring(target, from, password), more...)...)
}

func (p *phone) restoring(target string, from *phone, password string) []string {
	p.t.Helper()
	args := []string{"restore", target, "--cloud", from.path("cloud"), "--password", "--password-file", p.secret(password), "--key-store", "file"}
	return append(args, p.access()...)
}

// guess tries a password at the vault, as somebody does who has got into the account
// and has nothing else.
func (p *phone) guess(victim *phone, password string, more ...string) *result {
	p.t.Helper()
	return p.restore(p.path("out"), victim, password, append(more, "--json")...)
}

// reply is what --json prints, as far as it is asked for here.
type reply struct {
	State    string
	Attempts *attempts
	Past     []any
	Error    *struct {
		Code     string
		Attempts *attempts
	}
}

type attempts struct {
	Left, Limit int
	Counted     bool
	Destroyed   string
}

func (r *result) json() (j reply) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.out), &j); err != nil {
		r.t.Fatalf("%s: %v\n%s%s", r.what, err, r.out, r.err)
	}
	return j
}

// left is how many attempts the vault says are left.
func (p *phone) left() int {
	p.t.Helper()
	j := p.run("vault", "status", "--json").wants(0).json()
	if j.State != "live" || j.Attempts == nil {
		p.t.Fatalf("the record is %q", j.State)
	}
	return j.Attempts.Left
}

// wantLeft checks the vault's count against the number of guesses that were made.
func (p *phone) wantLeft(want int) {
	p.t.Helper()
	if got := p.left(); got != want {
		p.t.Errorf("%d attempts left, want %d", got, want)
	}
}

// folder makes a folder with one file, for tests in which it does not matter what is
// backed up.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "note.txt"), []byte("see you at the harbour at eight\n"), 0o644))
	return dir
}

// history is a small chat history, which tests only read: two megabytes of messages
// and as much of photos and sound.
var history = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(programs, "chats")
	shared := os.Getenv("KEEPSAKE_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	script := filepath.Join(shared, "tools", "make-chat.py")
	if _, err := os.Stat(script); err != nil {
		return dir, substitute(dir)
	}
	out, err := exec.Command("python3", script, "build", dir, "--db-mb", "2", "--media-mb", "2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("making the chat history: %w\n%s", err, out)
	}
	return dir, nil
})

// substitute stands for the history in a clone without the folder of real chats.
func substitute(dir string) error {
	for i := range 8 {
		name := filepath.Join(dir, "Media", fmt.Sprintf("%d.jpg", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		text := strings.Repeat(fmt.Sprintf("photo %d of a walk by the sea. ", i), 10_000*(i+1))
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
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
