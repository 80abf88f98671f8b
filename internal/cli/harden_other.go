//go:build !linux

package cli

// Harden keeps the memory of this process out of core files where the system
// has a way to ask for it. Here it has none that needs no privileges.
func Harden() {}
