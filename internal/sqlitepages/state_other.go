//go:build !linux && !darwin

package sqlitepages

import "os"

// inode has only the modification time to offer here.
func inode(info os.FileInfo) (changed int64, number uint64) {
	return info.ModTime().UnixNano(), 0
}

// ownFile: there is no owner to compare.
func ownFile(os.FileInfo) bool { return true }
