// Package replica keeps a state machine durable.
package replica

import (
	"context"
	"io"

	"keepsake.example/anchor"
)

// Machine is what a replica drives: a deterministic state machine. The replica
// calls its methods one at a time, and never while the function given to
// [Replica.Read] runs.
type Machine interface {
	// Apply applies one committed entry, which it must not change or keep, and
	// returns what the proposer is told. The same entries in the same order must give the same state
	// everywhere. An error is a broken invariant: the replica halts.
	Apply(entry []byte) (effect any, err error)
	// Checkpoint takes a consistent picture of the state, in little time: the
	// replica answers nobody meanwhile.
	Checkpoint() Checkpoint
	// Restore replaces the state, which is new, by what a picture wrote. The
	// bytes are authentic: what the same machine or an older version wrote. An
	// error, or bytes left unread, stops the start.
	Restore(r io.Reader) error
}

// Checkpoint is a picture of a machine.
type Checkpoint interface {
	// WriteTo runs in another goroutine while the machine goes on.
	io.WriterTo
	// Release is called once, in another goroutine while the machine goes on,
	// when the picture is no longer needed, written or not.
	Release()
}

// Config says what to run and within which limits. Zero limits mean the defaults.
type Config struct {
	Dir     string        // of this replica alone; made if it is missing
	Anchor  anchor.Anchor // the caller closes it, after the replica
	Machine Machine       // new, without state

	MaxEntry        int   // longest entry in bytes; default 64 KiB, at most 1 MiB
	MaxQueue        int   // proposals and reads that wait at a time, each; default 4096
	MaxBatch        int   // entries that share one sync; default 1024
	CheckpointBytes int64 // size of the log that starts a checkpoint by itself, in bytes; default 64 MiB
}

// Status is a picture for people and metrics.
type Status struct {
	Member     uint64 // number of this replica in its group
	Role       string // leader, follower or candidate
	Term       uint64
	Last       uint64 // index of the last entry in the log
	Committed  uint64
	Applied    uint64
	Batch      uint64 // durable batches since the replica was made: the anchor's counter
	LogBytes   int64  // of records since the last checkpoint
	Checkpoint uint64 // index that the last checkpoint's picture was taken at
	// CheckpointError is why the last try to make a checkpoint failed; nil when it did not.
	CheckpointError error
	Anchor          anchor.Description
	// Halted is why the replica runs no more; nil while it does.
	Halted error
}

// Replica is one running replica. Its methods may be called concurrently.
type Replica struct{}

// Create makes a new replica.
func Create(ctx context.Context, c Config, genesis [][]byte) error { return errMissing }

// Open starts a replica.
func Open(ctx context.Context, c Config) (*Replica, error) { return nil, errMissing }

// Propose commits one entry and returns what the machine answered.
func (r *Replica) Propose(ctx context.Context, entry []byte) (effect any, err error) {
	return nil, errMissing
}

// Read calls f with the machine's state, which f must not change.
func (r *Replica) Read(ctx context.Context, f func(Machine)) error { return errMissing }

// Checkpoint makes one now.
func (r *Replica) Checkpoint(ctx context.Context) error { return errMissing }

// Status returns a picture of the replica.
func (r *Replica) Status() Status { return Status{} }

// Done is closed when the replica runs no more: closed, or halted.
func (r *Replica) Done() <-chan struct{} { return nil }

// Err returns why the replica halted; nil while it runs and after Close.
func (r *Replica) Err() error { return nil }

// Close stops the replica.
func (r *Replica) Close() error { return nil }
