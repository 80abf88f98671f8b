// Package cloud is the storage a person already has, as Keepsake sees it: a
// place that keeps named objects. Everything in it is ciphertext, and nothing
// that comes back from it is trusted: package backup authenticates every byte
// before use. Whoever holds the cloud learns names, sizes and times of
// objects; whoever changes it can make a backup unreadable, not readable.
//
// Adapters are packages below this one. Each passes the checks in
// cloud/cloudtest, which say in code what this package says in words.
package cloud

import (
	"context"
	"errors"
	"io"
	"time"
)

// Store keeps objects. All methods may be called concurrently, by several
// processes and devices too. When ctx ends, a method returns an error that is
// ctx.Err() as soon as it can, and what it was doing has happened wholly or
// not at all.
//
// A name that [CheckName] refuses is an error of every method that takes one.
type Store interface {
	// Put stores size bytes read from body under name. The object is seen
	// whole or not at all, by readers and after a crash, and is durable when
	// Put returns nil. An object that is there already stays as it is:
	// ErrExist; of several concurrent Puts of one name exactly one succeeds,
	// unless Traits.Racy.
	//
	// body stands at its start. Put may read it again from there after
	// Seek(0, io.SeekStart), for a retry. A body with more or fewer bytes
	// than size is an error, and an error of body is wrapped; after either,
	// as after every error, nothing of the object is seen. One exception a
	// network forces: when the answer to a finished upload is lost
	// (ErrUnreachable), the whole object may be there.
	Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error

	// Get opens length bytes from offset on; a negative length means to the
	// end. An absent object is ErrNotExist. An object that ends before
	// offset+length gives what it has and then io.ErrUnexpectedEOF; one that
	// ends before offset gives io.ErrUnexpectedEOF for a negative length too.
	// Both may come from Get or from reading. The reader is the caller's to
	// close.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// List calls fn once for every object whose name starts with prefix, in
	// no given order: "" for all, "data/" for a folder, "data/0f" for a part
	// of one. fn may call the store, Delete of the listed object included. An
	// error of fn ends the listing and is returned, wrapped or as it is.
	// Objects put or deleted meanwhile may be listed or not; all others are.
	List(ctx context.Context, prefix string, fn func(Info) error) error

	// Delete removes an object, for good when it returns nil: a removed key
	// ring must not come back with the power. An absent one is ErrNotExist.
	Delete(ctx context.Context, name string) error

	// Stat describes an object. An absent one is ErrNotExist.
	Stat(ctx context.Context, name string) (Info, error)
}

// Info describes an object.
type Info struct {
	Name string
	Size int64 // bytes
	// ModTime is when the object was stored, by the store's own clock, which
	// may be wrong. Compare it with other times of the same store only.
	ModTime time.Time
}

// Traits are what a store is like, where the engine can adapt to it. The zero
// value is a folder on a disk.
type Traits struct {
	// Parallel is how many requests at a time are worth while, at most; 0 means 2.
	Parallel int `json:"parallel,omitempty"`
	// Lag is how long a listing, or a look by name, may not show yet what
	// another process has written or deleted. What the same Store wrote or
	// deleted it always shows, unless the process behind it has died since
	// (package process): then that is another's too.
	Lag time.Duration `json:"lag_ns,omitempty"`
	// Racy says that of two concurrent Puts of one name both may succeed, and
	// that either object, whole, is then what the name stands for; Put still
	// refuses a name of which it can know that it is taken.
	Racy bool `json:"racy,omitempty"`
	// Fresh says that this Store has just made the place, a folder that was
	// not there: nobody has put anything into it before, so that nothing in
	// it is hidden by Lag.
	Fresh bool `json:"fresh,omitempty"`
}

// TraitsOf asks a store, or what it wraps, for its traits: a method
// Traits() Traits. A store without one has none.
func TraitsOf(s Store) Traits {
	if t, ok := s.(interface{ Traits() Traits }); ok {
		return t.Traits()
	}
	return Traits{}
}

// A DelayError is an error of a store that said how long to wait before the
// next request (Retry-After, RFC 9110 section 10.2.3). It wraps ErrThrottled or
// ErrUnreachable.
type DelayError struct {
	After time.Duration
	Err   error
}

func (e *DelayError) Error() string { return e.Err.Error() }
func (e *DelayError) Unwrap() error { return e.Err }

// Errors of a Store wrap at most one of these. An error that wraps none, and
// is not the context's or the body's, is a defect or a misuse.
var (
	// ErrNotExist means that the store was reached and has no such object.
	ErrNotExist = errors.New("cloud: no such object")
	// ErrExist means that there is an object of this name already.
	ErrExist = errors.New("cloud: object exists already")
	// ErrUnreachable means that the store is not there now: a disk that is
	// not mounted or failing, a network that is down. Says nothing about
	// what the store holds.
	ErrUnreachable = errors.New("cloud: store cannot be reached")
	// ErrDenied means that the store refused: permission, sign-in, read-only.
	ErrDenied = errors.New("cloud: access denied")
	// ErrFull means that there is no room: disk or quota.
	ErrFull = errors.New("cloud: store is full")
	// ErrThrottled means that the store asks for slower requests; the same
	// request may succeed later.
	ErrThrottled = errors.New("cloud: store asks to slow down")
)
