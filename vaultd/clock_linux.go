package vaultd

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is CLOCK_BOOTTIME: monotonic, and unlike Go's own clock it goes on
// while the host sleeps, so that tokens are not "from the future" afterwards.
func elapsed() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("vaultd: internal error: the host has no monotonic clock: " + err.Error())
	}
	return time.Duration(t.Nano())
}
