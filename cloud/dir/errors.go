package dir

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"keepsake.example/cloud"
)

// kinds says what an error of the operating system means for the store. An
// absent object is not in it: see Store.absent.
var kinds = []struct {
	kind   error
	errnos []syscall.Errno
}{
	// EFBIG is a limit on the size of one file: a FAT disk or a shell's ulimit.
	{cloud.ErrFull, []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}},
	{cloud.ErrDenied, []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.EROFS}},
	{cloud.ErrUnreachable, []syscall.Errno{
		syscall.ENOENT, syscall.ENOTDIR, // the folder went away
		syscall.EIO, syscall.ENXIO, syscall.ENODEV, // so did the disk
		syscall.ENOTCONN, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ECONNREFUSED, syscall.ECONNABORTED,
		syscall.ECONNRESET, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.ENETUNREACH, // or the server
	}},
}

// classify adds the cloud error that err amounts to. An error that is none,
// such as too many open files, stays as it is.
func classify(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	for _, k := range kinds {
		if slices.Contains(k.errnos, errno) {
			return fmt.Errorf("%w: %w", k.kind, err)
		}
	}
	return err
}
