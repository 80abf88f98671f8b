package backup

import (
	"errors"
	"fmt"
	"time"
)

// What a caller can branch on, with errors.Is.
var (
	ErrNoRepository     = errors.New("backup: no repository there")
	ErrRepositoryExists = errors.New("backup: there is a repository already")
	ErrWrongKey         = errors.New("backup: wrong key")
	ErrLocked           = errors.New("backup: another device is writing")
	ErrRingUnclear      = errors.New("backup: a damaged key ring may be newer than the one in use")
	ErrDamaged          = errors.New("backup: damaged data")
	ErrRolledBack       = errors.New("backup: the cloud offers an older state than this device has seen")
	ErrUnsupported      = errors.New("backup: written by a newer version of this program")
	ErrOtherRepository  = errors.New("backup: another repository than the one expected")
	ErrSamePlace        = errors.New("backup: the two destinations are one place under two names")
	ErrNotFound         = errors.New("backup: no such snapshot")
	// ErrLastSnapshot means that a prune would leave none.
	ErrLastSnapshot   = errors.New("backup: no snapshot would be left")
	ErrTargetNotEmpty = errors.New("backup: the target folder is not empty")
	ErrSourceEmpty    = errors.New("backup: the chat folder is empty, but the last snapshot is not")
	ErrLocal          = errors.New("backup: this device's own files")
)

// A DamageError says that an object is not what its writer wrote. It is ErrDamaged.
type DamageError struct {
	Object string `json:"object"` // name in the cloud
	Layer  string `json:"layer"`  // what refused it, spec §2: missing, header, version, foreign, swapped, key, commitment, segment, payload, table, chunk, size
	What   string `json:"what"`   // one line, for people
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("backup: damaged data: %s: %s (%s)", e.Object, e.What, e.Layer)
}

// Is reports that every DamageError is ErrDamaged. One of the layer version is ErrUnsupported too: before the commitment is
// checked, a flipped bit and a newer format look the same, and neither may stop what does not need the object.
func (e *DamageError) Is(target error) bool {
	return target == ErrDamaged || (target == ErrUnsupported && e.Layer == "version")
}

// A WrongKeyError says that the key does not open the repository. It is ErrWrongKey.
type WrongKeyError struct {
	ReplacedAt time.Time // not zero: the key did open it, until it was replaced at about this time
}

func (e *WrongKeyError) Error() string {
	if e.ReplacedAt.IsZero() {
		return "backup: wrong key"
	}
	return "backup: wrong key: it was replaced by a newer one on " + e.ReplacedAt.UTC().Format(time.DateOnly)
}

// Is reports that every WrongKeyError is ErrWrongKey.
func (e *WrongKeyError) Is(target error) bool { return target == ErrWrongKey }

// A LockedError says who is writing. It is ErrLocked.
type LockedError struct {
	Device string
	Since  time.Time
	What   string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("backup: another device (%.8s) is writing: %s since %s", e.Device, e.What, e.Since.UTC().Format(time.RFC3339))
}

// Is reports that every LockedError is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// A RollbackError says which state was known and which was found. It is ErrRolledBack.
type RollbackError struct{ Known, Found Mark }

func (e *RollbackError) Error() string {
	return fmt.Sprintf("backup: rolled back: this device has seen state %d, the cloud offers state %d", e.Known.Seq, e.Found.Seq)
}

// Is reports that every RollbackError is ErrRolledBack.
func (e *RollbackError) Is(target error) bool { return target == ErrRolledBack }

// isMissing reports whether err says that an object is not there.
func isMissing(err error) bool {
	var d *DamageError
	return errors.As(err, &d) && d.Layer == "missing"
}

// A LostSnapshotError says that the snapshot that was asked for, the newest for instance, cannot be read. It is ErrDamaged.
type LostSnapshotError struct {
	Damage *DamageError
	Before *Snapshot // the newest before it that can be read; nil if there is none, or another was asked for
}

func (e *LostSnapshotError) Error() string {
	return "backup: the snapshot cannot be read: " + e.Damage.Error()
}

func (e *LostSnapshotError) Unwrap() error { return e.Damage }

func damage(object, layer, format string, args ...any) error {
	return &DamageError{Object: object, Layer: layer, What: fmt.Sprintf(format, args...)}
}
