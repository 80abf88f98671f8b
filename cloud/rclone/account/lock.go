package account

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"keepsake.example/internal/durable"
)

const (
	// lockSlack is how much longer than a lease one process waits for another's
	// refresh of a token: whoever waits for a living process gets on.
	lockSlack = 15 * time.Second
	lockPause = 20 * time.Millisecond
)

// lock takes the account's lock, between processes and within this one. The
// file stays: removing it would let two processes lock two files of one name.
func (a *Accounts) lock(ctx context.Context, login string) (unlock func(), err error) {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, fmt.Errorf("account: making the folder: %w", err)
	}
	f, err := os.OpenFile(a.path(login)+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("account: locking: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.lease+lockSlack, ErrBusy)
	defer cancel()
	for {
		held, err := durable.TryLock(f)
		if held {
			return func() { f.Close() }, nil
		}
		if err == nil {
			err = pause(ctx)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("account: locking: %w", err), f.Close())
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lockPause):
		return nil
	}
}
