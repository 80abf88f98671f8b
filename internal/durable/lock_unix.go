//go:build unix

package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock takes the system's lock on an open file and reports whether it got it:
// false when another open file holds it, of this process or another. The lock goes when f is
// closed, and so also when the process dies. Whoever cannot have it can still read the file.
func TryLock(f *os.File) (bool, error) {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Lock is TryLock, but waits for whoever holds the lock.
func Lock(f *os.File) error { return flock(f, unix.LOCK_EX) }

func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		inner = unix.EINTR
		for inner == unix.EINTR {
			inner = unix.Flock(int(fd), how)
		}
	})
	return errors.Join(err, inner)
}
