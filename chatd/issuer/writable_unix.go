//go:build unix

package issuer

import (
	"io/fs"
	"syscall"
)

// writable is nil when this process may write the file, or make files in the folder. It is
// asked (2 is W_OK), not tried: a check leaves no trace.
func writable(path string) error {
	if err := syscall.Access(path, 2); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}
