//go:build unix

package mounttest

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// Port keeps a port of 127.0.0.1 for a server that a test starts, until the test ends: any if port is 0. Nobody else is
// given it meanwhile, neither who listens on any port nor who connects from one, and a server that sets SO_REUSEADDR,
// as most do, can listen on it, again and again. A port that others have, if only for the minute after a connection
// from it, is waited for.
func Port(t testing.TB, port int) (kept int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	at := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = syscall.Bind(fd, at); !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			break
		}
	}
	name, nameErr := syscall.Getsockname(fd)
	if err := errors.Join(err, nameErr); err != nil {
		t.Fatalf("port %d: %v", port, err)
	}
	return name.(*syscall.SockaddrInet4).Port
}
