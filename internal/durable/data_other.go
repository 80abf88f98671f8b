//go:build !linux

package durable

import "os"

// SyncData makes the bytes of f durable. This system has no call for the bytes
// alone.
func SyncData(f *os.File) error { return f.Sync() }
