package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"keepsake.example/cloud"
)

const (
	// helloTime is how long a program that has just started may take to say what it is.
	helloTime = 30 * time.Second
	// maxStderr is how much is kept of what a child says on standard error, in bytes,
	// and shownStderr how much of it an error shows.
	maxStderr, shownStderr = 4 << 10, 512
)

// A child of which nothing has come for quietTime is asked whether it lives, which costs 17
// bytes each way, and one that does not answer in frozenTime is taken for frozen. It answers
// whatever its cloud does. The clock stands still with the machine. Variables for tests.
var (
	quietTime  = 30 * time.Second
	frozenTime = time.Minute
)

// leaveTime is how long a child may take to end when its input has. A variable for tests.
var leaveTime = 5 * time.Second

// child is one run of the program.
type child struct {
	cmd  *exec.Cmd
	name string // of the program, for people

	destination cloud.Destination

	ends   *conn
	conn   *http.ClientConn
	stderr tail
	ended  chan struct{} // closed when it has; state is there then
	state  error

	mu    sync.Mutex
	count cloud.Counters
	bad   error // why it is asked no more, when that is our choice
}

// Find looks for keepsake-cloud: beside the program that runs, with links followed,
// then in PATH. The error is ErrMissing.
func Find() (string, error) {
	const name = "keepsake-cloud"
	if self, err := os.Executable(); err == nil {
		if self, err := filepath.EvalSymlinks(self); err == nil {
			if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), name)); err == nil {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", ErrMissing
	}
	return path, nil
}

// startChild starts the program, in a process group of its own: Ctrl-C at the
// terminal must not end it while its parent tidies up.
func startChild(o Options) (*child, error) {
	if o.Args == nil {
		o.Args = []string{"serve"}
	}
	c := &child{name: filepath.Base(o.Program), destination: o.Destination, ended: make(chan struct{})}
	c.cmd = exec.Command(o.Program, o.Args...)
	c.cmd.Env = o.Env
	c.cmd.SysProcAttr = ownGroup()
	c.cmd.Stderr = &c.stderr
	c.cmd.WaitDelay = time.Second // of a grandchild that holds standard error
	if err := c.pipes(); err != nil {
		return nil, err
	}
	err := c.cmd.Start()
	c.cmd.Stdin.(*os.File).Close()
	c.cmd.Stdout.(*os.File).Close()
	if err != nil {
		c.ends.Close()
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	go func() {
		c.state = c.cmd.Wait()
		close(c.ended)
	}()
	if c.conn, err = connect(c.ends); err != nil {
		return nil, c.unusable(err)
	}
	return c, nil
}

// pipes gives the child its ends. They are not those of exec, which Wait closes before all is read.
func (c *child) pipes() error {
	in, toChild, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cloud/process: making a pipe: %w", err)
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		in.Close()
		toChild.Close()
		return fmt.Errorf("cloud/process: making a pipe: %w", err)
	}
	widen(toChild)
	widen(fromChild)
	c.cmd.Stdin, c.cmd.Stdout = in, out
	c.ends = newConn(fromChild, toChild)
	return nil
}

func connect(ends net.Conn) (*http.ClientConn, error) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return ends, nil },
		Protocols:              protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{
			MaxReadFrameSize:          256 << 10,
			MaxReceiveBufferPerStream: 1 << 20,
			SendPingTimeout:           quietTime,
			PingTimeout:               frozenTime,
		},
	}
	return t.NewClientConn(context.Background(), "http", "keepsake-cloud:80")
}

// open makes sure that the child is what it should be, and has it open the destination.
func (c *child) open(ctx context.Context, o Options, create bool) (cloud.Traits, error) {
	if err := c.hello(ctx); err != nil {
		return cloud.Traits{}, err
	}
	body, err := json.Marshal(openWire{o.Destination.String(), create, o.LimitUpload})
	if err != nil {
		return cloud.Traits{}, err
	}
	a, err := c.ask(ctx, http.MethodPost, "/open", io.NopCloser(bytes.NewReader(body)), int64(len(body)))
	if err != nil {
		return cloud.Traits{}, err
	}
	defer a.Close()
	data, err := io.ReadAll(io.LimitReader(a.body, maxOpening))
	if err != nil {
		return cloud.Traits{}, a.cut(err)
	}
	if err := a.end(); err != nil {
		return cloud.Traits{}, err
	}
	traits, err := decodeTraits(data)
	if err != nil {
		err = a.broken(err.Error())
	}
	return traits, err
}

// hello tells keepsake-cloud from other programs, which may wait for ever.
func (c *child) hello(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, "http://keepsake-cloud/hello", nil)
	if err != nil {
		return err
	}
	response, err := c.conn.RoundTrip(request)
	if err == nil {
		defer response.Body.Close()
		var text []byte
		text, err = io.ReadAll(io.LimitReader(response.Body, maxLine))
		if err == nil && string(text) == greeting {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errors.New("it is another version")
	}
	return c.unusable(err)
}

// unusable says why a program that was started is not the one it should be. One
// that was killed may be all right.
func (c *child) unusable(err error) error {
	c.close(time.Second)
	if strings.HasPrefix(c.how(), "signal: ") && c.ends.lost.Load() {
		return c.died("ended (" + c.how() + ")")
	}
	return fmt.Errorf("%w: %s does not speak the protocol of this version: %s (%s)%s", ErrProgram, c.name, clean(err.Error()), c.how(), c.said())
}

// err says why the child can be asked no more; nil while it can.
func (c *child) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad != nil {
		return c.bad
	}
	return c.conn.Err()
}

// distrust ends a child that gave an answer that cannot be.
func (c *child) distrust(problem string) error {
	c.mu.Lock()
	if c.bad == nil {
		c.bad = fmt.Errorf("%w: %s", ErrProtocol, clean(problem))
	}
	err := c.bad
	c.mu.Unlock()
	c.kill()
	return err
}

// died is the error of a child that is no more.
func (c *child) died(how string) error {
	text := fmt.Sprintf("%v: the program %s %s%s", cloud.ErrUnreachable, c.name, how, c.said())
	return &Error{Destination: c.destination, Text: text, Kind: cloud.ErrUnreachable}
}

// frozen says that the connection was given up because nothing came any more. Whether it is closed says nothing: net/http
// tells the requests first. A child that lives is never so silent, since it answers when it is asked.
func (c *child) frozen() bool { return c.ends.silence() >= frozenTime }

// froze is the error of a request to a child that says nothing. It is ended by force.
func (c *child) froze() error {
	c.kill()
	return c.died(fmt.Sprintf("has not answered for %v, and was ended", (quietTime + frozenTime).Round(time.Second)))
}

// lost is the error of a request whose connection broke.
func (c *child) lost() error {
	c.close(leaveTime)
	return c.died("ended (" + c.how() + ")")
}

// close ends the child: by the end of its input, or else by force.
func (c *child) close(patience time.Duration) {
	if c.conn != nil {
		c.conn.Close()
	}
	c.ends.Close()
	select {
	case <-c.ended:
	case <-time.After(patience):
		c.kill()
	}
}

// leave is close when the store is: what is under way ends with it.
func (c *child) leave() {
	c.mu.Lock()
	if c.bad == nil {
		c.bad = errClosed
	}
	c.mu.Unlock()
	c.close(leaveTime)
}

func (c *child) kill() {
	select {
	case <-c.ended:
	default:
		killGroup(c.cmd.Process)
		<-c.ended
	}
}

// how says how the child has ended.
func (c *child) how() string {
	if c.state == nil {
		return "exit status 0"
	}
	return c.state.Error()
}

// said is the end of what the child said on standard error, to stand behind an error.
func (c *child) said() string {
	text := strings.TrimSpace(c.stderr.String())
	if len(text) > shownStderr {
		text = "…" + strings.ToValidUTF8(text[len(text)-shownStderr:], "")
	}
	if text == "" {
		return ""
	}
	return "; it said: " + clean(text)
}

func (c *child) counters() cloud.Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// takeCounters gives the counters and forgets them.
func (c *child) takeCounters() cloud.Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.count
	c.count = cloud.Counters{}
	return n
}

// counted notes counters that came with an answer. Answers overtake one another:
// the largest numbers are the newest.
func (c *child) counted(n cloud.Counters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Requests = max(c.count.Requests, n.Requests)
	c.count.Sent = max(c.count.Sent, n.Sent)
	c.count.Received = max(c.count.Received, n.Received)
}

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p[max(0, len(p)-maxStderr):]...)
	t.kept = t.kept[max(0, len(t.kept)-maxStderr):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
