package rclone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rclone/rclone/fs"

	"keepsake.example/cloud"
)

const markerText = `This folder is a Keepsake backup.

Keepsake writes end-to-end encrypted backups of chat histories. The files
here are encrypted: without the owner's password or 64-digit key nobody can
read them, and nothing in them can be changed without it being noticed.

Do not rename, edit or delete anything in here: that makes the backup, or a
part of it, impossible to restore. This file tells Keepsake that it found the
right folder, so it must stay too.
`

// find is what Open does when nothing is to be made. It is one request, where
// folders cannot be there twice.
func (s *Store) find(ctx context.Context) error {
	if !s.kind.duplicates {
		return s.expected(s.alive(ctx))
	}
	top, err := s.entries(ctx, "", false)
	if err != nil {
		return s.gone(err)
	}
	if !slices.Contains(remotes(top), cloud.Marker) {
		return s.expected(s.unmarked())
	}
	return s.mergeFolders(ctx, top)
}

// expected turns the absence of the marker into that of the whole store: at the
// beginning it is a mistyped place, and no use to try again. Not where a listing
// may still hide what was made a moment ago.
func (s *Store) expected(err error) error {
	if s.kind.traits.Lag > 0 || !errors.Is(err, errUnmarked) {
		return err
	}
	return &failure{kind: cloud.ErrNotExist, text: s.withoutMarker()}
}

// create makes what is not there yet, so that a create cut short is finished
// by the next one. The marker comes last: it says that the rest is there.
func (s *Store) create(ctx context.Context) error {
	top, err := s.top(ctx)
	if err != nil {
		return err
	}
	there := remotes(top)
	if err := checkOurs(there); err != nil {
		return err
	}
	if s.kind.folders {
		for _, folder := range cloud.Folders() {
			if slices.Contains(there, folder) {
				continue
			}
			if err := s.mkdir(ctx, folder); err != nil {
				return err
			}
		}
	}
	if err := s.mergeFolders(ctx, top); err != nil {
		return err
	}
	if !slices.Contains(there, cloud.Marker) {
		o, err := s.store(ctx, cloud.Marker, []byte(markerText))
		if err != nil && !errors.Is(err, cloud.ErrExist) {
			return s.gone(err)
		}
		s.mu.Lock()
		s.mark = mark{o, time.Now()}
		s.mu.Unlock()
	}
	return s.prove(ctx)
}

// top makes the store's own folder, if it is not there, and lists it.
func (s *Store) top(ctx context.Context) (fs.DirEntries, error) {
	if s.kind.folders && s.kind.traits.Lag > 0 {
		_, err := s.entries(ctx, "", false)
		s.fresh.Store(errors.Is(err, cloud.ErrNotExist))
	}
	if s.kind.folders {
		if err := s.mkdir(ctx, ""); err != nil {
			return nil, err
		}
	}
	all, err := s.entries(ctx, "", false)
	if errors.Is(err, cloud.ErrNotExist) && !s.kind.folders {
		// Nothing below it can be missing. No waiting makes a bucket.
		bucket, _, _ := strings.Cut(s.config.Root, "/")
		return nil, &failure{kind: cloud.ErrNotExist, text: fmt.Sprintf("there is no bucket %s: is the name right? If it is new, make it at the provider first", bucket), whole: true}
	}
	return all, s.gone(err)
}

func (s *Store) mkdir(ctx context.Context, folder string) error {
	return s.gone(s.change(ctx, func(ctx context.Context, f fs.Fs) error { return f.Mkdir(ctx, folder) }))
}

func remotes(entries fs.DirEntries) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Remote()
	}
	return names
}

// checkOurs refuses a folder with somebody else's files, among which ours
// would be hard to tell apart and easy to lose.
func checkOurs(there []string) error {
	if slices.Contains(there, cloud.Marker) {
		return nil
	}
	known := append(cloud.Folders(), "lost+found")
	for _, name := range there {
		if !strings.HasPrefix(name, ".") && !slices.Contains(known, name) {
			return fmt.Errorf("folder holds other files, %q among them; choose an empty one or a new name", name)
		}
	}
	return nil
}

// mergeFolders makes one folder of several of a name, which two devices make
// that create a store, or that make it while the cloud's listings lag. Every
// device goes by the same order.
func (s *Store) mergeFolders(ctx context.Context, top fs.DirEntries) error {
	if !s.kind.duplicates {
		return nil
	}
	same := make(map[string][]fs.Directory)
	for _, e := range top {
		if d, ok := e.(fs.Directory); ok && slices.Contains(cloud.Folders(), d.Remote()) {
			same[d.Remote()] = append(same[d.Remote()], d)
		}
	}
	for _, dirs := range same {
		slices.SortFunc(dirs, func(a, b fs.Directory) int { return strings.Compare(a.ID(), b.ID()) })
		// A listing in pages may give one folder twice; merged into itself it
		// would be removed.
		dirs = slices.CompactFunc(dirs, func(a, b fs.Directory) bool { return a.ID() == b.ID() })
		if len(dirs) < 2 {
			continue
		}
		if err := s.change(ctx, func(ctx context.Context, f fs.Fs) error { return mergeDirs(ctx, f, dirs) }); err != nil {
			return fmt.Errorf("merging folders of one name: %w", err)
		}
	}
	return nil
}

// mergeDirs moves what is in folders into the first of them and removes the
// others. rclone moves them to the trash; an app's hidden folder in Google
// Drive has none, and there they are deleted.
func mergeDirs(ctx context.Context, f fs.Fs, dirs []fs.Directory) error {
	merge := f.Features().MergeDirs
	if merge == nil {
		return nil
	}
	defer flush(f)
	for _, from := range dirs[1:] {
		err := merge(ctx, []fs.Directory{dirs[0], from})
		if remover, ok := from.(interface{ Remove(context.Context) error }); ok && hasNoTrash(err) {
			err = remover.Remove(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flush has a back end forget which folder is which.
func flush(f fs.Fs) {
	if forget := f.Features().DirCacheFlush; forget != nil {
		forget()
	}
}

// Destroy removes the marker and the empty folders of a store without
// objects, and its own folder.
func (s *Store) Destroy(ctx context.Context) error {
	if err := s.destroy(ctx); err != nil {
		return fmt.Errorf("cloud/rclone: removing the store: %w", err)
	}
	return nil
}

func (s *Store) destroy(ctx context.Context) error {
	left, err := s.list(ctx, "")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d objects are in it, %s among them", len(left), left[0].Name)
	}
	rmdir := func(folder string) error {
		return s.change(ctx, func(ctx context.Context, f fs.Fs) error { return f.Rmdir(ctx, folder) })
	}
	if s.kind.folders {
		for _, folder := range cloud.Folders() {
			if err := rmdir(folder); err != nil && !errors.Is(err, cloud.ErrNotExist) {
				return err
			}
		}
	}
	err = s.change(ctx, func(ctx context.Context, f fs.Fs) error {
		o, err := f.NewObject(ctx, cloud.Marker)
		if err != nil {
			return err
		}
		return o.Remove(ctx)
	})
	if err != nil || !s.kind.folders {
		return err // without folders the root may be a whole bucket
	}
	return rmdir("")
}
