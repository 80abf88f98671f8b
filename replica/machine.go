package replica

import "io"

// Machine is what a replica drives: a deterministic state machine. The replica
// calls its methods one at a time, and never while a function given to
// [Replica.Read] or [Replica.Peek] runs.
type Machine interface {
	// Apply applies one committed entry, which it must neither change nor keep, and
	// returns what the proposer is told. The same entries in the same order give the
	// same state everywhere. Where nobody here asked, the effect may be nil: what
	// nobody waits for need not be computed, nor copied. An error, or a panic, is a broken
	// invariant: the replica halts.
	Apply(entry []byte, asked bool) (effect any, err error)
	// Change applies a committed change of the members, or of what else people
	// sign: the machine verifies the signatures, and a change that it refuses
	// changes nothing, which the effect says. At most one voter comes, goes, or
	// becomes a learner at a time. An error, or a panic, halts the replica.
	Change(signed []byte) (effect any, err error)
	// Members returns who belongs to the group now, by rising numbers: at least
	// one voter. It is not asked before there is a state.
	Members() []Member
	// Checkpoint takes a consistent picture of the state, in little time: the
	// replica answers nobody meanwhile.
	Checkpoint() Checkpoint
	// Restore replaces the state, which is new, by what a picture wrote. The
	// bytes are authentic: the same machine wrote them, or an older version of it.
	// An error, or bytes that are left unread, stop the start.
	Restore(r io.Reader) error
}

// Tolerant is a Machine whose group outlives that some members lose what they
// acknowledged: see the arithmetic in spec/replication.md §12.
type Tolerant interface {
	// Tolerate is how many voters may do so at a time.
	Tolerate() int
}

// Member is one member of a group.
type Member struct {
	Number  uint64 // from 1, never used again
	Learner bool   // receives everything and counts for no majority
}

// Checkpoint is a picture of a machine.
type Checkpoint interface {
	// WriteTo runs in another goroutine while the machine goes on.
	io.WriterTo
	// Release is called once, by any goroutine while the machine goes on, when
	// the picture is no longer needed, written or not.
	Release()
}
