package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriteback asks the disk to begin writing a range and does not wait. It
// makes nothing durable and, having no WAIT flag, does not take the disk's
// errors away from the fsync that comes later; its own mean only that there
// is no head start.
func beginWriteback(file *os.File, offset, length int64) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	})
}
