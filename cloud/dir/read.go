package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// A reader reads left more bytes of an object.
type reader struct {
	ctx  context.Context
	file *os.File
	left int64
}

func newReader(ctx context.Context, file *os.File, size, offset, length int64) (*reader, error) {
	switch {
	case offset < 0:
		return nil, fmt.Errorf("offset %d is negative", offset)
	case length == 0:
		return &reader{ctx: ctx, file: file}, nil
	case offset > size:
		// Some file systems refuse to seek far past the end, with an error
		// that says nothing; so do not ask them.
		return nil, io.ErrUnexpectedEOF
	case length < 0:
		length = size - offset
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, classify(err)
	}
	return &reader{ctx: ctx, file: file, left: length}, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left, copySize)])
	r.left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, io.ErrUnexpectedEOF // left is not 0 yet
	default:
		return n, fmt.Errorf("cloud/dir: reading: %w", classify(err))
	}
}

func (r *reader) Close() error { return r.file.Close() }
