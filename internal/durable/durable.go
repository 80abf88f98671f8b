// Package durable writes files that survive a crash: a reader sees the old
// content or the new one, whole, and what was reported as written is there
// after the power fails.
//
// Every write takes the same steps, in this order:
//
//	openat(dir, ".tmp-…", O_CREAT|O_EXCL)   a name nobody else reads
//	write(file) …                           large ones with O_DIRECT, where there is that
//	fsync(file)                             content before name: a name must never point at missing bytes
//	close(file)                             network file systems may report a failed write only here
//	renameat(dir, ".tmp-…", dir, name)      the name appears, whole
//	fsync(dir)                              the name itself is on the disk
//
// Where an existing file must not be replaced, the fifth step is
// renameat2(RENAME_NOREPLACE), or, where the system or the file system does
// not know that call,
//
//	linkat(dir, ".tmp-…", dir, name)        fails if name is there
//	unlinkat(dir, ".tmp-…")
//
// A file system with neither (FAT and exFAT outside Linux) is refused:
// looking first and renaming afterwards would replace what another process
// put there in between.
//
// A process killed on the way leaves a file whose name starts with
// [TempPrefix]; [Sweep] removes those.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TempPrefix starts the name of every file that is still being written.
const TempPrefix = ".tmp-"

// A File is being written into a folder under a temporary name, until Publish
// or Replace gives it its own. It must be closed in every case. A File is
// not safe for concurrent use.
type File struct {
	dir  *os.Root
	temp string
	file *os.File
	size int64 // bytes written
	// begun is up to where the disk was asked to begin writing.
	begun    int64
	direct   bool // writes go past the page cache at present
	noDirect bool // the file system has no such writes
	gone     bool // the temporary name is no longer ours to remove
}

// Create starts a file in dir, with mode perm less the umask. It keeps dir,
// which must stay open until the File is closed.
func Create(dir *os.Root, perm fs.FileMode) (*File, error) {
	temp := TempPrefix + rand.Text()
	file, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return &File{dir: dir, temp: temp, file: file}, nil
}

// writebackStep is how many bytes gather before the disk is asked to begin
// with them. Then the disk works while the rest is still being written, and
// fsync finds most of it done.
const writebackStep = 4 << 20

// Write appends p. Large writes go straight to the disk, where system, file system and memory allow: see writeDirect.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.writeDirect(p)
	if err != nil || n == len(p) {
		return n, err
	}
	if err := f.through(false); err != nil {
		return n, err
	}
	m, err := f.file.Write(p[n:])
	f.size += int64(m)
	if f.size-f.begun >= writebackStep {
		beginWriteback(f.file, f.begun, f.size-f.begun)
		f.begun = f.size
	}
	return n + m, err
}

const (
	directUnit = 4096      // what offset, length and memory of a direct write must be multiples of; some disks ask for less, none for more
	directMin  = 256 << 10 // below, the page cache gathers writes better than the disk would take them
)

// writeDirect writes whole units of p past the page cache: they go to the disk without being copied, which spares most of the processor time of a
// large file that is synced at its end (doc/decisions/0011), and leave the cache to others. That it cannot be done is no
// error; the rest of p, perhaps all, is then for the page cache. The file is durable after fsync and not before: a direct
// write may still lie in the disk's own cache, and its length in the journal.
func (f *File) writeDirect(p []byte) (int, error) {
	whole := len(p) &^ (directUnit - 1)
	if whole < directMin || f.size%directUnit != 0 || f.noDirect {
		return 0, nil
	}
	if err := f.through(true); err != nil {
		f.noDirect = true
		return 0, nil
	}
	n, err := f.file.Write(p[:whole])
	f.size += int64(n)
	f.begun = f.size
	if refusedDirect(err) {
		f.noDirect = true
		return n, nil
	}
	return n, err
}

// through sets whether writes go past the page cache.
func (f *File) through(direct bool) error {
	if f.direct == direct {
		return nil
	}
	if err := setDirect(f.file, direct); err != nil {
		return err
	}
	f.direct = direct
	return nil
}

// Sync makes what was written so far durable, under no name yet, so that
// Publish finds little left to do.
func (f *File) Sync() error { return SyncData(f.file) }

// Publish makes the file durable and visible under name, which must not
// exist: an error that is fs.ErrExist otherwise. After any error, name is not
// there, or is what it was before.
func (f *File) Publish(name string) error {
	if err := f.finish(); err != nil {
		return err
	}
	return f.show(name, func(dir *os.File) error { return renameNew(f.dir, dir, f.temp, name) })
}

// Replace makes the file durable and visible under name, in place of what was
// there. After an error, name is what it was before, except where the last
// step failed, the fsync of the folder: then it is the old file or the new.
func (f *File) Replace(name string) error {
	if err := f.finish(); err != nil {
		return err
	}
	dir, err := f.dir.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := f.dir.Rename(f.temp, name); err != nil {
		return err
	}
	f.gone = true
	return syncDir(dir)
}

// Close ends the writing. A file that was neither published nor put in place
// of another is removed; its bytes need not reach the disk first.
func (f *File) Close() error {
	err := f.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	if f.gone {
		return err
	}
	f.gone = true
	return errors.Join(err, f.dir.Remove(f.temp))
}

func (f *File) finish() error {
	if err := f.file.Sync(); err != nil {
		return err
	}
	return f.file.Close()
}

// show runs the step that makes name visible, then makes the name durable.
// The folder is opened before, so that running out of file descriptors
// cannot leave a visible name that was reported as failed.
func (f *File) show(name string, rename func(dir *os.File) error) error {
	dir, err := f.dir.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := rename(dir); err != nil {
		return err
	}
	f.gone = true
	if err := syncDir(dir); err != nil {
		// Nobody was told that name exists, so taking it away breaks no promise.
		return errors.Join(err, f.dir.Remove(name))
	}
	return nil
}

// linkNew is the portable way to rename without replacing.
func linkNew(root *os.Root, temp, name string) error {
	if err := root.Link(temp, name); errors.Is(err, fs.ErrExist) {
		return err
	} else if err != nil {
		return fmt.Errorf("no way to rename without replacing on this file system: %w", err)
	}
	// The file is there; a second name left behind is Sweep's to remove.
	_ = root.Remove(temp)
	return nil
}

// WriteFile puts data at path, replacing what was there. A symbolic link at
// path is replaced, not followed. The folder must exist.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, (*File).Replace)
}

// CreateExclusive puts data at path, where nothing may be yet: an error that
// is fs.ErrExist otherwise. The folder must exist.
func CreateExclusive(path string, data []byte, perm fs.FileMode) error {
	return write(path, data, perm, (*File).Publish)
}

func write(path string, data []byte, perm fs.FileMode, finish func(*File, string) error) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := Create(dir, perm)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := finish(f, filepath.Base(path)); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Mkdir makes a folder in dir whose name survives a crash.
func Mkdir(dir *os.Root, name string, perm fs.FileMode) error {
	if err := dir.Mkdir(name, perm); err != nil {
		return err
	}
	return Sync(dir)
}

// Remove removes name from dir; it stays removed after a crash.
func Remove(dir *os.Root, name string) error {
	if err := dir.Remove(name); err != nil {
		return err
	}
	return Sync(dir)
}

// Sync makes the names in dir durable.
func Sync(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return syncDir(d)
}

// Sweep removes the files in dir that a killed process left half-written:
// those under a temporary name that nobody has written to since before. A
// writer that is only slow keeps its file as long as before lies further back
// than any pause it makes; should one be swept all the same, it fails and
// nothing is damaged.
func Sweep(dir *os.Root, before time.Time) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, TempPrefix) {
			err = errors.Join(err, sweepOne(dir, name, before))
		}
	}
	return err
}

func sweepOne(dir *os.Root, name string, before time.Time) error {
	info, err := dir.Lstat(name)
	if err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
		err = dir.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its writer finished, or another process swept too
	}
	return err
}
