package backup

import (
	"fmt"
	"os"
	"sync"
)

// spoolMemory is how many bytes of blocks wait in memory.
const spoolMemory = 8 << 20

// A spool is the queue of blocks before the packs. When uploading is slow it fills up and the reader waits, except for database
// pages: those go to a nameless temporary file, so that the transaction they are read in, which may block the messenger's
// writes, never waits for a network.
type spool struct {
	dir  string
	mu   sync.Mutex
	cond *sync.Cond

	items  []*blockJob
	memory int
	file   *os.File
	end    int64
	closed bool
	failed error
}

func newSpool(dir string) *spool {
	s := &spool{dir: dir}
	s.cond = sync.NewCond(&s.mu)
	return s
}

// push appends a block. It reports whether the block is in memory, and so worth compressing ahead of its turn.
func (s *spool) push(b *blockJob) (inMemory bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.class == classPage && len(b.raw) > 0 && s.memory > spoolMemory && s.failed == nil {
		if s.write(b) == nil {
			s.items = append(s.items, b)
			s.cond.Broadcast()
			return false, nil
		}
	}
	// Steps alone do not wait either while a database is read: their class says so.
	for s.memory > spoolMemory && s.failed == nil && (b.class != classPage || len(b.raw) > 0) {
		s.cond.Wait()
	}
	if s.failed != nil {
		return false, s.failed
	}
	s.memory += b.memory()
	s.items = append(s.items, b)
	s.cond.Broadcast()
	return true, nil
}

// opMemory is about what a step holds, with the entry and the path that go with it.
const opMemory = 512

// memory is what a block in the queue counts for. Its steps count too: a million unchanged files are nothing else.
func (b *blockJob) memory() int { return len(b.raw) + len(b.ops)*opMemory }

// write moves a block's bytes to the file. On failure (no room) the block stays in memory and waits its turn.
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
	if _, err := s.file.WriteAt(b.raw, s.end); err != nil {
		return err
	}
	b.spooled, b.offset, b.size = true, s.end, len(b.raw)
	s.end += int64(len(b.raw))
	b.raw = nil
	return nil
}

// pop returns the next block, nil at the end.
func (s *spool) pop() (*blockJob, error) {
	s.mu.Lock()
	for len(s.items) == 0 && !s.closed && s.failed == nil {
		s.cond.Wait()
	}
	if s.failed != nil || len(s.items) == 0 {
		s.mu.Unlock()
		return nil, s.failed
	}
	b := s.items[0]
	s.items[0] = nil // the array lives on, and would keep every block alive
	s.items = s.items[1:]
	file := s.file
	s.mu.Unlock()
	if b.spooled {
		b.raw = make([]byte, b.size)
		if _, err := file.ReadAt(b.raw, b.offset); err != nil {
			return nil, fmt.Errorf("%w: reading the spool file: %w", ErrLocal, err)
		}
		b.compress()
	}
	return b, nil
}

// release says that a block's bytes are in a pack.
func (s *spool) release(b *blockJob) {
	if b.spooled {
		return
	}
	s.mu.Lock()
	s.memory -= b.memory()
	s.cond.Broadcast()
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
