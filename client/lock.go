package client

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"keepsake.example/internal/durable"
)

// holder is what the lock file says about who holds it. It is for people only:
// the lock itself is the system's, and goes when the process does.
type holder struct {
	What  string    `json:"what"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// lock takes the profile for what, or fails with a BusyError at once.
func (c *Client) lock(what string) (unlock func(), err error) { return c.lockFile("lock", what) }

func (c *Client) lockFile(name, what string) (unlock func(), err error) {
	f, err := os.OpenFile(c.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the profile: %w", err)
	}
	held, err := durable.TryLock(f)
	if err != nil || !held {
		defer f.Close()
		if err != nil {
			return nil, fmt.Errorf("locking the profile: %w", err)
		}
		return nil, busy(f)
	}
	data, err := json.Marshal(holder{what, os.Getpid(), c.now()})
	if err == nil {
		f.Truncate(0)
		f.WriteAt(data, 0)
	}
	// The file stays: removing it would let two commands lock two files of
	// one name.
	return func() { f.Truncate(0); f.Close() }, nil
}

func busy(f *os.File) error {
	var h holder
	data, _ := io.ReadAll(io.LimitReader(f, 4096))
	if json.Unmarshal(data, &h) != nil {
		h = holder{} // being written at this moment
	}
	return &BusyError{What: h.What, PID: h.PID, Since: h.Since}
}

// waitLock takes a lock that is held for moments only.
func waitLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
