//go:build !windows

package client

import (
	"os"
	"syscall"
)

// sameDisk says whether two folders lie on one file system.
func sameDisk(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA != nil || errB != nil {
		return false
	}
	sa, okA := infoA.Sys().(*syscall.Stat_t)
	sb, okB := infoB.Sys().(*syscall.Stat_t)
	return okA && okB && sa.Dev == sb.Dev
}
