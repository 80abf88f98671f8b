package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Replica is a Node that runs: one goroutine works it off, and a ticker drives its
// clockwork. Its methods may be called concurrently.
type Replica struct {
	c    Config
	node *Node // of the goroutine; but its machine under its mutex

	queue   chan *proposing
	reads   chan chan error
	wanted  chan func(*Node)
	inbox   *inbox
	closing chan struct{}
	done    chan struct{}
	once    sync.Once
	status  atomic.Pointer[Status]
	lost    atomic.Uint64 // messages for which there was no room
	began   time.Time
	stepped atomic.Int64 // when the last step ended, since it began
	err     error        // why it halted; written before done is closed
}

// proposing is a proposal on its way to the node.
type proposing struct {
	entry  []byte // a copy, cleared when the node has one
	change bool
	result chan outcome
}

type outcome struct {
	effect any
	err    error
}

// Open starts the replica that Create or Join made, as OpenNode does.
func Open(ctx context.Context, c Config) (*Replica, error) {
	node, err := OpenNode(ctx, c)
	if err != nil {
		return nil, err
	}
	c = node.c
	r := &Replica{
		c: c, node: node,
		queue:   make(chan *proposing, c.MaxQueue),
		reads:   make(chan chan error, c.MaxQueue),
		wanted:  make(chan func(*Node), c.MaxQueue),
		inbox:   newInbox(),
		closing: make(chan struct{}), done: make(chan struct{}),
		began: time.Now(),
	}
	r.report()
	go r.run()
	return r, nil
}

// run is the replica's goroutine.
func (r *Replica) run() {
	ticker := time.NewTicker(r.c.Tick)
	defer ticker.Stop()
	r.serve(ticker.C)
	r.once.Do(func() { close(r.closing) }) // a machine that broke closes the door, too
	r.err = r.node.Close()
	close(r.done)
}

// serve ends when the replica is closed, or halts: Close says why.
func (r *Replica) serve(ticks <-chan time.Time) {
	for {
		select {
		case p := <-r.queue:
			r.propose(p)
		case ready := <-r.reads:
			r.read(ready)
		case f := <-r.wanted:
			f(r.node)
		case <-r.inbox.ready:
			r.receive()
		case then := <-r.node.parts:
			r.node.through = append(r.node.through, then)
		case <-ticks:
			r.node.Tick()
		case <-r.closing:
			r.drain()
			return
		}
		err := r.node.Step()
		r.inbox.done()
		r.report()
		if err != nil {
			return
		}
	}
}

// drain finishes what was taken before closing. Nothing new comes: only
// proposers that looked just before.
func (r *Replica) drain() {
	for {
		select {
		case p := <-r.queue:
			r.propose(p)
		case ready := <-r.reads:
			r.read(ready)
		default:
			r.report()
			return
		}
		if r.node.Step() != nil {
			return
		}
	}
}

// propose gives the node what waits, as much as shares a batch, without waiting for
// more: while one batch is synced the next gathers by itself.
func (r *Replica) propose(first *proposing) {
	for p, count, size := first, 0, 0; ; {
		if p.change {
			r.node.Change(p.entry, p.answer)
		} else {
			r.node.Propose(p.entry, p.answer)
		}
		count, size = count+1, size+len(p.entry)
		clear(p.entry)
		if count >= r.c.MaxBatch || size >= batchBytes {
			return
		}
		select {
		case p = <-r.queue:
		default:
			return
		}
	}
}

func (p *proposing) answer(effect any, err error) { p.result <- outcome{effect, err} }

// read gives the node the readings that wait.
func (r *Replica) read(first chan error) {
	ready := first
	for count := 1; ; count++ {
		waits := ready // of this one, and not of the next
		r.node.Read(func(err error) { waits <- err })
		if count >= r.c.MaxQueue {
			return
		}
		select {
		case ready = <-r.reads:
		default:
			return
		}
	}
}

// receive gives the node the messages that wait: one sync serves them all.
func (r *Replica) receive() {
	for _, l := range r.inbox.take() {
		r.node.Receive(l.message)
	}
}

// Propose commits one entry and returns what the machine answered to it. With a
// nil error the entry is durable and anchored at a majority, and applied here. The errors that are
// certain are listed at ErrFull. A context that ends does not take the entry back.
// The replica's copies of it are cleared by a later Checkpoint, or by Close.
func (r *Replica) Propose(ctx context.Context, entry []byte) (effect any, err error) {
	return r.submit(ctx, &proposing{entry: entry})
}

// Change commits one signed change, like Propose; the effect says what the
// machine made of it. ErrPending: another one is under way.
func (r *Replica) Change(ctx context.Context, signed []byte) (effect any, err error) {
	return r.submit(ctx, &proposing{entry: signed, change: true})
}

func (r *Replica) submit(ctx context.Context, p *proposing) (effect any, err error) {
	if err := checkEntry(p.entry, r.c.MaxEntry); err != nil {
		return nil, err
	}
	p.entry, p.result = slices.Clone(p.entry), make(chan outcome, 1)
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
	ready := make(chan error, 1)
	if err := send(ctx, r, r.reads, ready); err != nil {
		return err
	}
	outcome, err := await(ctx, r, ready)
	if err := errors.Join(err, outcome); err != nil {
		return err
	}
	return r.Peek(f)
}

// Peek calls f with the machine as it is now, which may be behind the other
// members. While f runs nothing is applied: it must be short. ErrEmpty: there is no
// state yet; ErrClosed: it broke.
func (r *Replica) Peek(f func(Machine)) error {
	n := r.node
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.broken:
		return ErrClosed
	case n.vacant:
		return ErrEmpty
	}
	f(n.machine)
	return nil
}

// Receive takes a sealed message from the network, whoever sent it: what is not of
// a member is dropped, and so is what finds no room among what its sender has sent. It owns the
// message, and does not block.
func (r *Replica) Receive(message []byte) {
	if !r.inbox.put(message) {
		r.lost.Add(1)
	}
}

// Checkpoint makes a checkpoint and begins another epoch. When it returns nil,
// whatever the machine had erased before the call is unreadable for ever: the
// key of every file that held it is destroyed. Proposals go on meanwhile.
func (r *Replica) Checkpoint(ctx context.Context) error {
	asked := make(chan error, 1)
	ask := func(n *Node) { n.Checkpoint(func(err error) { asked <- err }) }
	if err := send(ctx, r, r.wanted, ask); err != nil {
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

// report makes a new status.
func (r *Replica) report() {
	s := r.node.Status()
	r.status.Store(&s)
	r.stepped.Store(int64(time.Since(r.began)))
}

// Stalled is for how long the replica has not ended a step. There is one at every tick: where
// it takes much longer, a disk or an anchor hangs, and with it all that is asked here.
func (r *Replica) Stalled() time.Duration {
	return time.Since(r.began) - time.Duration(r.stepped.Load())
}

// Status returns a picture of the replica, as of its last step.
func (r *Replica) Status() Status {
	s := *r.status.Load()
	s.Queued = len(r.queue) + len(r.reads)
	s.Dropped += r.lost.Load()
	if err := r.Err(); err != nil {
		s.Halted, s.Role = err, "halted"
	}
	return s
}

// Time returns the quorum's time in milliseconds since 1970 (spec/replication.md §13): it
// never goes back here, and 0 is before anything is known.
func (r *Replica) Time() uint64 { return r.node.Time() }

// Current says whether Time is what a leader says who was heard in this term. After a Read it is.
func (r *Replica) Current() bool { return r.node.Current() }

// Transfer hands the leadership to a voter, 0: to the one that has the most of the
// log; where this member does not lead, 0 does nothing. It returns when another leads. While it
// tries, most proposals are refused; so it gives up after 24 ticks, with ErrTransfer.
func (r *Replica) Transfer(ctx context.Context, to uint64) error {
	self := r.Status().Member
	done := func() bool {
		lead := r.Status().Leader
		return lead != 0 && (lead == to || to == 0 && lead != self)
	}
	err := r.transfer(ctx, to, done)
	if err != nil {
		_ = send(context.WithoutCancel(ctx), r, r.wanted, (*Node).keepLeadership) // raft ends it soon in any case
	}
	return err
}

func (r *Replica) transfer(ctx context.Context, to uint64, done func() bool) error {
	every := time.NewTicker(r.c.Tick)
	defer every.Stop()
	for n := 0; !done(); n++ {
		if n == transferTicks {
			return ErrTransfer
		}
		if n%electionTicks == 0 {
			if err := send(ctx, r, r.wanted, func(n *Node) { n.TransferLeadership(to) }); err != nil {
				return err
			}
		}
		select {
		case <-every.C:
		case <-r.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("replica: waiting for another leader: %w", ctx.Err())
		}
	}
	return nil
}
