package backup_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// childEnv says that the test binary is to do one job, given on standard input, and leave: a process that can be killed, measured
// and run as another user.
const childEnv = "KEEPSAKE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	in := bufio.NewReader(os.Stdin)
	var j job
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &j)
	}
	if err == nil && j.Do == "write" {
		err = j.write(in, os.Stdout)
	} else if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(j.run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A job is what a child does. The key comes by the pipe, so that it shows in no process listing.
type job struct {
	Do       string // backup, prune, restore, rotate, verify; write: see database_test.go
	Cloud    string
	Cache    string
	Device   string
	Mark     backup.Mark
	Key      string
	NewKey   string
	Source   string
	Target   string
	Snapshot string
	Journal  string
	Keep     int
	Slow     time.Duration // of every Put
	Traits   cloud.Traits  // of the store
	Log      string        // a file that gets a line at the beginning and the end of every Put; "" for none
	Pack     int           // how large packs get; 0 as always
	program  string        // instead of this one
}

// An outcome is what came of it.
type outcome struct {
	Error    string
	Local    bool // the error is ErrLocal
	Mark     backup.Mark
	Backup   *backup.BackupResult
	Restore  *backup.RestoreResult
	Verify   *backup.VerifyResult
	Peak     int64 // resident memory at its highest, bytes
	Duration time.Duration
}

func keyText(k *key.Key) (text string) {
	k.Use(func(secret *[32]byte) { text = hex.EncodeToString(secret[:]) })
	return text
}

func keyFrom(text string) (*key.Key, error) { return key.Parse([]byte(text)) }

// run opens the repository, says "go", and does the job, with the collector set as the command sets it.
func (j *job) run() *outcome {
	debug.SetMemoryLimit(150 << 20)
	debug.SetGCPercent(50)
	if j.Pack > 0 {
		backup.SetPackTarget(j.Pack)
	}
	began := time.Now()
	o := &outcome{}
	err := j.do(o)
	if err != nil {
		o.Error, o.Local = err.Error(), errors.Is(err, backup.ErrLocal)
	}
	o.Peak, o.Duration = peakMemory(), time.Since(began)
	return o
}

func (j *job) do(o *outcome) error {
	ctx := context.Background()
	folder, err := dir.Open(j.Cloud)
	if err != nil {
		return err
	}
	k, err := keyFrom(j.Key)
	if err != nil {
		return err
	}
	var store cloud.Store = folder
	if j.Slow > 0 {
		store = &slowStore{Store: store, pause: j.Slow, traits: j.Traits, log: j.Log}
	}
	r, err := backup.Open(ctx, store, k, backup.Options{CacheDir: j.Cache, Device: j.Device, Known: j.Mark})
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Println("go")
	if err := j.operate(ctx, r, o); err != nil {
		return err
	}
	o.Mark = r.Mark()
	return nil
}

func (j *job) operate(ctx context.Context, r *backup.Repo, o *outcome) (err error) {
	switch j.Do {
	case "backup":
		o.Backup, err = r.Backup(ctx, backup.BackupOptions{Source: j.Source})
	case "prune":
		_, err = r.Prune(ctx, backup.PruneOptions{Keep: backup.Policy{Last: j.Keep}, MaxUnused: 0.1})
	case "restore":
		o.Restore, err = r.Restore(ctx, backup.RestoreOptions{Snapshot: j.Snapshot, Target: j.Target})
	case "verify":
		o.Verify, err = r.Verify(ctx, backup.VerifyOptions{ReadData: 1})
	case "rotate":
		var next *key.Key
		if next, err = keyFrom(j.NewKey); err == nil {
			err = r.Rotate(ctx, next)
		}
	default:
		err = fmt.Errorf("no such job: %q", j.Do)
	}
	return err
}

// peakMemory is the kernel's record of this process since it began running this program.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return n << 10
}

type slowStore struct {
	cloud.Store
	pause  time.Duration
	traits cloud.Traits
	log    string
}

func (s *slowStore) Traits() cloud.Traits { return s.traits }

func (s *slowStore) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	s.note("begin", name, size)
	time.Sleep(s.pause)
	err := s.Store.Put(ctx, name, body, size)
	if err == nil {
		s.note("end", name, size)
	}
	return err
}

// note appends a line, whole: a process that is killed leaves no part of one.
func (s *slowStore) note(what, name string, size int64) {
	if s.log == "" {
		return
	}
	if f, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintf(f, "%s %s %d\n", what, name, size)
		f.Close()
	}
}

// smallPack is the size of packs where a test wants many of them.
const smallPack = 1 << 20

// job makes a job of this phone's.
func (p *phone) job(do string) *job {
	return &job{Do: do, Cloud: p.clouds, Cache: p.cache, Device: p.device, Mark: p.mark, Key: keyText(p.key), Source: p.chats, Pack: smallPack}
}

// A child is a running job.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
	out *bufio.Reader
	err *bytes.Buffer
	in  io.WriteCloser
}

// start runs a job in a child, as another user if uid is not zero. It returns once the job's own work begins, or has failed.
func (j *job) start(t testing.TB, uid uint32) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(cmp.Or(j.program, os.Args[0])), err: new(bytes.Buffer)}
	c.cmd.Env = append(os.Environ(), childEnv+"=1")
	c.cmd.Stderr = c.err
	if uid != 0 {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var err error
	c.in, err = c.cmd.StdinPipe()
	must(t, err)
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	c.out = bufio.NewReader(out)
	must(t, c.cmd.Start())
	text, err := json.Marshal(j)
	must(t, err)
	_, err = c.in.Write(append(text, '\n'))
	must(t, err)
	if b, err := c.out.Peek(3); err == nil && string(b) == "go\n" {
		c.out.Discard(3)
	}
	return c
}

// wait returns the outcome, nil if the child was killed before it could say.
func (c *child) wait() *outcome {
	c.t.Helper()
	var o outcome
	decoding := json.NewDecoder(c.out).Decode(&o)
	c.in.Close()
	err := c.cmd.Wait()
	if decoding == nil {
		return &o
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	c.t.Fatalf("child: %v, %v\n%s", decoding, err, c.err)
	return nil
}

// killAfter kills the child after a time, unless it is done before.
func (c *child) killAfter(d time.Duration) *outcome {
	c.t.Helper()
	timer := time.AfterFunc(d, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	return c.wait()
}

// finish runs a job to its end, which must be good.
func (j *job) finish(t testing.TB) *outcome {
	t.Helper()
	o := j.start(t, 0).wait()
	if o == nil || o.Error != "" {
		t.Fatalf("%s in a child: %+v", j.Do, o)
	}
	return o
}
