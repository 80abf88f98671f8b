package sqlitepages

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// beginPrivate copies the database with its log and journal, and lets SQLite
// recover the copy.
//
// The copy is sound because the stamps before and after it are equal and old
// enough to have caught any write between (see settle): it is what a crash of
// all writers at that moment would have left, and SQLite recovers the last
// committed transaction from that. The -shm is left out; it is only an index.
func beginPrivate(ctx context.Context, path string, opt Options) (*Capture, error) {
	before, err := stampAtRest(ctx, path, time.Now().Add(opt.Wait))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opt.TempDir, "capture-") // mode 0700
	if err != nil {
		return nil, err
	}
	c, err := beginCopy(ctx, path, dir, before, opt)
	// All is open now that has to be. Unlinked, the clear text cannot outlive
	// us even if we are killed. Where open files cannot be unlinked this
	// fails, and Close does it.
	removing := os.RemoveAll(dir)
	if err != nil {
		return nil, err
	}
	if removing != nil {
		c.private = dir
	}
	return c, nil
}

func beginCopy(ctx context.Context, path, dir string, before stamp, opt Options) (*Capture, error) {
	to := filepath.Join(dir, "db")
	for _, suffix := range stamped {
		err := copyFile(ctx, to+suffix, path+suffix)
		if err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	after, err := readStamp(path)
	if err != nil {
		return nil, err
	}
	if after != before {
		return nil, errChanged
	}
	// Rolling back needs mode=rw, which would checkpoint a log on closing: a
	// waste of writing, here. There is one or the other, not both.
	if size(to+"-journal") > 0 {
		return begin(ctx, to, "rw", opt)
	}
	return begin(ctx, to, "ro", opt)
}

// copyStep is how much is copied between two looks at the context.
const copyStep = 16 << 20

func copyFile(ctx context.Context, to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer w.Close()
	for ctx.Err() == nil {
		if _, err := io.CopyN(w, r, copyStep); err == io.EOF {
			return w.Close()
		} else if err != nil {
			return err
		}
	}
	return ctx.Err()
}
