package backup

import (
	"fmt"
	"os"
	"sync"
)

// spoolMemory is how many bytes of blocks wait in memory.
const spoolMemory = 8 << 20

// A spool is the queue of blocks before the packs. When uploading is slow it fills up and the reader waits, except for database
// pages: those go, compressed, to a nameless temporary file, so that the transaction they are read in, which may block the messenger's
// writes, never waits for a network.
type spool struct {
	dir  string
	mu   sync.Mutex
	cond *sync.Cond

	items  []*blockJob
	memory int
	ready  int // bytes that are compressed and not in a pack
	file   *os.File
	end    int64
	full   bool // the file cannot be written: pages wait like everything else
	closed bool
	failed error
}

func newSpool(dir string) *spool {
	s := &spool{dir: dir}
	s.cond = sync.NewCond(&s.mu)
	return s
}

// push appends a block, when there is room for it. Pages, and steps between them, do not wait; how many of them are in memory is bounded by the compression, which they do wait for.
func (s *spool) push(b *blockJob) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.memory > spoolMemory && s.failed == nil && (b.class != classPage || s.full) {
		s.cond.Wait()
	}
	if s.failed != nil {
		return s.failed
	}
	b.weight = len(b.raw) + len(b.ops)*opMemory
	s.memory += b.weight
	s.items = append(s.items, b)
	s.cond.Broadcast()
	return nil
}

// opMemory is about what a step holds, with the entry and the path that go with it: a million unchanged files are nothing but steps.
const opMemory = 512

// compressed says that a block has its stored form. Pages go to the file then, if there is too much in memory and it is not their turn yet.
func (s *spool) compressed(b *blockJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.codec == codecRaw {
		b.raw = b.stored
	} else {
		b.raw = nil
	}
	held := len(b.stored)
	if cap(b.stored) == pooledBlock {
		held = pooledBlock // all of it is there until the block is in a pack
	}
	s.reweigh(b, held+len(b.ops)*opMemory)
	b.size = len(b.stored)
	s.ready += b.size
	if b.class == classPage && s.memory > spoolMemory && !b.popped && !s.full {
		if err := s.write(b); err != nil {
			s.full = true
			return
		}
		s.reweigh(b, len(b.ops)*opMemory)
	}
}

// waitingBytes is how much waits for packs when the cloud counts as the slower side: a quarter of a pack.
const waitingBytes = 4 << 20

// waiting reports whether the cloud is what holds up the backup.
func (s *spool) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready > waitingBytes
}

func (s *spool) reweigh(b *blockJob, weight int) {
	s.memory += weight - b.weight
	b.weight = weight
	s.cond.Broadcast()
}

// write moves a block's bytes to the file. On failure (no room) the block stays in memory.
func (s *spool) write(b *blockJob) error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "spool-")
		if err != nil {
			return err
		}
		// Nameless at once: what a killed run leaves is freed by the system.
		if err := os.Remove(f.Name()); err != nil {
			f.Close()
			return err
		}
		s.file = f
	}
	if _, err := s.file.WriteAt(b.stored, s.end); err != nil {
		return err
	}
	b.spooled, b.offset = true, s.end
	s.end += int64(len(b.stored))
	returnBlock(b.stored)
	b.raw, b.stored = nil, nil
	return nil
}

// pop returns the next block, nil at the end. It may not be compressed yet.
func (s *spool) pop() (*blockJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.items) == 0 && !s.closed && s.failed == nil {
		s.cond.Wait()
	}
	if s.failed != nil || len(s.items) == 0 {
		return nil, s.failed
	}
	b := s.items[0]
	s.items[0] = nil // the array lives on, and would keep every block alive
	s.items = s.items[1:]
	b.popped = true
	return b, nil
}

// load brings a compressed block's bytes back, if they are in the file.
func (s *spool) load(b *blockJob) error {
	if !b.spooled {
		return nil
	}
	b.stored = make([]byte, b.size)
	if _, err := s.file.ReadAt(b.stored, b.offset); err != nil {
		return fmt.Errorf("%w: reading the spool file: %w", ErrLocal, err)
	}
	return nil
}

// release says that a block's bytes are in a pack.
func (s *spool) release(b *blockJob) {
	s.mu.Lock()
	s.reweigh(b, 0)
	s.ready -= b.size
	s.mu.Unlock()
}

// close says that no block follows.
func (s *spool) close() {
	s.mu.Lock()
	s.closed = true
	s.cond.Broadcast()
	s.mu.Unlock()
}

// fail wakes everyone with err.
func (s *spool) fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.cond.Broadcast()
	s.mu.Unlock()
}

// discard frees the file. Nobody may use the spool any more.
func (s *spool) discard() {
	if s.file != nil {
		s.file.Close()
	}
}
