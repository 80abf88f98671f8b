package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"keepsake.example/internal/planted"
)

// process does what raft wants done, until it wants nothing more.
func (n *Node) process() error {
	for n.raft.HasReady() {
		ready := n.raft.Ready()
		if planted.SendBeforeSync {
			_, _ = n.post(ready.Messages)
			_ = n.apply(ready.CommittedEntries)
			ready.Messages, ready.CommittedEntries = nil, nil
		}
		if err := n.persist(&ready); err != nil {
			return err
		}
		failed, err := n.post(ready.Messages)
		if err != nil {
			return err
		}
		n.store.sweep()
		if planted.ApplyBeforeCommit {
			ready.CommittedEntries = n.hasty(ready.Entries, ready.CommittedEntries)
		}
		if err := n.apply(ready.CommittedEntries); err != nil {
			return err
		}
		for _, s := range ready.ReadStates {
			n.grant(s)
		}
		n.raft.Advance(ready)
		n.unsent(failed)
		n.notice()
		if err := n.settle(); err != nil {
			return err
		}
		n.release()
	}
	return n.settle()
}

// hasty is a bug to be planted: entries that nobody committed.
func (n *Node) hasty(appended, committed []*raftpb.Entry) (entries []*raftpb.Entry) {
	applied := n.applied
	for _, e := range append(slices.Clone(committed), appended...) {
		if e.GetIndex() == applied+1 {
			entries, applied = append(entries, e), applied+1
		}
	}
	return entries
}

// persist makes raft's decisions durable and anchored. A commit index alone can
// wait for the next batch: raft finds it again. But not that of a change of members:
// who goes helps nobody to find it. At a start the disk has it already, as a rule, and may be full.
func (n *Node) persist(ready *raft.Ready) error {
	b := batch{hard: n.store.hard, entries: ready.Entries}
	if !raft.IsEmptyHardState(ready.HardState) {
		b.hard = hardStateOf(ready.HardState)
	}
	if ready.MustSync || hasChange(ready.CommittedEntries, n.durable) {
		if err := n.log.reserve(b.size()); err != nil {
			return err
		}
		if err := n.log.append(&b); err != nil {
			return err
		}
		if err := n.count(); err != nil {
			return err
		}
		n.durable = b.hard.commit
	}
	if err := n.store.append(&b); err != nil {
		return fmt.Errorf("replica: internal error: %w", err)
	}
	n.taken, n.many = 0, 0
	return nil
}

// count advances the anchor over the batch that is durable now.
func (n *Node) count() error {
	if planted.SkipAnchor {
		return nil
	}
	// Not a proposer's context: half a step must not depend on who waits for it.
	if err := n.c.Anchor.Advance(context.Background(), n.log.chain.state()); err != nil {
		return fmt.Errorf("advancing the anchor to batch %d: %w", n.log.chain.number, err)
	}
	return nil
}

// apply gives committed entries to the machine.
func (n *Node) apply(entries []*raftpb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken = true // until all went well: nobody looks at a machine that stopped half way
	for _, e := range entries {
		if err := n.applyOne(e); err != nil {
			return fmt.Errorf("applying entry %d: %w", e.GetIndex(), err)
		}
		n.applied = e.GetIndex()
	}
	n.broken = false
	return nil
}

func (n *Node) applyOne(e *raftpb.Entry) error {
	if len(e.GetData()) == 0 {
		return nil // raft's own, at the begin of a term
	}
	switch e.GetType() {
	case raftpb.EntryNormal:
	case raftpb.EntryConfChangeV2:
		return n.change(e)
	default:
		return fmt.Errorf("replica: no %v can be applied", e.GetType())
	}
	p, entry, err := n.asked(e.GetData())
	if err != nil {
		return err
	}
	effect, err := n.machine.Apply(entry, p != nil)
	if err != nil {
		return err // whoever waits is told that nobody knows, at the end
	}
	if p != nil {
		delete(n.waiting, p.sequence)
		n.answer(p, effect, nil)
	}
	return nil
}

var errOrigin = errors.New("replica: internal error: an entry without its origin")

// asked finds who waits here for an entry, if anybody does.
func (n *Node) asked(data []byte) (p *proposal, entry []byte, err error) {
	if len(data) <= originSize {
		return nil, nil, errOrigin
	}
	if be.Uint64(data) == n.base.member {
		p = n.waiting[be.Uint64(data[8:])]
	}
	return p, data[originSize:], nil
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
