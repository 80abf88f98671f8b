package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// TryLock takes the system's lock on an open file and reports whether it got it:
// false when another open file holds it, of this process or another. The lock goes when f is
// closed, and so also when the process dies. Whoever cannot have it can still read the file.
func TryLock(f *os.File) (bool, error) {
	err := lockFile(f, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// Lock is TryLock, but waits for whoever holds the lock.
func Lock(f *os.File) error { return lockFile(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// lockFile locks one byte far behind the text in the file: what is locked nobody else can read.
func lockFile(f *os.File, how uint32) error {
	at := &windows.Overlapped{Offset: 1 << 20}
	return windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, at)
}
