package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A part is a file on its way to being complete.
type part struct {
	path  string
	name  string // of the incomplete file
	mode  uint32
	mtime int64
	size  int64
	unit  int64
	kind  recordType

	left   atomic.Int64 // chunks not written yet
	failed atomic.Bool
	mu     sync.Mutex
	f      *os.File
}

// writeAt writes to the incomplete file, opening it if it is not open.
func (f *part) writeAt(p *plan, data []byte, offset int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		if err := f.open(p); err != nil {
			return err
		}
	}
	if _, err := f.f.WriteAt(data, offset); err != nil {
		return err
	}
	if p.open.Load() > maxOpen {
		return f.closeLocked(p)
	}
	return nil
}

func (f *part) open(p *plan) error {
	file, err := p.x.root.OpenFile(f.name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := file.Truncate(f.size); err != nil {
		file.Close()
		return err
	}
	f.f = file
	p.open.Add(1)
	return nil
}

func (f *part) close(p *plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closeLocked(p)
}

func (f *part) closeLocked(p *plan) error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	p.open.Add(-1)
	return err
}

// finisher makes complete files durable in batches and gives them their names.
type finisher struct {
	x     *restorer
	mu    sync.Mutex
	files []*part
	bytes int64
}

func newFinisher(x *restorer) *finisher { return &finisher{x: x} }

// add takes a complete file. The caller that fills a batch makes it durable, while the others go on.
func (n *finisher) add(f *part) error {
	n.mu.Lock()
	n.files = append(n.files, f)
	n.bytes += f.size
	if len(n.files) < batchFiles && n.bytes < batchBytes {
		n.mu.Unlock()
		return nil
	}
	batch := n.take()
	n.mu.Unlock()
	return n.finish(batch)
}

func (n *finisher) take() []*part {
	batch := n.files
	n.files, n.bytes = nil, 0
	return batch
}

func (n *finisher) flush() error {
	n.mu.Lock()
	batch := n.take()
	n.mu.Unlock()
	return n.finish(batch)
}

// finish brings a batch to the disk and only then renames, so that after a power cut too what has its final name is whole.
func (n *finisher) finish(batch []*part) error {
	if err := syncAll(n.x.root, batch); err != nil {
		return fmt.Errorf("%w: bringing files to the disk: %w", ErrLocal, err)
	}
	for _, f := range batch {
		if err := n.name(f); err != nil {
			return fmt.Errorf("%w: finishing %s: %w", ErrLocal, f.path, err)
		}
		n.x.c.files.Add(1)
	}
	return nil
}

// name gives a complete file its mode, time and name.
func (n *finisher) name(f *part) error {
	if err := n.x.root.Chmod(f.name, fs.FileMode(f.mode)); err != nil {
		return err
	}
	t := time.Unix(0, f.mtime)
	if err := n.x.root.Chtimes(f.name, t, t); err != nil {
		return err
	}
	if f.kind == recordDB && n.x.into {
		if err := removeLogs(n.x.root, f.path); err != nil {
			return err
		}
	}
	if err := n.x.root.Rename(f.name, f.path); err != nil {
		return err
	}
	n.x.written.Add(1)
	return nil
}

// removeLogs removes what would be applied to a database that was restored: the log of the one that was in its place.
func removeLogs(root *os.Root, path string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := root.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// An existing is the incomplete file of an interrupted restore.
type existing struct {
	f   *os.File
	d   *digester
	buf []byte
}

// found opens what an interrupted restore left of a file, nil if there is nothing of use.
func (p *plan) found(f *part) (*existing, error) {
	if !p.x.res.Continued {
		return nil, nil
	}
	// It may have its final mode, which may forbid writing.
	err := p.x.root.Chmod(f.name, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocal, err)
	}
	file, err := p.x.root.OpenFile(f.name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLocal, err)
	}
	if info, err := file.Stat(); err != nil || info.Size() != f.size {
		file.Close()
		return nil, p.x.root.Remove(f.name)
	}
	return &existing{f: file, d: newDigester(p.x.r.ring), buf: make([]byte, maxChunk)}, nil
}

// holds reports whether the chunk at offset is the one with this id.
func (h *existing) holds(id ID, offset, n int64) bool {
	_, err := h.f.ReadAt(h.buf[:n], offset)
	return err == nil && h.d.id(h.buf[:n]) == id
}

// clearZeros makes a stretch zero that is to be zero. In a new file it is.
func (h *existing) clearZeros(offset, n int64) error {
	if h == nil {
		return nil
	}
	for end := offset + n; offset < end; {
		k := min(end-offset, int64(len(h.buf)))
		if _, err := h.f.ReadAt(h.buf[:k], offset); err != nil {
			return fmt.Errorf("%w: %w", ErrLocal, err)
		}
		if !allZero(h.buf[:k]) {
			clear(h.buf[:k])
			if _, err := h.f.WriteAt(h.buf[:k], offset); err != nil {
				return fmt.Errorf("%w: %w", ErrLocal, err)
			}
		}
		offset += k
	}
	return nil
}

func (h *existing) close() {
	if h != nil {
		h.f.Close()
	}
}

func syncEach(root *os.Root, batch []*part) error {
	for _, f := range batch {
		file, err := root.OpenFile(f.name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		err = file.Sync()
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
