// Package anchor is the interface to the one small memory of a replica that its
// operator cannot put back to an earlier state: a counter, the head of the
// replica's log at that count, and the key under which everything on the
// replica's disk is sealed.
//
// A disk can be copied and put back at any time. A replica that counted guesses
// on such a disk alone would count them again from the copy. So each durable
// batch of the log advances the anchor before anything of it is acknowledged,
// and at its start a replica compares the two (spec/replication.md §4). And a
// key that a disk held could never be destroyed, so the anchor holds it:
// [Anchor.Rotate] replaces it, and what the old key sealed is unreadable from
// then on, in every copy of the disk.
//
// How much of this an implementation keeps depends on what it is made of, and
// [Anchor.Describe] says it. Package software keeps none of it against
// somebody who can write to its folder. Every implementation runs the suite in
// anchortest.
package anchor

import (
	"context"
	"errors"
	"io"
)

// HeadSize is the length of a log head in bytes.
const HeadSize = 32

// State is what an anchor counts.
type State struct {
	Counter uint64         // batches since the replica was made; the first is 1
	Head    [HeadSize]byte // of the log's hash chain, after batch Counter
}

// What callers branch on.
var (
	// ErrEmpty: nothing has been founded here yet.
	ErrEmpty = errors.New("anchor: empty, no replica was founded on it")
	// ErrFounded: there is a replica on this anchor already.
	ErrFounded = errors.New("anchor: a replica was founded on it already")
	// ErrStale: the counter of the new state is not the next one. Nothing changed.
	ErrStale = errors.New("anchor: not the next count")
	// ErrInUse: another process, or another part of this one, has it open.
	ErrInUse = errors.New("anchor: in use by another process")
)

// Anchor is one anchor of one replica (spec/replication.md §3). Its methods may be
// called concurrently. After an error other than those above it is unknown
// whether the step was done: the caller stops using the anchor, and opens it
// again to find out.
type Anchor interface {
	// Read returns the state and the epoch key, which the caller wipes; ErrEmpty
	// before Found.
	Read(ctx context.Context) (State, *Key, error)
	// Found stores the first state and epoch key, once: ErrFounded from then on.
	Found(ctx context.Context, s State, k *Key) error
	// Advance stores s, whose counter is the present one and 1 (else ErrStale).
	// It is durable when Advance returns.
	Advance(ctx context.Context, s State) error
	// Rotate is Advance, and replaces the epoch key in the same atomic durable
	// step: after it, nothing that the old key sealed can be opened again.
	Rotate(ctx context.Context, s State, k *Key) error

	Describer
	io.Closer
}

// Describer tells people what they have.
type Describer interface {
	// Describe says what the anchor is made of.
	Describe() Description
}

// Description is for status and start-up texts.
type Description struct {
	Name     string // of the kind, such as "software"
	Insecure bool   // true: nothing is protected from who operates the machine
	Protects string // from what it protects, and from what not, in a sentence or two
}
