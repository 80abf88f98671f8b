package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"keepsake.example/cloud"
	"keepsake.example/internal/durable"
)

const (
	folderMode = 0o700
	objectMode = 0o600
)

const markerText = `This folder is a Keepsake backup.

Keepsake writes end-to-end encrypted backups of chat histories. The files
here are encrypted: without the owner's password or 64-digit key nobody can
read them, and nothing in them can be changed without it being noticed.

Do not rename, edit or delete anything in here: that makes the backup, or a
part of it, impossible to restore. This file tells Keepsake that the right
disk is mounted, so it must stay too.
`

// Create makes the folder, its sub-folders and the marker, and opens the
// store. What is there already stays, so that a Create cut short is finished
// by the next one. The folder that path lies in must exist
// (cloud.ErrUnreachable: a missing one is more often a disk not mounted than a
// wish), and path must not hold files of other programs, among which ours
// would be hard to tell apart and easy to lose.
func Create(path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("cloud/dir: creating %s: %w", path, err)
	}
	return Open(path)
}

func create(path string) error {
	top, err := openOrMake(path)
	if err != nil {
		return notOpened(err)
	}
	defer top.Close()
	if err := checkOurs(top); err != nil {
		return err
	}
	for _, name := range cloud.Folders() {
		if err := durable.Mkdir(top, name, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return classify(err)
		}
	}
	// Last, because it says that the rest is there.
	if err := writeMarker(top); err != nil && !errors.Is(err, fs.ErrExist) {
		return classify(err)
	}
	return nil
}

func openOrMake(path string) (*os.Root, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	top, err := os.OpenRoot(abs)
	if !errors.Is(err, fs.ErrNotExist) {
		return top, err
	}
	parent, err := os.OpenRoot(filepath.Dir(abs))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := durable.Mkdir(parent, filepath.Base(abs), folderMode); err != nil {
		return nil, err
	}
	return os.OpenRoot(abs)
}

// checkOurs refuses a folder with somebody else's files. Hidden files and
// lost+found are what file managers and file systems put anywhere.
func checkOurs(top *os.Root) error {
	d, err := top.Open(".")
	if err != nil {
		return classify(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return classify(err)
	}
	if slices.Contains(names, cloud.Marker) {
		return nil
	}
	known := append(cloud.Folders(), "lost+found")
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && !slices.Contains(known, name) {
			return fmt.Errorf("folder holds other files, %q among them; choose an empty one or a new name", name)
		}
	}
	return nil
}

func writeMarker(top *os.Root) error {
	f, err := durable.Create(top, objectMode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte(markerText)); err != nil {
		return err
	}
	return f.Publish(cloud.Marker)
}
