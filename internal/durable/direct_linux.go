package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// setDirect switches writing past the page cache (O_DIRECT) on or off for an open file.
func setDirect(file *os.File, on bool) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var flagErr error
	err = conn.Control(func(fd uintptr) {
		var flags int
		if flags, flagErr = unix.FcntlInt(fd, unix.F_GETFL, 0); flagErr != nil {
			return
		}
		flags &^= unix.O_DIRECT
		if on {
			flags |= unix.O_DIRECT
		}
		_, flagErr = unix.FcntlInt(fd, unix.F_SETFL, flags)
	})
	return errors.Join(err, flagErr)
}

// refusedDirect reports whether a write failed because memory, offset or length do not suit the disk, or the file system has no
// such writes: through the page cache the same write may succeed.
func refusedDirect(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP)
}
