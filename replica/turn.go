package replica

import (
	"errors"
	"fmt"
)

// How often entries that came meanwhile are carried in the background, and from
// how many bytes on. What is left then is written while the replica stands still.
const (
	maxRounds  = 8
	carryBytes = 1 << 20
)

// checkpoints is the one that is being made, and who asks for the next.
type checkpoints struct {
	making  *making // nil between checkpoints
	wanted  []func(error)
	tried   int64  // size of the log when the last checkpoint was begun
	lastErr error  // of the last checkpoint
	litter  string // a checkpoint that failed, and may be there under this name
}

// newMaking begins a checkpoint. One that failed when it had its name stands in the way of the next, which has
// the same where nothing was written between them, and takes its room.
func (n *Node) newMaking(b base) (*making, error) {
	if err := n.clean(); err != nil {
		b.secret.Wipe()
		return nil, err
	}
	return newMaking(n.disk, n.c.Rand, b)
}

// clean removes a checkpoint that failed.
func (n *Node) clean() error {
	if n.litter == "" {
		return nil
	}
	if err := n.disk.Remove(n.litter); err != nil {
		return fmt.Errorf("removing %s, which was not finished: %w", n.litter, err)
	}
	n.litter = ""
	return nil
}

// Checkpoint makes a checkpoint and begins another epoch. The function is called
// once, inside a later call of the node: without an error, whatever the machine had erased before the
// call is unreadable for ever on this member's disk. Proposals go on meanwhile.
func (n *Node) Checkpoint(done func(error)) {
	if n.closed || n.halted != nil {
		n.later(func() { done(ErrClosed) })
		return
	}
	n.wanted = append(n.wanted, done)
}

// consider begins a checkpoint when somebody asked for one, or when the log has
// grown long. After a failure it waits until the log has grown again.
func (n *Node) consider() {
	if n.making != nil || len(n.wanted) == 0 && n.log.size < n.tried+n.c.CheckpointBytes {
		return
	}
	asked := n.wanted
	n.wanted, n.tried = nil, n.log.size
	term, err := n.store.Term(n.applied)
	if err == nil {
		b := base{member: n.base.member, index: n.applied, term: term, secret: copyKey(n.secret), voters: n.store.voters}
		n.making, err = n.newMaking(b)
	}
	if err != nil {
		n.lastErr = fmt.Errorf("beginning a checkpoint: %w", err)
		for _, done := range asked {
			n.later(func() { done(n.lastErr) })
		}
		return
	}
	m := n.making
	m.asked = asked
	m.picture = n.picture()
	n.background(m.writePicture, n.goOn)
}

// picture takes one of the machine.
func (n *Node) picture() Checkpoint {
	if n.store.empty() {
		return nothing{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.machine.Checkpoint()
}

// goOn goes on with a checkpoint whose background part is through.
func (n *Node) goOn(err error) error {
	m := n.making
	if err != nil {
		n.conclude(fmt.Errorf("writing a checkpoint: %w", err))
		return nil
	}
	if m.turned {
		n.conclude(nil)
		return nil
	}
	committed := n.store.from(m.carried, n.applied)
	if entriesSize(committed) > carryBytes && m.rounds < maxRounds {
		m.rounds++
		hard := n.store.hard
		n.background(func() error { return errors.Join(m.carry(hard, committed), m.draft.Sync()) }, n.goOn)
		return nil
	}
	return n.turn()
}

// turn ends the epoch. The order is what counts (spec/replication.md §6.3): the new
// checkpoint is durable, then the anchor takes its key in place of the old one,
// then the old files go, which nobody can read any more.
func (n *Node) turn() error {
	m := n.making
	last := batch{hard: n.store.hard, entries: n.store.from(m.carried, n.store.last())}
	after, err := m.finish(n.log.chain, last)
	if err != nil {
		n.conclude(fmt.Errorf("writing a checkpoint: %w", err))
		return nil
	}
	previous := n.base.index
	if err := n.rotate(m, after); err != nil {
		return err
	}
	n.store.compact(n.needed(previous))
	return nil
}

// removeBefore removes the files of earlier epochs. The log of this one begins
// after number.
func removeBefore(d Disk, number uint64) error {
	found, err := listFiles(d)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range found.checkpoints {
		if n < number {
			names = append(names, checkpointName(n))
		}
	}
	for _, n := range found.logs {
		if n <= number {
			names = append(names, logName(n))
		}
	}
	return d.Remove(names...)
}

// keepBytes bounds the entries that are kept longer than a checkpoint needs them,
// for members who are a little behind.
const keepBytes = 16 << 20

// needed is the index up to which the log can go after a checkpoint. What the others
// still need stays, but nothing from before the previous checkpoint.
func (n *Node) needed(previous uint64) uint64 {
	keep := n.base.index
	if len(n.store.voters)+len(n.store.learners) == 1 {
		return keep
	}
	if n.lead == n.base.member {
		for _, m := range n.Status().Members {
			if m.Active && m.Match > 0 {
				keep = min(keep, m.Match)
			}
		}
	} else {
		keep = min(keep, previous)
	}
	if least, ok := n.transfers.least(); ok {
		keep = min(keep, least)
	}
	return max(keep, min(previous, n.base.index), n.store.lowest(n.base.index, keepBytes))
}

// conclude ends a checkpoint, with success or without, and tells who waits for it.
func (n *Node) conclude(err error) {
	m := n.making
	n.making, n.lastErr = nil, err
	if !m.turned {
		m.wipe()
		n.litter = m.named
		_ = n.clean() // or before the next
	}
	m.release()
	n.later(func() { m.answer(err) })
}

// abandon stops what goes on beside the node, and waits until nobody works on it.
func (n *Node) abandon() {
	if n.making != nil {
		n.making.stop.Store(true)
	}
	n.transfers.stop()
	n.quit()
	n.giveUp()
	if m := n.making; m != nil {
		var err error
		if !m.turned {
			err = ErrClosed
		}
		n.conclude(err)
	}
	for _, done := range n.wanted {
		n.later(func() { done(ErrClosed) })
	}
	n.wanted = nil
}
