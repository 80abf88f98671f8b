package backup

import (
	"encoding/binary"
	"io/fs"
	"time"
)

// A write within the same tick of the file system's clock as our look at the file leaves the same times. Ticks are a few
// milliseconds; file systems with whole seconds (FAT: two) show in times without a fraction.
const (
	fineTick   = 100 * time.Millisecond
	coarseTick = 2500 * time.Millisecond
)

// fileState is what is compared to see whether a file changed since the last snapshot, spec §6: inode, size and times.
// It is zero, which never compares equal, for a file that changed too recently to tell.
func fileState(d *digester, info fs.FileInfo, now time.Time) ID {
	inode, changed := changeTime(info)
	newest := info.ModTime()
	if changed.After(newest) {
		newest = changed
	}
	tick := fineTick
	if newest.Nanosecond() == 0 {
		tick = coarseTick
	}
	if age := now.Sub(newest); age < tick && age > -time.Hour {
		return ID{}
	}
	var b []byte
	for _, v := range []uint64{inode, uint64(info.Size()), uint64(info.ModTime().UnixNano()), uint64(changed.UnixNano())} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return d.id(b)
}

// unchanged reports whether a state says that nothing happened since the other was taken.
func unchanged(a, b ID) bool { return a == b && a != ID{} }
