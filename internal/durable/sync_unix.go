//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes the names in an open folder durable. Some network and FUSE
// file systems have no such call for a folder and say so; they make names
// durable by themselves or not at all, and refusing them would help nobody.
func syncDir(dir *os.File) error {
	err := dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
