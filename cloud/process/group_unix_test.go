//go:build unix

package process_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

// A Ctrl-C at the terminal is for the process group of keepsake, which has a lock to
// remove through its child first.
func TestChildHasAGroupOfItsOwn(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	group, err := syscall.Getpgid(s.Pid())
	if err != nil || group != s.Pid() || group == syscall.Getpgrp() {
		t.Errorf("the group of child %d is %d, %v; that of this process %d", s.Pid(), group, err, syscall.Getpgrp())
	}
}
