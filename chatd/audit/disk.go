package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"keepsake.example/internal/durable"
)

// file is what is asked of the file that is written.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Truncate(int64) error
	Close() error
}

// disk is the log's files: the one that is written, and those put aside. Its
// methods are called by one goroutine.
type disk struct {
	dir   *os.Root
	name  string
	lock  io.Closer
	file  file
	size  int64  // of the file, as far as it is durable
	first uint64 // seq of the file's first line
	head  Head   // as far as it is durable
	dirty bool   // the file may hold more than size
	// renamed: the file has its name of a full one, and the next is not there
	// for certain. To rename again would put an empty file over it.
	renamed bool
}

func openDisk(path string) (*disk, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	d := &disk{dir: dir, name: filepath.Base(path)}
	if d.lock, err = lock(dir, d.name+".lock"); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.lock.Close(), dir.Close())
	}
	return d, nil
}

// open finds the end of the chain and opens the file to be written.
func (d *disk) open() error {
	if err := d.findHead(); err != nil {
		return err
	}
	f, err := d.dir.OpenFile(d.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.file = f
	if err := f.Truncate(d.size); err != nil {
		return errors.Join(err, f.Close())
	}
	return durable.Sync(d.dir)
}

// findHead reads the end of the file that is written, or, when that has no
// line, of the one put aside last.
func (d *disk) findHead() error {
	head, first, size, err := readEnds(d.dir, d.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.head, d.first, d.size = head, first, size
	if head.Seq > 0 {
		return nil
	}
	old, err := d.aside()
	if err != nil || len(old) == 0 {
		d.first = 1
		return err
	}
	d.head, _, _, err = readEnds(d.dir, old[len(old)-1])
	d.first = d.head.Seq + 1
	return err
}

// aside lists the files put aside, in order: their names have the seq of the
// first line in twenty digits.
func (d *disk) aside() ([]string, error) {
	f, err := d.dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		match, err := filepath.Match(d.name+"-[0-9]*", n)
		return err != nil || !match || len(n) != len(asideName(d.name, 0))
	})
	slices.Sort(names)
	return names, nil
}

func asideName(name string, first uint64) string { return fmt.Sprintf("%s-%020d", name, first) }

// readEnds reads the first and the last whole line of a file, and tells how
// many bytes the whole lines have.
func readEnds(dir *os.Root, name string) (head Head, first uint64, size int64, err error) {
	f, err := dir.Open(name)
	if err != nil {
		return Head{}, 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Head{}, 0, 0, err
	}
	start, err := readAt(f, 0, info.Size())
	if err != nil {
		return Head{}, 0, 0, err
	}
	from := max(0, info.Size()-2*maxLine)
	tail, err := readAt(f, from, info.Size())
	if err != nil {
		return Head{}, 0, 0, err
	}
	end := bytes.LastIndexByte(tail, '\n')
	if end < 0 {
		if from > 0 {
			return Head{}, 0, 0, fmt.Errorf("%s: %w", name, ErrDamaged)
		}
		return Head{}, 0, 0, nil // empty, or cut within its first line
	}
	last := tail[bytes.LastIndexByte(tail[:end], '\n')+1 : end]
	head, err1 := readLine(last)
	begin, err2 := readLine(start[:max(0, bytes.IndexByte(start, '\n'))])
	if err := errors.Join(err1, err2); err != nil {
		return Head{}, 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	return head, begin.Seq, from + int64(end) + 1, nil
}

// readAt reads up to two lines' worth of bytes.
func readAt(f *os.File, from, size int64) ([]byte, error) {
	b := make([]byte, min(2*maxLine, size-from))
	_, err := f.ReadAt(b, from)
	return b, err
}

// append makes text, which leads to head, durable. After an error the file
// is cut back to what was durable before anything else is written.
func (d *disk) append(text []byte, head Head, limit int64) error {
	if d.dirty {
		if err := d.file.Truncate(d.size); err != nil {
			return fmt.Errorf("taking back what was not written whole: %w", err)
		}
		d.dirty = false
	}
	if d.size > 0 && d.size+int64(len(text)) > limit {
		if err := d.rotate(); err != nil {
			return fmt.Errorf("putting a full audit file aside: %w", err)
		}
	}
	d.dirty = true
	if _, err := d.file.Write(text); err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("syncing the audit log: %w", err)
	}
	d.dirty = false
	d.size += int64(len(text))
	d.head = head
	return nil
}

// rotate puts the file aside and begins the next. A crash after the rename
// leaves no file to write, and open begins it. After an error nothing is
// written until a later round got to the end of it.
func (d *disk) rotate() error {
	if !d.renamed {
		if err := d.dir.Rename(d.name, asideName(d.name, d.first)); err != nil {
			return err
		}
		d.renamed = true
	}
	f, err := d.dir.OpenFile(d.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := durable.Sync(d.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	old := d.file
	d.file, d.size, d.first, d.renamed = f, 0, d.head.Seq+1, false
	return old.Close()
}

func (d *disk) close() error {
	return errors.Join(d.file.Close(), d.lock.Close(), d.dir.Close())
}
