package sqlitepages

import (
	"os"
	"syscall"
)

// inode returns the time of the last change of the inode, which unlike the
// modification time no program can set, and the inode's number.
func inode(info os.FileInfo) (changed int64, number uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.ModTime().UnixNano(), 0
	}
	return st.Ctim.Nano(), st.Ino
}

// ownFile reports whether a file that we create beside this one is as good to
// its owner as his own. For root it is: SQLite gives sidecars the database's owner.
func ownFile(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(st.Uid) == os.Geteuid())
}
