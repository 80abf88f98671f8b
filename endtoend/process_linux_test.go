package endtoend_test

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is no measure of
// anything: the machine may be busy.
const patience = 3 * time.Minute

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

func (b *buffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// process is one running program.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start runs a program until the test ends, or the process of the tests does.
func start(t *testing.T, out io.Writer, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program(name), args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = t.TempDir() // where a core file would be
	p.cmd.Env = []string{"HOME=" + p.cmd.Dir, "PATH=/usr/bin:/bin"}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, p.cmd.Start())
	go func() {
		p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end sends a signal, waits for the process to end and gives its exit code, -1 when
// the signal killed it. One that has ended is left alone.
func (p *process) end(s syscall.Signal) int {
	if p.running() {
		p.cmd.Process.Signal(s)
		select {
		case <-p.ended:
		case <-time.After(patience):
			p.cmd.Process.Kill()
			<-p.ended
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// daemon is a server that is started again and again. What all of its processes
// printed is in one log.
type daemon struct {
	name, config string
	log          buffer
	*process
	listen, admin string
}

var serving = regexp.MustCompile(`"msg":"serving","listen":"([^"]+)","admin":"([^"]+)"`)

// run starts the server, and waits until it listens.
func (d *daemon) run(t *testing.T) {
	t.Helper()
	seen := len(d.log.Bytes())
	d.process = start(t, &d.log, d.name, "serve", "--config", d.config)
	await(t, d.name+" to serve", func() bool {
		text := d.log.Bytes()[seen:]
		m := serving.FindSubmatch(text)
		if m != nil {
			d.listen, d.admin = string(m[1]), string(m[2])
			return true
		}
		if !d.running() {
			t.Fatalf("%s ended with %d:\n%s", d.name, d.cmd.ProcessState.ExitCode(), text)
		}
		return false
	})
}

// look asks the operator's address; 0 when nobody answers.
func (d *daemon) look(path string) (status int, body []byte) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + d.admin + path)
	if err != nil {
		return 0, nil
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err != nil {
		return 0, nil
	}
	return r.StatusCode, body
}

func (d *daemon) awaitReady(t *testing.T) {
	t.Helper()
	await(t, d.name+" to be ready", func() bool { status, _ := d.look("/readyz"); return status == http.StatusOK })
}

// oneShot runs a command of a server that ends by itself.
func oneShot(t *testing.T, name string, args ...string) (code int, out string) {
	t.Helper()
	var b buffer
	p := start(t, &b, name, args...)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s %s does not end:\n%s", name, args, b.Bytes())
	}
	return p.cmd.ProcessState.ExitCode(), string(b.Bytes())
}
