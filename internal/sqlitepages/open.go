package sqlitepages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Open begins the capture of the database at path. Errors a caller branches on
// are [ErrNotDatabase], [ErrBusy], those of package io/fs for a file that is
// missing or not readable, and ctx's. A file can be captured once at a time in
// a process. If ctx ends later, Next fails.
func Open(ctx context.Context, path string, opt Options) (*Capture, error) {
	if opt.TempDir == "" {
		return nil, errors.New("sqlitepages: no TempDir given")
	}
	if opt.Wait == 0 {
		opt.Wait = DefaultWait
	}
	path, info, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitepages: finding database: %w", err)
	}
	release, err := claim(info)
	if err != nil {
		return nil, err
	}
	c, err := retry(ctx, path, opt)
	if err != nil {
		release()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("sqlitepages: opening %s: %w", filepath.Base(path), explain(err))
	}
	c.release = release
	return c, nil
}

// resolve follows symbolic links, because SQLite does: the sidecars lie beside
// the file, not beside the link.
func resolve(path string) (string, os.FileInfo, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, ErrNotDatabase // opening a pipe would wait for ever
	}
	return path, info, nil
}

// errChanged says that the files changed while they were copied.
var errChanged = fmt.Errorf("%w: files kept changing while they were copied", ErrBusy)

// retry tries until the deadline. Each round looks at the files anew, because
// whoever disturbed the last round may have recovered or closed the database.
func retry(ctx context.Context, path string, opt Options) (*Capture, error) {
	deadline := time.Now().Add(opt.Wait)
	for {
		c, err := try(ctx, path, opt)
		if !errors.Is(err, errChanged) {
			return c, err
		}
		if opt.Wait = time.Until(deadline); opt.Wait <= 0 {
			return nil, err
		}
		if err := sleep(ctx, min(opt.Wait, settle/10)); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func try(ctx context.Context, path string, opt Options) (*Capture, error) {
	mode, err := chooseMode(path)
	if err != nil {
		return nil, err
	}
	if mode != "" {
		c, err := begin(ctx, path, mode, opt)
		if err == nil || !needsCopy(err) {
			return c, err
		}
	}
	return beginPrivate(ctx, path, opt)
}

// chooseMode returns how to open the database in place without leaving a trace,
// "ro" or "rw", or "" if only a copy will do. The package comment has the cases.
func chooseMode(path string) (string, error) {
	header, err := readHeader(path)
	if err != nil {
		return "", err
	}
	wal, shm, journal := size(path+"-wal"), size(path+"-shm"), size(path+"-journal")
	switch {
	case wal >= 0 && shm >= 0, wal < 0 && !inWAL(header):
		return "ro", nil
	case wal < 0 && journal <= 0 && mayCreate(path):
		return "rw", nil
	}
	return "", nil
}

// readHeader opens and closes the file, which is safe only because the claim
// says that no capture of this process has locks on it.
func readHeader(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header := make([]byte, HeaderSize)
	if _, err := io.ReadFull(f, header); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, ErrNotDatabase
	} else if err != nil {
		return nil, err
	}
	if !IsDatabase(header) {
		return nil, ErrNotDatabase
	}
	return header, nil
}

// size returns the size of the file, or -1 if it cannot be looked at.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

// mayCreate reports whether SQLite can create sidecars and delete them again,
// and whether the owner could use them meanwhile: SQLite cannot delete them on
// a connection that may not write, and files of another user would lock out an
// owner who starts while we read.
func mayCreate(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !ownFile(info) {
		return false
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
