// Package servertest starts real servers for tests, on the loopback and in
// folders of their own: rclone's S3 and WebDAV servers in this process,
// Apache and OpenSSH as Debian ships them, versitygw as Go's module proxy
// has it. They end with the test.
package servertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// Server is a server that keeps Folder.
type Server struct {
	Backend string            // rclone's name of what speaks to it
	Root    string            // where in it there is room
	Options map[string]string // rclone's options, passwords obscured
	Addr    string            // host:port
	Folder  string            // where it keeps what is put below Root
}

// program finds a program that Debian has in one of the folders of root's PATH.
func program(t testing.TB, name, needs string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/usr/local/bin"} {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	mounttest.Missing(t, name+" is not installed: "+needs)
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// folder makes one that other users can reach, which t.TempDir does not.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keepsake-server-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatalf("making a folder for a server: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatalf("configuring a server: %v", err)
	}
}

// freePort gives a port that nobody else is given: these servers cannot be
// told to choose one.
func freePort(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(mounttest.Port(t, 0))
}

// start runs a server until the test ends, and waits for it to listen.
func start(t testing.TB, addr string, c *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	// Its workers are of its group, and end with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatalf("starting a server: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	if err := listening(t.Context(), addr, ended); err != nil {
		t.Fatalf("waiting for %s: %v\n%s", c.Path, err, out.String())
	}
}

func listening(ctx context.Context, addr string, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // the machine may be busy
	defer cancel()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %v", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
