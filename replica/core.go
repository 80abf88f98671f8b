package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// core is what the one goroutine of a replica works with: raft, the log, and who
// waits for what. Raft decides; what it decides becomes durable, then anchored,
// then known to others, then applied, and only then answered.
type core struct {
	node  *raft.RawNode
	store *store
	log   *logWriter
	base  base // of the last checkpoint

	applied  uint64
	proposed []*proposal          // given to raft, index not known yet
	waiting  map[uint64]*proposal // by index
	asking   map[uint64][]*reading
	granted  []grant
	readID   uint64

	making  *making // nil between checkpoints
	asked   []chan error
	tried   int64 // size of the log when the last checkpoint was begun
	lastErr error // of the last checkpoint
}

// A grant lets readings go on when the machine has applied what they must see.
type grant struct {
	index    uint64
	readings []*reading
}

func (k *core) start(c Config, disk Disk, was *recovery) {
	k.store, k.base, k.applied = was.store, was.base, was.base.index
	k.log = &logWriter{disk: disk, random: c.Rand, length: c.LogFileBytes, epoch: was.epoch, chain: was.chain, size: was.logged}
	k.waiting, k.asking = make(map[uint64]*proposal), make(map[uint64][]*reading)
}

// guard runs a part of the loop and makes a panic, raft's or the machine's, an
// error. A process that crashes would take other replicas along, and start again only to
// crash again.
func (r *Replica) guard(part func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("replica: internal error: %v", p)
		}
	}()
	return part()
}

// lead starts raft and wins the election, which with one voter asks nobody. The
// term's first entry commits all entries before it.
func (r *Replica) lead() (err error) {
	r.node, err = raft.NewRawNode(&raft.Config{
		ID:           r.base.member,
		ElectionTick: 10, HeartbeatTick: 1, // nothing ticks: no other member can be missing
		Storage: r.store, Applied: r.applied,
		MaxSizePerMsg: batchBytes, MaxInflightMsgs: 256,
		CheckQuorum: true, PreVote: true,
		// A command carries its proposer's time and random bytes: it is the
		// leader's own or none.
		DisableProposalForwarding: true,
		Logger:                    quiet{},
	})
	if err != nil {
		return err
	}
	if err := r.node.Campaign(); err != nil {
		return err
	}
	if err := r.process(); err != nil {
		return err
	}
	if s := r.node.BasicStatus(); s.RaftState != raft.StateLeader || r.applied != r.store.last() {
		return fmt.Errorf("replica: internal error: %v at %d of %d entries after the election", s.RaftState, r.applied, r.store.last())
	}
	return nil
}

// process does what raft wants done, until it wants nothing more.
func (r *Replica) process() error {
	for r.node.HasReady() {
		ready := r.node.Ready()
		if !raft.IsEmptySnap(ready.Snapshot) || len(ready.Messages) > 0 {
			return errors.New("replica: internal error: raft knows of other members")
		}
		if err := r.persist(&ready); err != nil {
			return err
		}
		if err := r.apply(ready.CommittedEntries); err != nil {
			return err
		}
		for _, s := range ready.ReadStates {
			r.grant(s)
		}
		r.node.Advance(ready)
		r.release()
	}
	return nil
}

// persist makes raft's decisions durable and anchored. A commit index alone can
// wait for the next batch: raft finds it again.
func (r *Replica) persist(ready *raft.Ready) error {
	b := batch{hard: r.store.hard, entries: ready.Entries}
	if !raft.IsEmptyHardState(ready.HardState) {
		b.hard = hardStateOf(ready.HardState)
	}
	if ready.MustSync {
		if err := r.log.reserve(b.size()); err != nil {
			return err
		}
		if err := r.log.append(&b); err != nil {
			return err
		}
		// Not a proposer's context: half a step must not depend on who waits for it.
		if err := r.c.Anchor.Advance(context.Background(), r.log.chain.state()); err != nil {
			return fmt.Errorf("advancing the anchor to batch %d: %w", r.log.chain.number, err)
		}
	}
	if err := r.store.append(&b); err != nil {
		return fmt.Errorf("replica: internal error: %w", err)
	}
	return r.place(ready.Entries)
}

// place finds out at which index raft put each proposal: it keeps their order.
func (r *Replica) place(entries []*raftpb.Entry) error {
	for _, e := range entries {
		data := e.GetData()
		if len(data) == 0 {
			continue // raft's own
		}
		if len(r.proposed) == 0 || !bytes.Equal(r.proposed[0].entry, data) {
			return errors.New("replica: internal error: an entry that nobody here proposed")
		}
		p := r.proposed[0]
		clear(p.entry) // raft has a copy
		r.proposed, p.term, p.entry = r.proposed[1:], e.GetTerm(), nil
		r.waiting[e.GetIndex()] = p
	}
	return nil
}

// apply gives committed entries to the machine and answers who proposed them.
func (r *Replica) apply(entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	r.machine.Lock()
	defer r.machine.Unlock()
	r.broken = true // until all went well: nobody looks at a machine that stopped half way
	for _, e := range entries {
		if err := r.applyOne(e); err != nil {
			return fmt.Errorf("applying entry %d: %w", e.GetIndex(), err)
		}
		r.applied = e.GetIndex()
	}
	r.broken = false
	return nil
}

func (r *Replica) applyOne(e *raftpb.Entry) error {
	if e.GetType() != raftpb.EntryNormal {
		return fmt.Errorf("replica: no %v can be applied", e.GetType())
	}
	if len(e.GetData()) == 0 {
		return nil // raft's own, at the begin of a term
	}
	effect, err := r.c.Machine.Apply(e.GetData())
	if err != nil {
		return err // whoever waits is told that nobody knows, at the end
	}
	p := r.waiting[e.GetIndex()]
	delete(r.waiting, e.GetIndex())
	switch {
	case p == nil:
	case p.term != e.GetTerm():
		p.result <- outcome{err: ErrNotLeader} // another leader's entry took its place
	default:
		p.result <- outcome{effect: effect}
	}
	return nil
}

// report makes a new status.
func (r *Replica) report() {
	s := r.node.BasicStatus()
	r.status.Store(&Status{
		Member: r.base.member, Role: roleName(s.RaftState), Term: s.HardState.GetTerm(),
		Last: r.store.last(), Committed: s.HardState.GetCommit(), Applied: r.applied,
		Batch: r.log.chain.number, LogBytes: r.log.size,
		Checkpoint: r.base.index, CheckpointError: r.lastErr,
		Anchor: r.c.Anchor.Describe(),
	})
}

// quiet is raft's logger: a library writes no logs, and raft's would hold
// nothing that Status does not. What raft takes for fatal becomes an error.
type quiet struct{}

func (quiet) Debug(...any)            {}
func (quiet) Debugf(string, ...any)   {}
func (quiet) Info(...any)             {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warning(...any)          {}
func (quiet) Warningf(string, ...any) {}
func (quiet) Error(...any)            {}
func (quiet) Errorf(string, ...any)   {}

func (quiet) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (quiet) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
