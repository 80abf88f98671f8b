package process_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/cloud/process"
)

// The test binary is the child too: children by name, with an argument.
var children = map[string]func(arg string){
	"dir": serveDir,
	"errors": func(string) {
		serve(func(_ context.Context, r process.Request) (cloud.Store, error) { return failing{}, openError(r) })
	},
	"nowhere": func(string) {
		serve(func(context.Context, process.Request) (cloud.Store, error) { return nowhere{}, nil })
	},
	"hostile": func(which string) {
		serveHandler(hostile(which))
	},
	"echo": func(string) { io.Copy(os.Stdout, os.Stdin) },
	"noise": func(string) {
		os.Stdout.WriteString(strings.Repeat("no protocol\n", 1000))
		io.Copy(io.Discard, os.Stdin)
	},
	"exit":   func(string) { fmt.Fprintln(os.Stderr, "a\x1b[31m library is missing"); os.Exit(3) },
	"silent": func(string) { time.Sleep(time.Hour) },
	"stays":  func(path string) { serveDir(path); time.Sleep(time.Hour) },
	"storm":  serveInStorm,
}

// stormy is for how many openings after the first the cloud of serveInStorm cannot be reached.
const stormy = process.MaxDeaths + 2

// serveInStorm serves a folder to the first child and to those after the storm; each leaves a line in a file beside it.
func serveInStorm(path string) {
	log, err := os.OpenFile(path+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(1)
	}
	fmt.Fprintln(log, "opened")
	lines, err := os.ReadFile(path + ".log")
	if n := strings.Count(string(lines), "\n") - 1; err == nil && n > 0 && n <= stormy {
		serve(func(context.Context, process.Request) (cloud.Store, error) {
			return nil, fmt.Errorf("%w: storm", cloud.ErrUnreachable)
		})
		return
	}
	serveDir(path)
}

func serveDir(path string) {
	serve(func(_ context.Context, r process.Request) (cloud.Store, error) {
		if r.Create {
			return dir.Create(path)
		}
		return dir.Open(path)
	})
}

func serve(open process.OpenFunc) {
	if err := process.Serve(context.Background(), os.Stdin, os.Stdout, open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveHandler(h http.Handler) {
	if err := process.ServeHTTP(context.Background(), os.Stdin, os.Stdout, h); err != nil {
		os.Exit(1)
	}
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		if child, ok := children[os.Args[1]]; ok {
			child(os.Args[2])
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var somewhere = cloud.Destination{Kind: cloud.KindGDrive, Path: "Folder"}

// optionsOf are those that start the child of this name.
func optionsOf(name, arg string) process.Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return process.Options{Program: self, Args: []string{name, arg}, Destination: somewhere, Create: true}
}

func open(t testing.TB, name, arg string) *process.Store {
	t.Helper()
	s, err := process.Open(t.Context(), optionsOf(name, arg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// failing answers every name with the error the name says.
type failing struct{ cloud.Store }

var failures = map[string]error{
	"meta/absent":      fmt.Errorf("%w: meta/absent", cloud.ErrNotExist),
	"meta/there":       fmt.Errorf("%w: meta/there", cloud.ErrExist),
	"meta/denied":      fmt.Errorf("%w: sign in: keepsake cloud login gdrive", cloud.ErrDenied),
	"meta/full":        cloud.ErrFull,
	"meta/throttled":   cloud.ErrThrottled,
	"meta/later":       &cloud.DelayError{After: 1500 * time.Millisecond, Err: fmt.Errorf("%w: slowly", cloud.ErrThrottled)},
	"meta/unreachable": &cloud.DelayError{After: time.Minute, Err: cloud.ErrUnreachable},
	"meta/short":       io.ErrUnexpectedEOF,
	"meta/other":       errors.New("a defect, with \x1b[31mcolour\nand ünïcode"),
}

func openError(r process.Request) error {
	if r.LimitUpload != "" {
		return fmt.Errorf("%w: limit %s of %s", cloud.ErrDenied, r.LimitUpload, r.Destination)
	}
	return nil
}

func (failing) Traits() cloud.Traits {
	return cloud.Traits{Parallel: 4, Lag: time.Minute, Racy: true, Fresh: true}
}
func (failing) Counters() cloud.Counters {
	return cloud.Counters{Requests: 7, Sent: 1 << 40, Received: 9}
}
func (failing) Delete(_ context.Context, name string) error { return failures[name] }
func (failing) Put(_ context.Context, name string, _ io.ReadSeeker, _ int64) error {
	if name == "meta/panic" {
		panic("a library's")
	}
	return failures[name]
}
func (failing) List(context.Context, string, func(cloud.Info) error) error {
	return failures["meta/denied"]
}
func (failing) Stat(_ context.Context, name string) (cloud.Info, error) {
	return cloud.Info{Name: name, ModTime: time.Unix(1, 0)}, failures[name]
}

// Get fails after a byte, so that the error travels behind the body.
func (failing) Get(_ context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader("x"), broken{failures[name]})), nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}

// nowhere stores nothing, and gives as many zeros as are asked for.
type nowhere struct{ cloud.Store }

func (nowhere) Put(context.Context, string, io.ReadSeeker, int64) error { return nil }
func (nowhere) Delete(context.Context, string) error                    { return nil }
func (nowhere) Get(_ context.Context, _ string, _, length int64) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, length)), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
