package backup

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// setLinkTime sets the modification time of a symbolic link itself.
func setLinkTime(root *os.Root, name string, mtime int64) error {
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	t := unix.NsecToTimespec(mtime)
	return unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}
