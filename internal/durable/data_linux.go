package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncData makes the bytes of f durable, and of its metadata what is needed to
// read them. Where space was written before, so that neither size nor place
// changes, this spares the file system's journal.
func SyncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		inner = unix.EINTR
		for inner == unix.EINTR {
			inner = unix.Fdatasync(int(fd))
		}
	})
	return errors.Join(err, inner)
}
