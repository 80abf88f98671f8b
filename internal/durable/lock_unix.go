//go:build unix

package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock takes the system's lock on an open file and reports whether it got it:
// false when another open file holds it, of this process or another. The lock goes when f is
// closed, and so also when the process dies.
func TryLock(f *os.File) (bool, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		inner = unix.EINTR
		for inner == unix.EINTR {
			inner = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
		}
	})
	if errors.Is(inner, unix.EWOULDBLOCK) {
		return false, nil
	}
	err = errors.Join(err, inner)
	return err == nil, err
}
