package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"keepsake.example/cloud"
	"keepsake.example/internal/durable"
)

// blockSize is how much is written between two looks at the context: a whole
// pack as a rule. In pieces a disk is idle between one and the next, for a
// direct write returns when the disk has it all.
const blockSize = 32 << 20

// copySize is how much is read at a time, of an object and of a body without a
// WriteTo, which is in memory meanwhile.
const copySize = 4 << 20

// Put is cloud.Store.Put. It reads the body through its WriteTo when it has
// one, which spares a copy.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	folder, leaf, err := s.locate(ctx, name)
	if err != nil {
		return fmt.Errorf("cloud/dir: putting %s: %w", name, err)
	}
	defer folder.Close()
	if err := s.put(ctx, folder, leaf, body, size); err != nil {
		return fmt.Errorf("cloud/dir: putting %s: %w", name, err)
	}
	s.sweepOnce(folder, leaf, path.Dir(name))
	return nil
}

func (s *Store) put(ctx context.Context, folder *os.Root, leaf string, body io.Reader, size int64) error {
	// Publish would refuse too, but only after the bytes were written.
	if _, err := folder.Lstat(leaf); err == nil {
		return cloud.ErrExist
	}
	file, err := durable.Create(folder, objectMode)
	if err != nil {
		return classify(err)
	}
	defer file.Close()
	if err := fill(ctx, file, body, size); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = file.Publish(leaf)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", cloud.ErrExist, err)
	}
	return classify(err)
}

// fill writes exactly size bytes of body to file. Errors of the file are
// classified; those of body are not: a failing source disk is no reason to
// say that the cloud cannot be reached.
func fill(ctx context.Context, file *durable.File, body io.Reader, size int64) error {
	w := &blockWriter{ctx: ctx, file: file, left: size}
	_, err := io.Copy(w, body)
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return fmt.Errorf("reading the object's bytes: %w", err)
	case w.left != 0:
		return fmt.Errorf("object is %d bytes shorter than the %d announced", w.left, size)
	}
	return nil
}

// A blockWriter writes left more bytes and refuses any after. err keeps its
// first error, which a careless WriteTo could swallow.
type blockWriter struct {
	ctx  context.Context
	file *durable.File
	left int64
	err  error
}

func (w *blockWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 && w.err == nil {
		n := w.writeBlock(p[:min(len(p), blockSize)])
		written += n
		p = p[n:]
	}
	return written, w.err
}

func (w *blockWriter) writeBlock(p []byte) (n int) {
	if w.err = w.ctx.Err(); w.err != nil {
		return 0
	}
	if int64(len(p)) > w.left {
		w.err = errors.New("object is longer than announced")
		return 0
	}
	n, err := w.file.Write(p)
	w.left -= int64(n)
	w.err = classify(err)
	return n
}

// ReadFrom gives a body without a WriteTo of its own, and an *os.File, whose
// WriteTo ends up here, a larger buffer than the 32 KiB of io.Copy.
func (w *blockWriter) ReadFrom(r io.Reader) (int64, error) {
	type onlyReader struct{ io.Reader }
	type onlyWriter struct{ io.Writer }
	buf := make([]byte, max(1, min(w.left+1, copySize)))
	return io.CopyBuffer(onlyWriter{w}, onlyReader{r}, buf)
}

// sweepOnce removes abandoned temporary files from a folder, once in the life
// of a Store. It follows the Put of leaf, whose modification time is the file
// system's own clock, at hand for nothing. Failing is no error of that Put;
// the next Store tries again.
func (s *Store) sweepOnce(folder *os.Root, leaf, folderName string) {
	s.mu.Lock()
	done := s.swept[folderName]
	s.swept[folderName] = true
	s.mu.Unlock()
	if done {
		return
	}
	if info, err := folder.Lstat(leaf); err == nil {
		_ = durable.Sweep(folder, info.ModTime().Add(-Abandoned))
	}
}
