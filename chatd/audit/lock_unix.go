//go:build unix

package audit

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lock keeps a second process out. The system lets go of it when the process
// ends, however it ends.
func lock(dir *os.Root, name string) (io.Closer, error) {
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(ErrInUse, f.Close())
	}
	return f, nil
}
