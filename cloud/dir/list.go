package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"keepsake.example/cloud"
)

// listBatch bounds the names held in memory at once.
const listBatch = 512

// List is cloud.Store.List.
func (s *Store) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if err := s.list(ctx, prefix, fn); err != nil {
		return fmt.Errorf("cloud/dir: listing %q: %w", prefix, err)
	}
	return nil
}

func (s *Store) list(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	top, err := s.top()
	if err != nil {
		return err
	}
	defer top.Close()
	for _, name := range cloud.Folders() {
		in := name + "/"
		if !strings.HasPrefix(in, prefix) && !strings.HasPrefix(prefix, in) {
			continue
		}
		if err := s.listSub(ctx, top, name, prefix, fn); err != nil {
			return err
		}
	}
	if !strings.Contains(prefix, "/") {
		if err := listFolder(ctx, top, "", prefix, fn); err != nil {
			return err
		}
	}
	// A store deleted under our hands looks like one with fewer objects.
	return s.complete()
}

func (s *Store) listSub(ctx context.Context, top *os.Root, name, prefix string, fn func(cloud.Info) error) error {
	folder, err := s.sub(top, name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return listFolder(ctx, folder, name+"/", prefix, fn)
}

// listFolder lists the objects of one folder, in being what their names start
// with. It follows the folder's own order and keeps no more than a batch, so
// memory does not grow with the store.
func listFolder(ctx context.Context, folder *os.Root, in, prefix string, fn func(cloud.Info) error) error {
	d, err := folder.Open(".")
	if err != nil {
		return classify(err)
	}
	defer d.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		leaves, readErr := d.Readdirnames(listBatch)
		for _, leaf := range leaves {
			name := in + leaf
			if !strings.HasPrefix(name, prefix) || cloud.CheckName(name) != nil {
				continue // ".tmp-…" among them
			}
			if err := listOne(ctx, folder, leaf, name, fn); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return classify(readErr)
		}
	}
}

func listOne(ctx context.Context, folder *os.Root, leaf, name string, fn func(cloud.Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := folder.Lstat(leaf)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // deleted meanwhile
	case err != nil:
		return classify(err)
	case !info.Mode().IsRegular():
		return nil
	}
	return fn(cloud.Info{Name: name, Size: info.Size(), ModTime: info.ModTime()})
}
