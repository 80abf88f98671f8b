//go:build cgo

package pkcs11_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
)

// The test binary is its own child process: what it does is in this variable.
const childVariable = "KEEPSAKE_PKCS11_CHILD"

type task struct {
	What                   string
	Module, Token, PINFile string
	After, Counter, Key    int
}

// spawn runs a task in a process that kills itself after so many calls of the task, and
// reports whether it came to its end, with what it printed.
func spawn(t *testing.T, what string, opts pkcs11.Options, after, counter, key int) (said string, done bool) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+string(must(json.Marshal(task{what, opts.Module, opts.Token, opts.PINFile, after, counter, key}))))
	c.Stderr = os.Stderr
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return string(out), false
	}
	check(t, err)
	return string(out), true
}

func child() {
	var job task
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &job); err != nil {
		panic(err)
	}
	ctx := context.Background()
	opts := pkcs11.Options{Module: job.Module, Token: job.Token, PINFile: job.PINFile}
	armed, logins := false, 0
	opts.Tap(func(name string, do func() error) error {
		if name == "C_Login" {
			logins++
		}
		if armed {
			if job.After == 0 {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			job.After--
		}
		return do()
	}, nil)
	d, err := pkcs11.Open(ctx, opts)
	if err == nil && job.What == "rotate" {
		armed = true
		err = d.Rotate(ctx, state(uint64(job.Counter)), keyOf(byte(job.Key)))
	}
	switch {
	case errors.Is(err, anchor.ErrInUse):
		fmt.Print("in use")
	case errors.Is(err, pkcs11.ErrPIN):
		fmt.Printf("wrong PIN, tried %d times", logins)
	case err != nil:
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
