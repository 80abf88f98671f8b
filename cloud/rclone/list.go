package rclone

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rclone/rclone/fs"
	"golang.org/x/sync/errgroup"

	"keepsake.example/cloud"
)

const (
	// temporary begins the leaf of an object that is being written. Its dot
	// makes CheckName refuse it.
	temporary = ".tmp-"
	// Abandoned is how much older than the newest thing in its folder a
	// temporary must be to be removed.
	Abandoned = 24 * time.Hour
)

// List is cloud.Store.List. It holds what it lists in memory.
func (s *Store) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	infos, err := s.list(ctx, prefix)
	if err != nil {
		return fmt.Errorf("cloud/rclone: listing %q: %w", prefix, err)
	}
	for _, info := range infos {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]cloud.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if folder, _, deep := strings.Cut(prefix, "/"); deep {
		if !slices.Contains(cloud.Folders(), folder) {
			return nil, nil
		}
		return s.listFolder(ctx, folder, prefix)
	}
	folders := slices.DeleteFunc(cloud.Folders(), func(folder string) bool { return !strings.HasPrefix(folder+"/", prefix) })
	if len(folders) > 1 && !s.kind.folders && s.current().Features().ListR != nil {
		return s.fetch(ctx, "", true, prefix)
	}
	return s.listFolders(ctx, append(folders, ""), prefix)
}

// listFolders lists several folders at a time.
func (s *Store) listFolders(ctx context.Context, folders []string, prefix string) ([]cloud.Info, error) {
	parts := make([][]cloud.Info, len(folders))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, s.kind.traits.Parallel))
	for i, folder := range folders {
		group.Go(func() (err error) {
			parts[i], err = s.listFolder(ctx, folder, prefix)
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(parts...), err
}

func (s *Store) listFolder(ctx context.Context, folder, prefix string) ([]cloud.Info, error) {
	return s.fetch(ctx, folder, false, prefix)
}

// fetch lists a folder, or all below it.
func (s *Store) fetch(ctx context.Context, folder string, deep bool, prefix string) ([]cloud.Info, error) {
	started := time.Now()
	entries, err := s.entries(ctx, folder, deep)
	if err != nil {
		return nil, s.gone(err)
	}
	if len(entries) == 0 {
		if entries, err = s.doubt(ctx, folder, deep); err != nil {
			return nil, err
		}
	}
	s.sweep(ctx, entries)
	within := func(name string) bool {
		in, _, below := strings.Cut(name, "/")
		return strings.HasPrefix(name, prefix) && (deep || below && in == folder || !below && folder == "")
	}
	found := make(map[string][]fs.Object)
	for _, e := range entries {
		o, ok := e.(fs.Object)
		if ok && cloud.CheckName(o.Remote()) == nil && within(o.Remote()) {
			found[o.Remote()] = append(found[o.Remote()], o)
		}
	}
	for name, objects := range found {
		found[name] = rank(ctx, objects)
	}
	return s.known.merge(ctx, started, found, within), nil
}

// entries is what rclone lists, within bounds.
func (s *Store) entries(ctx context.Context, folder string, deep bool) (all fs.DirEntries, err error) {
	err = s.do(ctx, func(ctx context.Context, f fs.Fs) (err error) {
		all, err = list(ctx, f, folder, deep)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func list(ctx context.Context, f fs.Fs, folder string, deep bool) (fs.DirEntries, error) {
	return collect(ctx, func(ctx context.Context, add fs.ListRCallback) (fs.DirEntries, error) {
		switch features := f.Features(); {
		case deep:
			return nil, features.ListR(ctx, folder, add)
		case features.ListP != nil:
			return nil, features.ListP(ctx, folder, add)
		}
		return f.List(ctx, folder)
	})
}

// doubt is what becomes of a listing without anything in it. It is believed when
// the marker is there: a cloud that lost the folder may say so with an empty list.
// Of a cloud without folders an answer of which the body was lost is an empty list
// too. There the marker is looked for by another listing, which shows also whether
// there is anything in the folder; some servers show folders that are empty, and
// are asked a second time.
func (s *Store) doubt(ctx context.Context, folder string, deep bool) (fs.DirEntries, error) {
	if s.kind.folders {
		return nil, s.alive(ctx)
	}
	if deep || folder == "" {
		if err := s.alive(ctx); err != nil {
			return nil, err
		}
		return nil, &failure{kind: cloud.ErrUnreachable, text: "a listing came without the file " + cloud.Marker + ", which is there"}
	}
	top, err := s.entries(ctx, "", false)
	names := remotes(top)
	switch {
	case err != nil:
		return nil, s.gone(err)
	case !slices.Contains(names, cloud.Marker):
		return nil, s.unmarked()
	case !slices.Contains(names, folder):
		return nil, nil
	}
	again, err := s.entries(ctx, folder, false)
	return again, s.gone(err)
}

// gone says what it means that a folder is not there: that the cloud is not,
// and nothing of the objects in it.
func (s *Store) gone(err error) error {
	if errors.Is(err, cloud.ErrNotExist) {
		return &failure{kind: cloud.ErrUnreachable, text: "a folder of it is missing: " + err.Error()}
	}
	return err
}

// sweep removes abandoned temporaries. That it could not is nothing that who
// lists must know: the next one tries again.
func (s *Store) sweep(ctx context.Context, entries fs.DirEntries) {
	var newest time.Time
	var left []fs.Object
	for _, e := range entries {
		o, ok := e.(fs.Object)
		if !ok {
			continue
		}
		if t := o.ModTime(ctx); t.After(newest) {
			newest = t
		}
		if strings.HasPrefix(path.Base(o.Remote()), temporary) {
			left = append(left, o)
		}
	}
	for _, o := range left {
		if newest.Sub(o.ModTime(ctx)) > Abandoned {
			_ = s.do(ctx, func(ctx context.Context, _ fs.Fs) error { return o.Remove(ctx) })
		}
	}
}
