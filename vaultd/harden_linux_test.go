package vaultd_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"keepsake.example/vaultd"
)

// No core files, and no other process of the same user reads the memory.
func TestHarden(t *testing.T) {
	if err := vaultd.Harden(); err != nil {
		t.Fatal(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core != (unix.Rlimit{}) {
		t.Errorf("core files may have %d bytes, %v", core.Cur, err)
	}
}
