package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Check tells whether Open would find a log at path that it can go on with, or could
// begin one. It takes no lock and changes no file of the log, so it may run beside the
// process that has the log open.
func Check(path string) error {
	dir, err := os.OpenRoot(filepath.Dir(filepath.Clean(path)))
	if err != nil {
		return fmt.Errorf("looking at the audit log: %w", err)
	}
	d := &disk{dir: dir, name: filepath.Base(path)}
	if err := errors.Join(d.findHead(), d.writable(), dir.Close()); err != nil {
		return fmt.Errorf("looking at the audit log: %w", err)
	}
	return nil
}

// writable is nil when the files that are there can be written, and others made beside
// them: a full file is put aside under another name.
func (d *disk) writable() error {
	for _, name := range []string{d.name, d.name + ".lock"} {
		f, err := d.dir.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	f, err := d.dir.OpenFile(d.name+".check", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), d.dir.Remove(d.name+".check")); !errors.Is(err, fs.ErrNotExist) { // another check took it
		return err
	}
	return nil
}
