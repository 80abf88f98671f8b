//go:build !linux

package vaultd

import "time"

var started = time.Now()

// elapsed is Go's monotonic clock.
func elapsed() time.Duration { return time.Since(started) }
