package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

const (
	fileName = "ledger"
	lockName = "lock"
)

var (
	// ErrRolledBack: the file is not the one that the device names. One of the two was put
	// back to an earlier time, or belongs to another machine.
	ErrRolledBack = errors.New("ledger: rolled back")
	// ErrMissing: the device has counted, and there is no file.
	ErrMissing = errors.New("ledger: the device was founded, and the ledger's file is not there")

	errClosed  = errors.New("ledger: closed")
	errTooMany = fmt.Errorf("ledger: no room for more than %d groups", maxGroups)
)

// Ledger is the open ledger of one machine. Its methods, and those of its groups, may be
// called concurrently.
type Ledger struct {
	device anchor.Anchor
	dir    *os.Root
	lock   *os.File

	turn sync.Mutex // who holds it does a step; taken before mu

	mu      sync.Mutex
	file    *os.File     // nil before the first group is founded
	state   anchor.State // the device's
	key     *anchor.Key  // likewise; nil before
	lines   lines
	waiting []*step
	open    map[uint32]bool // groups that somebody has
	// broken is why the device, or the file, may be at another count than state says.
	broken error
}

// Open opens the ledger in the folder dir, which it makes if it is missing, over a device
// that nothing else steps. The caller closes the device, after the ledger. One process can
// have a folder open at a time: [anchor.ErrInUse].
func Open(ctx context.Context, device anchor.Anchor, dir string) (*Ledger, error) {
	l := &Ledger{device: device, lines: lines{}, open: map[uint32]bool{}}
	if err := l.start(ctx, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger in %s: %w", dir, err), l.Close())
	}
	return l, nil
}

func (l *Ledger) start(ctx context.Context, dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return err
	}
	if l.dir, err = os.OpenRoot(dir); err != nil {
		return err
	}
	if l.lock, err = l.dir.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if got, err := durable.TryLock(l.lock); err != nil {
		return err
	} else if !got {
		return anchor.ErrInUse
	}
	// Nobody else writes here: what has a temporary name was left by a crash.
	if err := durable.Sweep(l.dir, time.Now().Add(time.Hour)); err != nil {
		return err
	}
	l.state, l.key, err = l.device.Read(ctx)
	if errors.Is(err, anchor.ErrEmpty) {
		return nil // a file here is of a founding that the device did not count
	}
	if err != nil {
		return err
	}
	return l.load()
}

// load reads the slot that the device names.
func (l *Ledger) load() error {
	file, err := l.dir.OpenFile(fileName, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrMissing
	}
	if err != nil {
		return err
	}
	l.file = file
	data := make([]byte, fileSize)
	if _, err := file.ReadAt(data, 0); err != nil {
		return fmt.Errorf("%w: its file cannot be read whole: %w", ErrRolledBack, err)
	}
	slot := data[place(l.state.Counter):][:slotPitch]
	if head, err := headOf(slot); err != nil || head != l.state.Head {
		return fmt.Errorf("%w: %s", ErrRolledBack, apart(data, l.state.Counter))
	}
	ls, err := open(slot, l.key)
	if err != nil {
		return fmt.Errorf("%w: the slot is the one that the device names, but the device's key does not open it", ErrRolledBack)
	}
	l.lines = ls
	return nil
}

// apart says what can be seen of a file that the device does not name. The headers are
// anybody's, so it is a hint to people and decides nothing.
func apart(data []byte, count uint64) string {
	newest, found := uint64(0), false
	for at := 0; at < fileSize; at += slotPitch {
		if h, err := parseHeader(data[at : at+slotPitch]); err == nil {
			newest, found = max(newest, h.count), true
		}
	}
	switch {
	case !found:
		return fmt.Sprintf("the device is at count %d, and its file is no ledger, or is damaged", count)
	case newest < count:
		return fmt.Sprintf("the device is at count %d and the file at %d: the disk is older", count, newest)
	case newest > count+1:
		return fmt.Sprintf("the device is at count %d and the file at %d: the device is older, or another one", count, newest)
	}
	return fmt.Sprintf("the device is at count %d, and what the file has there is not what it counted", count)
}

// Close lets go of the folder, and wipes the keys. Groups that are open fail from then
// on. It may be called twice.
func (l *Ledger) Close() error {
	l.turn.Lock() // a step that runs ends first
	defer l.turn.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == errClosed {
		return nil
	}
	l.broken = errClosed
	l.lines.wipe()
	l.key.Wipe()
	var err error
	for _, f := range []*os.File{l.file, l.lock} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if l.dir != nil {
		err = errors.Join(err, l.dir.Close())
	}
	return err
}

// usable says why nothing can be done any more. The caller holds mu.
func (l *Ledger) usable(ctx context.Context) error {
	if l.broken != nil {
		return l.broken
	}
	return ctx.Err()
}

// newSalt draws the salt of one slot.
func newSalt() (salt [saltSize]byte) {
	rand.Read(salt[:])
	return salt
}
