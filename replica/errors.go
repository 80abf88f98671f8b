package replica

import (
	"errors"
	"fmt"
)

// What callers branch on. With ErrFull, ErrNoSpace, ErrSize, ErrClosed, ErrNotLeader,
// ErrPending, ErrEmpty and ErrVersion an entry is certainly not applied and never will be. With
// ErrUnknown, as with a context's error, it may have been, or still be.
var (
	ErrFull      = errors.New("replica: too much waits already: not applied")
	ErrNoSpace   = errors.New("replica: no room for the log on the disk: not applied")
	ErrSize      = errors.New("replica: entry empty or too long: not applied")
	ErrClosed    = errors.New("replica: closed: not applied")
	ErrNotLeader = errors.New("replica: no leader to be reached: not applied")
	ErrPending   = errors.New("replica: another change of the members is under way: not applied")
	ErrEmpty     = errors.New("replica: this member has not been given the state yet: not applied")
	ErrUnknown   = errors.New("replica: leader lost or replica halted before the outcome was known: ask again")
	// ErrTransfer is why Transfer gave up. The other member may lead all the same a little later.
	ErrTransfer = errors.New("replica: the leadership was not handed over: nobody took it in time")
	// ErrRemoved is why a member halts that no longer belongs to its group; one that
	// is started again does so after a few seconds. Its disk stays, and may be erased.
	ErrRemoved = errors.New("replica: this member was removed from its group")
	// ErrForgot is why a member halts whose leader knows of entries that it acknowledged and does
	// not have. What it has voted and acknowledged since it was put back counts for nothing.
	ErrForgot = errors.New("replica: this member has forgotten what it acknowledged to the leader: its disk and its anchor were put back; " +
		"remove it, and add the machine again under a new number")
)

// What stops Create and Open, besides RollbackError and DamagedError. ErrNewer also halts a
// member that runs and meets an entry or a picture of a form that it does not know.
var (
	ErrInUse   = errors.New("replica: another process uses this folder")
	ErrExists  = errors.New("replica: there is a replica already")
	ErrMissing = errors.New("replica: none was made on this anchor")
	ErrNewer   = errors.New("replica: written by a newer version of this program: upgrade this replica")
)

// What to do about a replica that must not run. One that ran all the same would
// give guesses again that were taken already.
const (
	rejoin = "do not start it on this disk: put back the newest disk if there is one, or else give up this replica and its anchor, and let a new one join the group (with a single replica, its records are lost)"
	whole  = "look for a failing disk or for somebody with access to it; then " + rejoin
)

// RollbackError says that disk and anchor are of different times: one of them was
// put back to an earlier state, or the end of the log is gone.
type RollbackError struct {
	Anchor uint64 // batches that the anchor counted
	Disk   uint64 // batches that the disk shows, 0 when it cannot be read under the present key
	Reason string
}

// Error says what was found and what to do next.
func (e *RollbackError) Error() string {
	return fmt.Sprintf("replica: rolled back: %s (the anchor counts %d batches, the disk shows %d); %s", e.Reason, e.Anchor, e.Disk, rejoin)
}

// DamagedError says that a file is not what the replica wrote: cut, edited,
// reordered, missing, or lost by the disk.
type DamagedError struct {
	File   string // name inside the folder
	Offset int64  // of the part that is wrong, in bytes
	Reason string
}

// Error says what was found and what to do next.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("replica: damaged: %s, byte %d: %s; %s", e.File, e.Offset, e.Reason, whole)
}
