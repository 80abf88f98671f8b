package client

import (
	"errors"
	"fmt"
	"time"
)

// What a caller can branch on, with errors.Is.
var (
	// ErrNotEnabled means that the profile backs nothing up.
	ErrNotEnabled = errors.New("client: backup is not enabled here")
	// ErrUnfinished means that enabling was begun and not finished. It is
	// ErrNotEnabled too.
	ErrUnfinished = fmt.Errorf("%w: setting it up was begun and not finished", ErrNotEnabled)
	// ErrEnabled means that the profile has a backup already.
	ErrEnabled = errors.New("client: backup is enabled already")
	// ErrOverlap means that of the chat folder, the cloud folder and the profile
	// one lies inside the other.
	ErrOverlap = errors.New("client: one folder lies inside the other")
	// ErrNotFolder means that the chat folder is not a folder.
	ErrNotFolder = errors.New("client: not a folder")
	// ErrProfileDamaged means that config.json is not as it was written.
	ErrProfileDamaged = errors.New("client: damaged profile")
	// ErrKeyMissing means that this device no longer has the key.
	ErrKeyMissing = errors.New("client: the key is no longer on this device")
	// ErrKeyring means that the system keyring does not answer.
	ErrKeyring = errors.New("client: the system keyring cannot be used")
	// ErrNewestState means that the newest state in the cloud is damaged: Settings.OlderState
	// goes on with the one before.
	ErrNewestState = errors.New("client: the newest state of the backup cannot be read")
	// ErrRingGone means that there is a backup without its key ring: a new one in its place
	// would bury it.
	ErrRingGone = errors.New("client: there is a backup at that place whose key ring is gone")
	// ErrBusy means that another command holds the profile.
	ErrBusy = errors.New("client: another command is running")
	// ErrNothingLeft means that no move has left a backup behind.
	ErrNothingLeft = errors.New("client: no move has left a backup behind")
	// ErrLeft means that the last move left a backup behind that is still there.
	ErrLeft = errors.New("client: the last move left a backup behind")
	// ErrNothingKept means that a policy for prune keeps nothing.
	ErrNothingKept = errors.New("client: no policy says what to keep")
)

// A BusyError says who holds the profile. It is ErrBusy.
type BusyError struct {
	What  string // the operation: "backup"; "" when unknown
	PID   int
	Since time.Time
}

func (e *BusyError) Error() string {
	if e.What == "" {
		return "client: another command is running"
	}
	return fmt.Sprintf("client: %s is running (process %d, since %s)", e.What, e.PID, e.Since.Local().Format("2006-01-02 15:04:05"))
}

// Is reports that every BusyError is ErrBusy.
func (e *BusyError) Is(target error) bool { return target == ErrBusy }

// A LeftError says where the backup is that was left behind. It is ErrLeft.
type LeftError struct{ Cloud string }

func (e *LeftError) Error() string {
	return "client: the last move left a backup behind, which is still at " + e.Cloud
}

// Is reports that every LeftError is ErrLeft.
func (e *LeftError) Is(target error) bool { return target == ErrLeft }

// An OverlapError names the two folders. It is ErrOverlap.
type OverlapError struct{ Inner, Outer, InnerName, OuterName string }

func (e *OverlapError) Error() string {
	return fmt.Sprintf("client: the %s %s lies inside the %s %s", e.InnerName, e.Inner, e.OuterName, e.Outer)
}

// Is reports that every OverlapError is ErrOverlap.
func (e *OverlapError) Is(target error) bool { return target == ErrOverlap }
