//go:build !linux

package vaultd

import "errors"

var errNotHere = errors.New("vaultd: not on this system: vaultd is made to run on Linux")

// Harden keeps the memory of the process from others; only on Linux.
func Harden() error { return errNotHere }

// LockMemory keeps the memory out of swap; only on Linux.
func LockMemory() error { return errNotHere }
