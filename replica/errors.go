package replica

import (
	"errors"
	"fmt"
)

var errMissing = errors.New("replica: being written")

// What callers branch on. With ErrFull, ErrNoSpace, ErrSize, ErrClosed and
// ErrNotLeader the entry is certainly not applied and never will be. With ErrUnknown,
// as with a context's error, it may be, and may still become so.
var (
	ErrFull      = errors.New("replica: too much waits already: not applied")
	ErrNoSpace   = errors.New("replica: the disk has no room for the log: not applied")
	ErrSize      = errors.New("replica: entry empty or too long: not applied")
	ErrClosed    = errors.New("replica: closed: not applied")
	ErrNotLeader = errors.New("replica: not the leader: not applied")
	ErrUnknown   = errors.New("replica: halted before the outcome was known")
)

// What stops Create and Open, besides RollbackError and DamagedError.
var (
	ErrInUse   = errors.New("replica: another process uses this folder")
	ErrExists  = errors.New("replica: there is a replica already")
	ErrMissing = errors.New("replica: none was made here")
	ErrNewer   = errors.New("replica: written by a newer version of this program")
)

// RollbackError says that disk and anchor are of different times: one of them
// was put back. The replica must not run: it would give again what was
// already given.
type RollbackError struct {
	Anchor uint64 // batches that the anchor counted
	Disk   uint64 // batches that the disk shows; 0 when it is of another epoch
	Reason string
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("replica: rolled back: %s (the anchor counts %d batches, the disk %d)", e.Reason, e.Anchor, e.Disk)
}

// DamagedError says that a file is not what the replica wrote.
type DamagedError struct {
	File   string // name inside the folder
	Offset int64  // in bytes, of the part that is wrong
	Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("replica: damaged: %s at byte %d: %s", e.File, e.Offset, e.Reason)
}
