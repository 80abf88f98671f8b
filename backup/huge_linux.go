package backup

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a large page on most processors; where it is another, there is at worst nothing gained.
const hugePage = 2 << 20

// hugePages asks for large pages behind b, which nobody has used yet. It takes a page fault for each of them, and a direct write pins each, so with small
// ones a pack costs the processor twice as much to write. That it is not to be had is no error.
func hugePages(b []byte) {
	b = b[:cap(b)]
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	from := -at & (hugePage - 1)
	to := (at+uintptr(len(b)))&^(hugePage-1) - at
	if from < to && to <= uintptr(len(b)) {
		_ = unix.Madvise(b[from:to], unix.MADV_HUGEPAGE)
	}
}
