package backup

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// ErrInternal means that this program has a fault. Earlier snapshots are intact.
var ErrInternal = errors.New("backup: internal error")

// An InternalError says where a panic came from. What was panicked with is left out, and so are arguments: either can hold a secret. It is
// ErrInternal.
type InternalError struct {
	Type  string // of what was panicked with
	Where string // functions and lines, the innermost first
}

func (e *InternalError) Error() string {
	return fmt.Sprintf("backup: internal error (%s) at %s", e.Type, e.Where)
}

// Is reports that every InternalError is ErrInternal.
func (e *InternalError) Is(target error) bool { return target == ErrInternal }

// placesNamed is how many calls an InternalError names.
const placesNamed = 6

// Guard runs fn and turns a panic into an InternalError. Every goroutine needs it: a panic that nobody recovers ends the process, with a
// trace and with the exit code of a wrong command line.
func Guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = internalError(r)
		}
	}()
	return fn()
}

func internalError(r any) error {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var where []string
	for more := true; more && len(where) < placesNamed; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			where = append(where, fmt.Sprintf("%s:%d", f.Function, f.Line))
		}
	}
	return &InternalError{fmt.Sprintf("%T", r), strings.Join(where, ", ")}
}

// guarded is Guard for an errgroup.
func guarded(fn func() error) func() error {
	return func() error { return Guard(fn) }
}

// aside runs fn, without which the work goes on, in a goroutine.
func aside(fn func()) {
	go Guard(func() error { fn(); return nil })
}
