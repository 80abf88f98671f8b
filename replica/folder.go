package replica

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"keepsake.example/internal/durable"
)

const lockName = "lock"

// folder is a Disk in a real folder.
type folder struct {
	root *os.Root
	lock *os.File
}

// openFolder takes the folder for this process, and makes it if it is missing.
func openFolder(dir string) (Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if err := f.take(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", dir, err), f.Close())
	}
	return f, nil
}

func (f *folder) take() (err error) {
	if f.lock, err = f.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	got, err := durable.TryLock(f.lock)
	if err != nil {
		return err
	}
	if !got {
		return ErrInUse
	}
	// Nobody else writes here, so that whatever has a temporary name was left by a crash.
	return durable.Sweep(f.root, time.Now().Add(time.Hour))
}

func (f *folder) List() ([]string, error) {
	d, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var seen []string
	for _, name := range names {
		if name != lockName && !strings.HasPrefix(name, durable.TempPrefix) {
			seen = append(seen, name)
		}
	}
	return seen, nil
}

func (f *folder) Open(name string) (File, error) {
	file, err := f.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return openFile{file}, nil
}

func (f *folder) Create() (Draft, error) { return durable.Create(f.root, 0o600) }

func (f *folder) Scratch() (File, error) {
	name := durable.TempPrefix + rand.Text() // swept at the next start, if we crash here
	file, err := f.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.root.Remove(name); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return openFile{file}, nil
}

func (f *folder) Remove(names ...string) error {
	var errs error
	for _, name := range names {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errors.Join(errs, durable.Sync(f.root))
}

func (f *folder) Close() error {
	err := f.root.Close()
	if f.lock != nil {
		err = errors.Join(err, f.lock.Close())
	}
	return err
}

type openFile struct{ *os.File }

func (f openFile) Sync() error { return durable.SyncData(f.File) }

func (f openFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
