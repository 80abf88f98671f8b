package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// widen gives a pipe room for four frames in place of the usual 64 KiB, so that the processes wake each other less often. It is a wish: where the
// person's pipes have used up what the system allows (pipe-user-pages-soft), the pipe stays as it is.
func widen(pipe *os.File) {
	if c, err := pipe.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}
