package replica

import (
	"context"
	"errors"
	"fmt"
)

// How often entries that came meanwhile are carried in the background, and from
// how many bytes on. What is left then is written while the replica stands still.
const (
	maxRounds  = 8
	carryBytes = 1 << 20
)

// consider begins a checkpoint when somebody asked for one, or when the log has
// grown long. After a failure it waits until the log has grown again.
func (r *Replica) consider() {
	if r.making != nil || len(r.asked) == 0 && r.log.size < r.tried+r.c.CheckpointBytes {
		return
	}
	asked := r.asked
	r.asked, r.tried = nil, r.log.size
	term, err := r.store.Term(r.applied)
	if err == nil {
		b := base{member: r.base.member, index: r.applied, term: term, voters: r.base.voters}
		r.making, err = newMaking(r.disk, r.c.Rand, b)
	}
	if err != nil {
		r.lastErr = fmt.Errorf("beginning a checkpoint: %w", err)
		for _, c := range asked {
			c <- r.lastErr
		}
		return
	}
	m := r.making
	m.asked = asked
	r.machine.Lock()
	m.picture = r.c.Machine.Checkpoint()
	r.machine.Unlock()
	r.work(m.writePicture)
}

// work does a part of a checkpoint in a goroutine.
func (r *Replica) work(part func() error) {
	m := r.making
	m.working = true
	go func() { m.done <- r.guard(part) }()
}

// madePart is where the checkpoint's goroutine reports; nothing comes out of it
// between checkpoints.
func (r *Replica) madePart() <-chan error {
	if r.making == nil {
		return nil
	}
	return r.making.done
}

// goOn goes on with a checkpoint whose goroutine is done with its part.
func (r *Replica) goOn(err error) error {
	m := r.making
	m.working = false
	if err != nil {
		r.conclude(fmt.Errorf("writing a checkpoint: %w", err))
		return nil
	}
	if m.turned {
		r.conclude(nil)
		return nil
	}
	committed := r.store.from(m.carried, r.applied)
	if entriesSize(committed) > carryBytes && m.rounds < maxRounds {
		m.rounds++
		hard := r.store.hard
		r.work(func() error { return errors.Join(m.carry(hard, committed), m.draft.Sync()) })
		return nil
	}
	return r.turn()
}

// turn ends the epoch. The order is what counts (spec/replication.md §6.3): the new
// checkpoint is durable, then the anchor takes its key in place of the old one,
// then the old files go, which nobody can read any more.
func (r *Replica) turn() error {
	m := r.making
	last := batch{hard: r.store.hard, entries: r.store.from(m.carried, r.store.last())}
	after, err := m.finish(r.log.chain, last)
	if err != nil {
		r.conclude(fmt.Errorf("writing a checkpoint: %w", err))
		return nil
	}
	if err := r.c.Anchor.Rotate(context.Background(), after.state(), m.epoch.key); err != nil {
		return fmt.Errorf("rotating the anchor to checkpoint %d: %w", after.number, err)
	}
	if err := r.log.turn(m.epoch, after); err != nil {
		return err
	}
	m.turned = true
	r.base, r.tried = m.base, 0
	r.store.compact(m.base.index)
	r.work(func() error { return removeBefore(r.disk, after.number) })
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

// conclude ends a checkpoint, with success or without, and tells who waits for it.
func (r *Replica) conclude(err error) {
	m := r.making
	r.making, r.lastErr = nil, err
	if !m.turned {
		m.wipe()
	}
	m.release()
	m.answer(err)
}

// abandon stops a checkpoint under way, and waits until nobody works on it.
func (r *Replica) abandon() {
	if m := r.making; m != nil {
		m.stop.Store(true)
		var err error
		if m.working {
			err = <-m.done
		}
		if !m.turned {
			err = ErrClosed
		}
		r.conclude(err)
	}
	for _, c := range r.asked {
		c <- ErrClosed
	}
}
