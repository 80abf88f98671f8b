package client

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// Inspect explains an object at a destination without the key. An object that is
// not there is cloud.ErrNotExist.
func (c *Client) Inspect(ctx context.Context, destination, name string) (*backup.Explanation, error) {
	store, err := c.storeOf(ctx, destination)
	if err != nil {
		return nil, err
	}
	defer release(store)
	info, err := store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return backup.Inspect(name, objectAt{ctx, store, name}, info.Size)
}

// InspectFile explains the object that a file is. The end of its path is its
// name: the folder is part of it.
func InspectFile(path string) (*backup.Explanation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return backup.Inspect(filepath.ToSlash(absolute(path)), f, info.Size())
}

// objectAt reads an object of a store at any place.
type objectAt struct {
	ctx   context.Context
	store cloud.Store
	name  string
}

func (o objectAt) ReadAt(p []byte, off int64) (int, error) {
	r, err := o.store.Get(o.ctx, o.name, off, int64(len(p)))
	if err != nil {
		return 0, ended(err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	return n, ended(err)
}

// ended turns the store's word for the end of an object into that of io.ReaderAt.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
