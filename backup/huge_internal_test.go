//go:build linux

package backup

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// Large pages are asked for behind all of a pack's buffer but its ends, and a buffer that has no room for one is left alone.
func TestHugePages(t *testing.T) {
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
	want := err == nil // not every kernel has them
	for _, room := range []int{0, 1, 4096, hugePage - 1} {
		hugePages(make([]byte, 0, room))
	}
	b := make([]byte, 0, packTarget+1<<20)
	hugePages(b)
	b = b[:cap(b)]
	for _, at := range []int{hugePage, len(b) / 2, len(b) - hugePage - 1} {
		if flags := memoryFlags(t, uintptr(unsafe.Pointer(&b[at]))); strings.Contains(flags, " hg") != want {
			t.Errorf("memory at %d of %d has flags %q; with hg should be %v", at, len(b), flags, want)
		}
	}
}

// memoryFlags returns the kernel's flags (proc(5), smaps) of the mapping with an address.
func memoryFlags(t *testing.T, address uintptr) string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &from, &to); n == 2 {
			in = from <= address && address < to
		} else if flags, ok := strings.CutPrefix(s.Text(), "VmFlags:"); ok && in {
			return flags
		}
	}
	t.Fatal("no mapping has the address")
	return ""
}
