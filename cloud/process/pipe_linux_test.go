package process

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWiden(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	widen(in)
	if n, err := unix.FcntlInt(out.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || n != 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
