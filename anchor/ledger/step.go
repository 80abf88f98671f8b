package ledger

import (
	"context"
	"fmt"
	"maps"
	"os"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

// step is what one group wants of its anchor.
type step struct {
	group  uint32
	founds bool
	state  anchor.State
	key    *anchor.Key // of Found and Rotate, else nil
	done   bool
	err    error
}

// do takes a step together with those that wait with it. Who comes first takes them
// all: while the device is busy with one step, the next one gathers.
func (l *Ledger) do(ctx context.Context, s *step) error {
	l.mu.Lock()
	if err := l.usable(ctx); err != nil {
		l.mu.Unlock()
		return err
	}
	l.waiting = append(l.waiting, s)
	l.mu.Unlock()

	l.turn.Lock()
	defer l.turn.Unlock()
	if !s.done { // written by who held turn
		l.together(context.WithoutCancel(ctx)) // it is not this caller's step alone
	}
	return s.err
}

// together does one step of the device for all that wait. The caller holds turn.
func (l *Ledger) together(ctx context.Context) {
	l.mu.Lock()
	steps, broken := l.waiting, l.broken
	l.waiting = nil
	next := maps.Clone(l.lines)
	l.mu.Unlock()

	var taken []*step
	for _, s := range steps {
		s.done = true
		if s.err = broken; s.err == nil {
			s.err = next.apply(s)
		}
		if s.err == nil {
			taken = append(taken, s)
		}
	}
	if len(taken) == 0 {
		return
	}
	if err := l.commit(ctx, next, taken); err != nil {
		for _, s := range taken {
			s.err = err
		}
	}
}

// apply makes a step in a copy of the groups. What it replaces is wiped when all is done.
func (ls lines) apply(s *step) error {
	now, ok := ls[s.group]
	switch {
	case s.founds && ok:
		return anchor.ErrFounded
	case s.founds && len(ls) == maxGroups:
		return errTooMany
	case !s.founds && !ok:
		return anchor.ErrEmpty
	case !s.founds && s.state.Counter != now.state.Counter+1:
		return anchor.ErrStale
	}
	now.state = s.state
	if s.key != nil {
		now.key = copyKey(s.key)
	}
	ls[s.group] = now
	return nil
}

// commit makes next durable and has the device count it. After an error the device may
// have counted or not: nobody uses this ledger again.
func (l *Ledger) commit(ctx context.Context, next lines, taken []*step) error {
	key, turned, err := l.nextKey(taken)
	if err == nil {
		err = l.write(ctx, next, key, turned)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.broken = fmt.Errorf("stepping the ledger: %w", err)
		return l.broken
	}
	for group, old := range l.lines {
		if old.key != next[group].key {
			old.key.Wipe()
		}
	}
	if turned {
		l.key.Wipe()
	}
	l.lines, l.key = next, key
	return nil
}

// nextKey is the device's epoch key after a step: another one when a group's changes.
// Found of a group alone changes none that was there.
func (l *Ledger) nextKey(taken []*step) (key *anchor.Key, turned bool, err error) {
	for _, s := range taken {
		turned = turned || s.key != nil && !s.founds
	}
	if l.key != nil && !turned {
		return l.key, false, nil
	}
	key, err = anchor.NewKey(nil)
	return key, turned, err
}

// write writes the next slot and steps the device: in that order, so that what the
// device names is always there.
func (l *Ledger) write(ctx context.Context, next lines, key *anchor.Key, turned bool) error {
	state := anchor.State{Counter: l.state.Counter + 1}
	slot, err := next.seal(state.Counter, key, newSalt())
	if err != nil {
		return err
	}
	if state.Head, err = headOf(slot); err != nil {
		return err
	}
	switch {
	case l.file == nil:
		if err = l.create(slot); err == nil {
			err = l.device.Found(ctx, state, key)
		}
	default:
		if err = l.put(state.Counter, slot); err == nil && turned {
			err = l.device.Rotate(ctx, state, key)
		} else if err == nil {
			err = l.device.Advance(ctx, state)
		}
	}
	if err == nil {
		l.state = state
	}
	return err
}

// create makes the file with its first slot, in the place of one that a crash left.
func (l *Ledger) create(slot []byte) error {
	data := make([]byte, fileSize)
	copy(data[place(1):], slot)
	f, err := durable.Create(l.dir, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Replace(fileName); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file, err = l.dir.OpenFile(fileName, os.O_RDWR, 0)
	return err
}

// put overwrites the slot that the device does not name.
func (l *Ledger) put(count uint64, slot []byte) error {
	if _, err := l.file.WriteAt(slot, place(count)); err != nil {
		return err
	}
	return durable.SyncData(l.file)
}

func copyKey(k *anchor.Key) (c *anchor.Key) {
	k.Use(func(secret *[anchor.KeySize]byte) { c = anchor.KeyFromBytes(*secret) })
	return c
}
