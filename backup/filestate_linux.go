package backup

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime returns a file's inode and the time its inode last changed, which no program can set back.
func changeTime(info fs.FileInfo) (inode uint64, changed time.Time) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino, time.Unix(st.Ctim.Unix())
	}
	return 0, info.ModTime()
}
