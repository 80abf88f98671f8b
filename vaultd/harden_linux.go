package vaultd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps the memory of this process, which holds every k of the fleet,
// out of core files and out of reach of other processes of the same user (no
// ptrace, no /proc/PID/mem). It is for main, before anything else. Root and the
// kernel still reach it: that is the anchor's and the machine's business.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("vaultd: refusing other processes the memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("vaultd: turning core files off: %w", err)
	}
	return nil
}

// LockMemory keeps the memory out of swap. It does nothing, and returns an error, where the limit on locked memory is finite: under such a
// limit Go's own allocations would fail later, and with them the process.
func LockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("vaultd: asking how much memory may be locked: %w", err)
	}
	if limit.Max == unix.RLIM_INFINITY {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
			return fmt.Errorf("vaultd: raising the limit on locked memory: %w", err)
		}
	}
	if limit.Cur != unix.RLIM_INFINITY {
		return fmt.Errorf("vaultd: only %d KiB of memory may be locked (LimitMEMLOCK=infinity lifts it)", limit.Cur>>10)
	}
	// ONFAULT: what Go has only reserved need not become memory.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("vaultd: locking memory: %w", err)
	}
	return nil
}
