package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/raft/v3"

	"keepsake.example/anchor"
	"keepsake.example/internal/planted"
)

// Node is one member of a group, driven by hand: it starts no goroutine (but see
// Config.Background), reads no clock but Config.Clock, and does nothing between the
// calls of its methods, which must not be concurrent. What a caller waits for is told by functions that
// run inside a later call. [Replica] is a Node with a goroutine round it.
//
// Raft decides; what it decides becomes durable, then anchored, then known to
// others, then applied, and only then answered.
type Node struct {
	c      Config
	self   uint64 // this member's number, which never changes
	disk   Disk
	raft   *raft.RawNode
	store  *store
	log    *logWriter
	base   base // of the last checkpoint
	halted error
	closed bool

	applied uint64
	durable uint64 // a commit index that is on the disk and anchored, at most the highest
	lead    uint64 // whom raft follows, 0 for nobody
	term    uint64

	// mu is held while the machine changes: readers of a Replica look at it from
	// their own goroutines.
	mu      sync.Mutex
	machine Machine
	broken  bool // the machine stopped in the middle of a change
	vacant  bool // there is no state yet

	secret *anchor.Key // of the group: the one for checkpoints
	rekeying
	proposals
	readings
	checkpoints
	clockwork
	wires
	catching
	departure
	transfers *transfers
	ticked    int               // ticks that are not worked off
	regroup   bool              // the members are others than before
	parts     chan func() error // what background parts ask to be done when they are through
	through   []func() error    // of them: taken out of the channel
	tasks     []*task
	outcomes  []func()
}

// OpenNode starts the member that Create or Join made, and returns when what it knows
// to be committed is applied. An only voter also leads, with everything
// applied that was acknowledged. Besides what disk and anchor report it fails with ErrMissing,
// ErrInUse, ErrNewer, a RollbackError, a DamagedError, or the machine's own
// error. The context bounds the start only.
func OpenNode(ctx context.Context, c Config) (*Node, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	disk, err := c.disk()
	if err != nil {
		return nil, err
	}
	n, err := openNode(ctx, c, disk)
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	return n, nil
}

func openNode(ctx context.Context, c Config, disk Disk) (*Node, error) {
	machine := c.NewMachine()
	was, err := recoverState(ctx, disk, c.Anchor, machine)
	if err != nil {
		return nil, err
	}
	n := &Node{
		c: c, disk: disk, machine: machine, secret: was.base.secret,
		self: was.base.member, store: was.store, base: was.base, applied: was.base.index, durable: was.store.hard.commit, vacant: was.store.empty(),
		log:   &logWriter{disk: disk, random: c.Rand, length: c.LogFileBytes, epoch: was.epoch, chain: was.chain, size: was.logged},
		parts: make(chan func() error, maxParts),
	}
	if err := n.guard(n.begin); err != nil {
		n.secret.Wipe()
		n.log.close()
		return nil, err
	}
	return n, nil
}

// begin starts raft. An only voter wins the election at once: it asks nobody. The
// term's first entry commits all entries before it.
func (n *Node) begin() (err error) {
	if err := n.prepare(); err != nil {
		return err
	}
	if err := n.rewind(); err != nil {
		return err
	}
	n.regroup = true
	reads := raft.ReadOnlySafe // by asking a majority, never by a lease: the host has the clock
	if planted.LeaseRead {
		reads = raft.ReadOnlyLeaseBased
	}
	n.raft, err = raft.NewRawNode(&raft.Config{
		ID:           n.base.member,
		ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks,
		Storage: n.store, Applied: n.applied,
		MaxSizePerMsg: batchBytes, MaxInflightMsgs: 256,
		CheckQuorum: true, PreVote: true,
		// A proposal's origin waits for it, and must hear what became of it: forwarding
		// is the node's own.
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		ReadOnlyOption:            reads,
		Logger:                    quiet{},
	})
	if err != nil {
		return err
	}
	n.notice()
	err = n.process()
	n.opened = true
	if err != nil || !n.alone() {
		return err
	}
	if err := n.raft.Campaign(); err != nil {
		return err
	}
	if err := n.process(); err != nil {
		return err
	}
	if s := n.raft.BasicStatus(); s.RaftState != raft.StateLeader || n.applied != n.store.last() {
		return fmt.Errorf("replica: internal error: %v at %d of %d entries after the election", s.RaftState, n.applied, n.store.last())
	}
	return nil
}

// prepare makes what needs random bytes, and what knows other members.
func (n *Node) prepare() (err error) {
	if err := n.prepareProposals(); err != nil {
		return err
	}
	s, err := newSessions(n.c.Rand, n.base.member, copyKey(n.secret))
	if err != nil {
		return err
	}
	if n.sessions, err = newSecrets(s); err != nil {
		return err
	}
	n.gate, n.hours, n.heard = newGate(n.base.member), newHours(), make(map[uint64]uint64)
	n.versions, n.forgetful = make(map[uint64]uint32), make(map[uint64]uint64)
	n.transfers = newTransfers(n.disk, n.c.Rand, n.spool)
	n.store.offer = n.transfers.offer
	return nil
}

// alone says whether this is the only voter.
func (n *Node) alone() bool { return len(n.store.voters) == 1 && n.store.voters[0] == n.base.member }

// guard runs a part of the node and makes a panic, raft's or the machine's, an
// error. A process that crashes would take other groups along, and start again only to
// crash again.
func (n *Node) guard(part func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("replica: internal error: %v", p)
		}
	}()
	return part()
}

// Step works off everything that waits: messages, proposals, reads, and background
// parts that are through. An error is why the node halted; then every call of
// Step returns it, and Close is what is left to do.
func (n *Node) Step() error {
	if n.halted == nil && n.closed {
		return ErrClosed
	}
	if n.halted == nil {
		n.halted = n.guard(n.step)
	}
	n.tell()
	return n.halted
}

func (n *Node) step() error {
	for _, part := range []func() error{n.join, n.pass, n.messages, n.commit, n.ask, n.process} {
		if err := part(); err != nil {
			return err
		}
	}
	n.look()
	n.offerPicture()
	n.install()
	if err := n.rekey(); err != nil {
		return err
	}
	n.consider()
	if err := n.transfers.poll(); err != nil {
		n.lastErr = err
	}
	return nil
}

// later keeps an answer until nothing is half done any more.
func (n *Node) later(answer func()) { n.outcomes = append(n.outcomes, answer) }

// tell gives the answers that are due. They may call the node again.
func (n *Node) tell() {
	for len(n.outcomes) > 0 {
		due := n.outcomes
		n.outcomes = nil
		for _, answer := range due {
			answer()
		}
	}
}

// Peek returns the machine as it is now, which may be behind the others; nil while
// there is no state. It must not be changed, nor kept over the next call.
func (n *Node) Peek() Machine {
	if n.broken || n.store.empty() {
		return nil
	}
	return n.machine
}

// Close takes nothing new, tells everybody who waits, and frees the folder. It
// returns why the node had halted, if it had. A checkpoint under way is given up.
func (n *Node) Close() error {
	if n.closed {
		return n.halted
	}
	n.closed = true
	halted := n.halted
	unknown := ErrUnknown
	if halted != nil {
		unknown = fmt.Errorf("%w: %w", ErrUnknown, halted)
	}
	n.abandonProposals(unknown)
	n.abandonReadings()
	n.abandon()
	n.tell()
	wipeEntries(n.store.entries)
	n.sessions.wipe()
	n.secret.Wipe()
	n.log.close()
	n.halted = n.disk.Close()
	return errors.Join(halted, n.halted)
}

// split sorts members into voters and learners.
func split(members []Member) (voters, learners []uint64) {
	for _, m := range members {
		if m.Learner {
			learners = append(learners, m.Number)
		} else {
			voters = append(voters, m.Number)
		}
	}
	slices.Sort(voters)
	slices.Sort(learners)
	return voters, learners
}
