package software

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

const (
	fileName = "anchor"
	lockName = "lock"
)

// Anchor is an open anchor in a folder.
type Anchor struct {
	mu   sync.Mutex
	dir  *os.Root
	lock *os.File
	file *os.File // nil before Found
	now  record   // what the file says
	slot int      // that says it
	// broken is why the file may say something else than now: after a failed
	// write nobody knows, and a later sync that succeeds says nothing about it.
	broken error
}

var _ anchor.Anchor = (*Anchor)(nil)

var errClosed = errors.New("software anchor: closed")

// Open opens the anchor in the folder dir, which it makes if it is missing.
// One process can have it open at a time: [anchor.ErrInUse]. A file that is no
// anchor's is refused.
func Open(dir string) (*Anchor, error) {
	a := &Anchor{}
	if err := a.open(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the software anchor in %s: %w", dir, err), a.Close())
	}
	return a, nil
}

func (a *Anchor) open(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return err
	}
	if a.dir, err = os.OpenRoot(dir); err != nil {
		return err
	}
	if a.lock, err = a.dir.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if got, err := durable.TryLock(a.lock); err != nil {
		return err
	} else if !got {
		return anchor.ErrInUse
	}
	// Nobody else writes here: what has a temporary name was left by a crash.
	if err := durable.Sweep(a.dir, time.Now().Add(time.Hour)); err != nil {
		return err
	}
	if err := a.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// load reads the file, and makes both slots alike: a crash in Rotate can have
// left the old key in one.
func (a *Anchor) load() error {
	file, err := a.dir.OpenFile(fileName, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	data := make([]byte, fileSize)
	defer clear(data)
	if _, err = file.ReadAt(data, 0); err == nil {
		a.now, a.slot, err = choose(data)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s is damaged: %w", filepath.Join(a.dir.Name(), fileName), err), file.Close())
	}
	a.file = file
	if bytes.Equal(data[:slotSize], data[slotPitch:slotPitch+slotSize]) {
		return nil
	}
	return a.put(1-a.slot, a.now)
}

// put overwrites one slot.
func (a *Anchor) put(slot int, r record) error {
	b := r.encode()
	defer clear(b)
	if _, err := a.file.WriteAt(b, int64(slot)*slotPitch); err != nil {
		return err
	}
	return durable.SyncData(a.file)
}

// Read implements [anchor.Anchor].
func (a *Anchor) Read(ctx context.Context) (anchor.State, *anchor.Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.usable(ctx); err != nil {
		return anchor.State{}, nil, err
	}
	if a.file == nil {
		return anchor.State{}, nil, anchor.ErrEmpty
	}
	return a.now.state, copyKey(a.now.key), nil
}

// Found implements [anchor.Anchor].
func (a *Anchor) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.usable(ctx); err != nil {
		return err
	}
	if a.file != nil {
		return anchor.ErrFounded
	}
	data := make([]byte, fileSize)
	defer clear(data)
	slot := record{s, k}.encode()
	defer clear(slot)
	copy(data, slot)
	copy(data[slotPitch:], slot)
	if err := a.publish(data); err != nil {
		return a.breaks(fmt.Errorf("founding the software anchor: %w", err))
	}
	return nil
}

func (a *Anchor) publish(data []byte) error {
	f, err := durable.Create(a.dir, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Publish(fileName); err != nil {
		return err
	}
	return a.load()
}

// Advance implements [anchor.Anchor].
func (a *Anchor) Advance(ctx context.Context, s anchor.State) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.step(ctx, s, nil)
}

// Rotate implements [anchor.Anchor].
func (a *Anchor) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.step(ctx, s, k)
}

// step does Advance, or, with a key, Rotate.
func (a *Anchor) step(ctx context.Context, s anchor.State, k *anchor.Key) error {
	if err := a.usable(ctx); err != nil {
		return err
	}
	if a.file == nil {
		return anchor.ErrEmpty
	}
	if s.Counter != a.now.state.Counter+1 {
		return anchor.ErrStale
	}
	next, old := record{s, a.now.key}, a.now.key
	if k != nil {
		next.key = copyKey(k)
	}
	if err := a.put(1-a.slot, next); err != nil {
		return a.breaks(fmt.Errorf("advancing the software anchor: %w", err))
	}
	a.now, a.slot = next, 1-a.slot
	if k == nil {
		return nil
	}
	old.Wipe()
	if err := a.put(1-a.slot, next); err != nil {
		return a.breaks(fmt.Errorf("destroying the old key of the software anchor: %w", err))
	}
	return nil
}

func (a *Anchor) usable(ctx context.Context) error {
	if a.broken != nil {
		return a.broken
	}
	return ctx.Err()
}

func (a *Anchor) breaks(err error) error {
	a.broken = err
	return err
}

func copyKey(k *anchor.Key) (c *anchor.Key) {
	k.Use(func(secret *[anchor.KeySize]byte) { c = anchor.KeyFromBytes(*secret) })
	return c
}

// Describe implements [anchor.Anchor].
func (a *Anchor) Describe() anchor.Description {
	return anchor.Description{
		Name:     "software",
		Insecure: true,
		Protects: "nothing: who can write to its folder can put it back together with the disk and hand out every guess again, and who can read it has the key of the disk; for development only",
	}
}

// Close implements [anchor.Anchor]: it frees the folder for another process and
// wipes the key.
func (a *Anchor) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken == errClosed {
		return nil
	}
	a.broken = errClosed
	a.now.key.Wipe()
	var err error
	for _, f := range []*os.File{a.file, a.lock} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if a.dir != nil {
		err = errors.Join(err, a.dir.Close())
	}
	return err
}
