package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"

	"keepsake.example/anchor"
)

// Replica is one running replica. Its methods may be called concurrently.
type Replica struct {
	c    Config
	disk Disk

	queue   chan *proposal
	reads   chan *reading
	wanted  chan chan error // checkpoints that are asked for
	closing chan struct{}
	done    chan struct{}
	once    sync.Once
	status  atomic.Pointer[Status]
	err     error // why it halted; written before done is closed

	// machine is held while the machine changes, and while it is read.
	machine sync.Mutex
	broken  bool // the machine stopped in the middle of a change

	core // of the goroutine that runs it, and of nobody else
}

// A proposal waits for its outcome.
type proposal struct {
	entry  []byte // a copy, cleared when raft has one, or never will
	term   uint64 // that it was proposed in
	result chan outcome
}

type outcome struct {
	effect any
	err    error
}

// A reading waits for the moment it may look at the machine.
type reading struct{ ready chan error }

// Open starts the replica that Create made. It returns when everything that
// was acknowledged before is applied and proposals are taken. Besides what disk
// and anchor report it fails with ErrMissing, ErrInUse, ErrNewer, a
// RollbackError, a DamagedError, or the machine's own error. The context bounds
// the start only.
func Open(ctx context.Context, c Config) (*Replica, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	disk, err := c.disk()
	if err != nil {
		return nil, err
	}
	r, err := open(ctx, c, disk)
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	go r.run()
	return r, nil
}

func open(ctx context.Context, c Config, disk Disk) (*Replica, error) {
	was, err := recoverState(ctx, disk, c.Anchor, c.Machine)
	if err != nil {
		return nil, err
	}
	r := &Replica{
		c: c, disk: disk,
		queue:   make(chan *proposal, c.MaxQueue),
		reads:   make(chan *reading, c.MaxQueue),
		wanted:  make(chan chan error, c.MaxQueue),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	r.core.start(c, disk, was)
	if err := r.guard(r.lead); err != nil {
		return nil, errors.Join(err, r.log.close())
	}
	r.report()
	return r, nil
}

// checkEntry refuses entries that raft keeps for itself (empty), and large ones.
func checkEntry(entry []byte, limit int) error {
	if len(entry) == 0 || len(entry) > limit {
		return fmt.Errorf("%w: %d bytes, 1 to %d are allowed", ErrSize, len(entry), limit)
	}
	return nil
}

// Propose commits one entry and returns what the machine answered to it. With a
// nil error the entry is durable, anchored and applied. The errors that are
// certain are listed at ErrFull. A context that ends does not take the entry back.
// The replica's copies of it are cleared by the next Checkpoint, or by Close.
func (r *Replica) Propose(ctx context.Context, entry []byte) (effect any, err error) {
	if err := checkEntry(entry, r.c.MaxEntry); err != nil {
		return nil, err
	}
	p := &proposal{entry: slices.Clone(entry), result: make(chan outcome, 1)}
	if err := send(ctx, r, r.queue, p); err != nil {
		clear(p.entry)
		return nil, err
	}
	o, err := await(ctx, r, p.result)
	if err != nil {
		return nil, err
	}
	return o.effect, o.err
}

// Read calls f with the machine, which f must not change. The state holds
// everything that was acknowledged, by any member, before Read was called. While f runs nothing is
// applied: it must be short.
func (r *Replica) Read(ctx context.Context, f func(Machine)) error {
	q := &reading{ready: make(chan error, 1)}
	if err := send(ctx, r, r.reads, q); err != nil {
		return err
	}
	outcome, err := await(ctx, r, q.ready)
	if err := errors.Join(err, outcome); err != nil {
		return err
	}
	r.machine.Lock()
	defer r.machine.Unlock()
	if r.broken {
		return ErrClosed
	}
	f(r.c.Machine)
	return nil
}

// Checkpoint makes a checkpoint and begins another epoch. When it returns nil,
// whatever the machine had erased before the call is unreadable for ever: the
// key of every file that held it is destroyed. Proposals go on meanwhile.
func (r *Replica) Checkpoint(ctx context.Context) error {
	asked := make(chan error, 1)
	if err := send(ctx, r, r.wanted, asked); err != nil {
		return err
	}
	outcome, err := await(ctx, r, asked)
	return errors.Join(err, outcome)
}

// send puts something in a queue, or says why it certainly is not there.
func send[T any](ctx context.Context, r *Replica, queue chan T, v T) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: not applied", err)
	}
	select {
	case <-r.closing:
		return ErrClosed
	case <-r.done:
		return ErrClosed
	default:
	}
	select {
	case queue <- v:
		return nil
	default:
		return ErrFull
	}
}

// await waits for an answer of the loop. The loop answers whatever it took
// before it ends: what is unanswered then was never taken.
func await[T any](ctx context.Context, r *Replica, answer chan T) (v T, err error) {
	select {
	case v = <-answer:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	case <-r.done:
	}
	select {
	case v = <-answer:
		return v, nil
	default:
		return v, ErrClosed
	}
}

// Done is closed when the replica runs no more: closed, or halted.
func (r *Replica) Done() <-chan struct{} { return r.done }

// Err returns why the replica halted; nil while it runs, and after Close.
func (r *Replica) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// Close takes nothing new, finishes what was taken, and frees the folder. It
// returns why the replica had halted, if it had. A checkpoint under way is given up.
func (r *Replica) Close() error {
	r.once.Do(func() { close(r.closing) })
	<-r.done
	return r.err
}

// Status is a picture for people and metrics.
type Status struct {
	Member    uint64 // number of this replica in its group
	Role      string // "leader", "follower", "candidate", or "halted"
	Term      uint64
	Last      uint64 // index of the last entry of the log
	Committed uint64 // index
	Applied   uint64 // index
	// Batch counts the durable batches since the replica was made: it is what
	// the anchor counts.
	Batch      uint64
	LogBytes   int64  // of the log since the last checkpoint
	Checkpoint uint64 // index at which the picture of the last checkpoint was taken
	// CheckpointError is why the last checkpoint failed; nil when it did not.
	CheckpointError error
	Queued          int // proposals and reads that wait
	Anchor          anchor.Description
	Halted          error // why the replica halted; nil otherwise
}

// Status returns a picture of the replica, as of its last batch.
func (r *Replica) Status() Status {
	s := *r.status.Load()
	s.Queued = len(r.queue) + len(r.reads)
	if err := r.Err(); err != nil {
		s.Halted, s.Role = err, "halted"
	}
	return s
}

func roleName(s raft.StateType) string {
	switch s {
	case raft.StateLeader:
		return "leader"
	case raft.StateFollower:
		return "follower"
	default:
		return "candidate"
	}
}
