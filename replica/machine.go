package replica

import "io"

// Machine is what a replica drives: a deterministic state machine. The replica
// calls its methods one at a time, and never while a function given to
// [Replica.Read] runs.
type Machine interface {
	// Apply applies one committed entry, which it must neither change nor keep, and
	// returns what the proposer is told. The same entries in the same order give the
	// same state everywhere. An error, or a panic, is a broken invariant: the
	// replica halts.
	Apply(entry []byte) (effect any, err error)
	// Checkpoint takes a consistent picture of the state, in little time: the
	// replica answers nobody meanwhile.
	Checkpoint() Checkpoint
	// Restore replaces the state, which is new, by what a picture wrote. The
	// bytes are authentic: the same machine wrote them, or an older version of it.
	// An error, or bytes that are left unread, stop the start.
	Restore(r io.Reader) error
}

// Checkpoint is a picture of a machine.
type Checkpoint interface {
	// WriteTo runs in another goroutine while the machine goes on.
	io.WriterTo
	// Release is called once, by any goroutine while the machine goes on, when
	// the picture is no longer needed, written or not.
	Release()
}
