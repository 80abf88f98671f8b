package replica

import (
	"crypto/rand"
	"errors"
	"io"
	"time"

	"keepsake.example/anchor"
)

// Config says what to run, and within which limits. A zero limit means its default.
type Config struct {
	Dir    string        // of this replica alone; made if it is missing
	Anchor anchor.Anchor // of this replica alone; the caller closes it, after the replica
	// NewMachine makes a machine without state. It is called at the start, and again
	// when the picture of another member replaces the state.
	NewMachine func() Machine

	// Send gives a sealed message to the network, which may lose, delay or repeat
	// it. It must not block, and owns the message. Nil: there are no other members.
	Send func(to uint64, message []byte)
	// Clock reads this member's clock, in milliseconds since 1970. Nil: the
	// host's date.
	Clock func() uint64
	// OpenSecret opens the box with a secret of the group that was sealed to this member,
	// which the replica wipes (spec/replication.md §18). It may take long, and runs in the
	// background. Nil: the secret never changes.
	OpenSecret func(info, box []byte) (*[32]byte, error)
	// Overlap is for how many ticks at most the secret before serves members that were not
	// heard under the new one. Default 600.
	Overlap int
	Tick    time.Duration // of a Replica: default 50 ms
	// Version is the highest version that the whole program reads and writes: what members
	// tell each other, entries, pictures. The other members are told. Default 1.
	Version uint32

	MaxEntry        int   // longest entry, in bytes: default 64 KiB, at most 1 MiB
	MaxQueue        int   // how many proposals wait at a time, and how many reads: default 4096
	MaxBatch        int   // how many entries share one sync: default 1024, at most 4096
	CheckpointBytes int64 // how long the log gets before a checkpoint is made, in bytes: default 64 MiB
	LogFileBytes    int64 // of one file of the log, made at once, in bytes: default 1 MiB, at least 4 KiB

	// For simulators; nil means the folder Dir, crypto/rand, and a goroutine for each
	// part of the work that goes on beside the node.
	Disk       Disk
	Rand       io.Reader
	Background func(part func())
}

const (
	defaultEntry      = 64 << 10
	defaultQueue      = 4096
	defaultBatch      = 1024
	defaultCheckpoint = 64 << 20
	defaultLogFile    = 1 << 20
	leastLogFile      = 4 << 10
	maxBatch          = 4096
	// Entries of one batch stop gathering here, so that its sync stays short.
	batchBytes = 1 << 20
	// The log, and with it the memory, may grow to so many times
	// CheckpointBytes while a checkpoint fails or takes long. Then nothing more is taken.
	logFactor   = 8
	defaultTick = 50 * time.Millisecond
	// A member that is started again is back by then, and has applied what it missed.
	defaultOverlap = 600 // ticks, 30 s
)

// check fills in defaults.
func (c *Config) check() error {
	c.MaxEntry = or(c.MaxEntry, defaultEntry)
	c.MaxQueue = or(c.MaxQueue, defaultQueue)
	c.MaxBatch = or(c.MaxBatch, defaultBatch)
	c.CheckpointBytes = or(c.CheckpointBytes, defaultCheckpoint)
	c.LogFileBytes = or(c.LogFileBytes, defaultLogFile)
	c.Tick = or(c.Tick, defaultTick)
	c.Version = or(c.Version, 1)
	c.Overlap = or(c.Overlap, defaultOverlap)
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Clock == nil {
		c.Clock = func() uint64 { return uint64(max(time.Now().UnixMilli(), 0)) }
	}
	if c.Background == nil {
		c.Background = func(part func()) { go part() }
	}
	switch {
	case c.Anchor == nil || c.NewMachine == nil || c.Dir == "" && c.Disk == nil:
		return errors.New("replica: a folder, an anchor and a machine are needed")
	case c.MaxEntry < 1 || c.MaxEntry > maxAsked:
		return errors.New("replica: the longest entry must be 1 byte to 1 MiB")
	case c.Tick < 0:
		return errors.New("replica: a tick must take time")
	case c.MaxQueue < 1 || c.MaxBatch < 1 || c.MaxBatch > maxBatch || c.CheckpointBytes < 1:
		return errors.New("replica: a limit under 1, or a batch over 4096")
	case c.LogFileBytes < leastLogFile || c.LogFileBytes > maxSegment:
		return errors.New("replica: a log file must have 4 KiB to 32 MiB")
	}
	return nil
}

func or[T int | int64 | uint32 | time.Duration](v, instead T) T {
	if v == 0 {
		return instead
	}
	return v
}

// disk opens the folder.
func (c *Config) disk() (Disk, error) {
	if c.Disk != nil {
		return c.Disk, nil
	}
	return openFolder(c.Dir)
}
