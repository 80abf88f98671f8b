package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew renames temp to name inside dir, which root is open on too,
// unless name exists.
func renameNew(root *os.Root, dir *os.File, temp, name string) error {
	conn, err := dir.SyscallConn()
	if err != nil {
		return err
	}
	var renameErr error
	err = conn.Control(func(fd uintptr) {
		renameErr = unix.Renameat2(int(fd), temp, int(fd), name, unix.RENAME_NOREPLACE)
	})
	if err != nil {
		return err
	}
	switch {
	case renameErr == nil:
		return nil
	case errors.Is(renameErr, unix.EINVAL), errors.Is(renameErr, unix.ENOSYS), errors.Is(renameErr, unix.ENOTSUP):
		// NFS and some FUSE file systems do not know the flag; old kernels, the call.
		return linkNew(root, temp, name)
	default:
		return &os.LinkError{Op: "renameat2", Old: temp, New: name, Err: renameErr}
	}
}
