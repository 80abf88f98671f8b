// Package dir keeps a cloud in a folder: a USB disk, a network mount, a
// folder that another program carries to a cloud.
//
// The folder holds one sub-folder for each of [cloud.Folders], objects as
// files of their own name in them, and a file called [cloud.Marker]. The
// marker and the sub-folders tell the store from the empty mount point of a
// disk that is not there: without them every operation is
// [cloud.ErrUnreachable] and nothing is written. They are looked for anew
// each time, and the operation then works inside the very folder in which
// they were found, so that a disk unmounted in between cannot turn a backup
// into files on the system disk, nor a missing disk into missing objects.
//
// An object is written as package durable says: under a temporary name, then
// fsync, then a rename that does not replace, then fsync of the folder.
// A process killed on the way leaves a file named ".tmp-…", which no method
// shows. The first Put of a Store into a sub-folder removes those that nobody
// has written to for [Abandoned], by the clock of the store's own file system.
// Age and not a lock on the file, because locks do not reach from device to
// device on every network mount, and because a cloud folder carried by another
// program has no locks at all.
//
// Symbolic links are not followed below the folder, and whatever is not a
// regular file with the name of an object is not an object. The contents are
// trusted with nothing: see package cloud.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/internal/durable"
)

// Abandoned is how long a temporary file must have lain untouched before it
// is removed. A writer touches its file with every block of a megabyte; a day
// is past every pause but a machine asleep, whose Put then fails and can be
// made again.
const Abandoned = 24 * time.Hour

// Store is a cloud.Store in a folder.
type Store struct {
	path string

	mu    sync.Mutex
	swept map[string]bool // sub-folders this Store has cleaned
}

var _ cloud.Store = (*Store)(nil)

// Open opens the store that Create made at path, changing nothing. It is
// cloud.ErrUnreachable when the folder, its marker or a sub-folder is missing.
func Open(path string) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cloud/dir: opening %s: %w", path, err)
	}
	s := &Store{path: abs, swept: make(map[string]bool)}
	if err := s.complete(); err != nil {
		return nil, fmt.Errorf("cloud/dir: opening: %w", err)
	}
	return s, nil
}

// complete checks that the folder, the marker and every sub-folder are there.
func (s *Store) complete() error {
	top, err := s.top()
	if err != nil {
		return err
	}
	defer top.Close()
	for _, name := range cloud.Folders() {
		folder, err := s.sub(top, name)
		if err != nil {
			return err
		}
		folder.Close()
	}
	return nil
}

// top opens the folder, if it is a store.
func (s *Store) top() (*os.Root, error) {
	top, err := os.OpenRoot(s.path)
	if err != nil {
		return nil, notOpened(err)
	}
	info, err := top.Lstat(cloud.Marker)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		return top, nil
	}
	top.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no file %s; is the disk mounted?", cloud.ErrUnreachable, s.path, cloud.Marker)
	}
	return nil, classify(err)
}

// notOpened classifies an error of os.OpenRoot, which says in words alone that
// there is a file where the folder was.
func notOpened(err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return classify(err)
	}
	return fmt.Errorf("%w: %w", cloud.ErrUnreachable, err)
}

// sub opens a sub-folder, which must not be a symbolic link.
func (s *Store) sub(top *os.Root, name string) (*os.Root, error) {
	info, err := top.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir():
		return nil, fmt.Errorf("%w: %s has no folder %s; is the disk mounted?", cloud.ErrUnreachable, s.path, name)
	case err != nil:
		return nil, classify(err)
	}
	folder, err := top.OpenRoot(name)
	if err != nil {
		return nil, classify(err)
	}
	return folder, nil
}

// locate opens the folder that holds, or would hold, the object called name.
func (s *Store) locate(ctx context.Context, name string) (folder *os.Root, leaf string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if err := cloud.CheckName(name); err != nil {
		return nil, "", err
	}
	top, err := s.top()
	if err != nil {
		return nil, "", err
	}
	in, leaf, found := strings.Cut(name, "/")
	if !found {
		return top, name, nil
	}
	defer top.Close()
	folder, err = s.sub(top, in)
	return folder, leaf, err
}

// object describes the regular file called leaf.
func (s *Store) object(folder *os.Root, leaf string) (fs.FileInfo, error) {
	info, err := folder.Lstat(leaf)
	if err != nil {
		return nil, s.absent(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is a %s", cloud.ErrNotExist, kind(info.Mode()))
	}
	return info, nil
}

// absent classifies an error about one file of the store. That a file is not
// there means something only if the store still is: a folder deleted, or a
// disk gone, since the operation began must not look like a lost object.
func (s *Store) absent(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return classify(err)
	}
	if gone := s.complete(); gone != nil {
		return gone
	}
	return fmt.Errorf("%w: %w", cloud.ErrNotExist, err)
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	default:
		return "special file"
	}
}

// Stat is cloud.Store.Stat.
func (s *Store) Stat(ctx context.Context, name string) (cloud.Info, error) {
	folder, leaf, err := s.locate(ctx, name)
	if err != nil {
		return cloud.Info{}, fmt.Errorf("cloud/dir: looking at %s: %w", name, err)
	}
	defer folder.Close()
	info, err := s.object(folder, leaf)
	if err != nil {
		return cloud.Info{}, fmt.Errorf("cloud/dir: looking at %s: %w", name, err)
	}
	return cloud.Info{Name: name, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete is cloud.Store.Delete.
func (s *Store) Delete(ctx context.Context, name string) error {
	folder, leaf, err := s.locate(ctx, name)
	if err != nil {
		return fmt.Errorf("cloud/dir: deleting %s: %w", name, err)
	}
	defer folder.Close()
	if _, err := s.object(folder, leaf); err != nil {
		return fmt.Errorf("cloud/dir: deleting %s: %w", name, err)
	}
	if err := durable.Remove(folder, leaf); err != nil {
		return fmt.Errorf("cloud/dir: deleting %s: %w", name, s.absent(err))
	}
	return nil
}

// Get is cloud.Store.Get.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	folder, leaf, err := s.locate(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("cloud/dir: getting %s: %w", name, err)
	}
	defer folder.Close()
	file, size, err := s.openObject(folder, leaf)
	if err != nil {
		return nil, fmt.Errorf("cloud/dir: getting %s: %w", name, err)
	}
	r, err := newReader(ctx, file, size, offset, length)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cloud/dir: getting %s: %w", name, err)
	}
	return r, nil
}

var errReplaced = fmt.Errorf("%w: it was replaced while being opened", cloud.ErrNotExist)

// openObject opens the regular file called leaf. Looking before opening keeps
// a pipe from blocking us for ever; comparing afterwards keeps a symbolic
// link slipped in between from being followed.
func (s *Store) openObject(folder *os.Root, leaf string) (*os.File, int64, error) {
	before, err := s.object(folder, leaf)
	if err != nil {
		return nil, 0, err
	}
	file, err := folder.Open(leaf)
	if errors.Is(err, syscall.ELOOP) {
		return nil, 0, errReplaced // by links, and back, and again: the one that is there now is not followed
	}
	if err != nil {
		return nil, 0, s.absent(err)
	}
	after, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, classify(err)
	}
	if !os.SameFile(before, after) {
		file.Close()
		return nil, 0, errReplaced
	}
	return file, after.Size(), nil
}
