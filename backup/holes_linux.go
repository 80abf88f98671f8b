package backup

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// holes finds the unwritten stretches of a sparse file, so that they need not be read.
type holes struct {
	f    *os.File
	size int64
	data int64 // no data lies between the last offset asked for and here
	none bool
}

// newHoles looks for holes only where the file has fewer blocks on the disk than bytes.
func newHoles(f *os.File, size int64) *holes {
	info, err := f.Stat()
	if err != nil {
		return &holes{none: true}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return &holes{f: f, size: size, none: !ok || st.Blocks*512 >= size}
}

// skip returns how many bytes from offset on are a hole: whole units, or all to the end of the file; 0 if none.
func (h *holes) skip(offset, unit int64) int64 {
	if h.none {
		return 0
	}
	if offset >= h.data {
		at, err := unix.Seek(int(h.f.Fd()), offset, unix.SEEK_DATA)
		if err == unix.ENXIO {
			at = h.size // nothing but a hole is left
		} else if err != nil {
			h.none = true
			return 0
		}
		h.data = max(at, offset)
		if h.data == offset {
			// Ask again only behind this unit.
			h.data = offset + unit
			return 0
		}
	}
	if h.data >= h.size {
		return h.size - offset
	}
	return max(0, (h.data-offset)/unit*unit)
}
