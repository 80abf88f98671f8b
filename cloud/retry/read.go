package retry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"keepsake.example/cloud"
)

// Get is cloud.Store's. Its reader goes on, after a failure, from the byte where
// it was.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r := &reader{s: s, ctx: ctx, name: name, offset: offset, length: length, spell: spell{s: s}}
	for {
		err := r.open()
		if err == nil {
			return r, nil
		}
		if err := r.again(err); err != nil {
			return nil, err
		}
	}
}

// reader is an object that is being read.
type reader struct {
	s              *Store
	ctx            context.Context
	name           string
	offset, length int64 // of what has not been read; a negative length: to the end
	part           io.ReadCloser
	partErr        error // that came with the last bytes of part
	spell          spell
	err            error // how it all ended
}

func (r *reader) open() error {
	return r.spell.attempt(r.ctx, func() (err error) {
		r.part, err = r.s.under.Get(r.ctx, r.name, r.offset, r.length)
		return err
	})
}

// Read reads what there is, and opens the object anew where it broke off.
func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.readPart(p)
		if n > 0 || err == nil {
			return n, nil
		}
		r.err = r.end(err)
	}
	return 0, r.err
}

// readPart reads from the part that is open, opening it if none is.
func (r *reader) readPart(p []byte) (int, error) {
	if r.partErr != nil {
		return 0, r.partErr
	}
	if r.part == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.part.Read(p)
	r.partErr = err
	r.offset += int64(n)
	if r.length >= 0 {
		r.length = max(r.length-int64(n), 0)
	}
	if n > 0 {
		r.spell.further()
	}
	return n, err
}

// end decides what an error of a part means for the whole: nil, and the rest is
// read from another part; or how the whole ends.
func (r *reader) end(err error) error {
	switch {
	case r.length == 0 && (err == io.EOF || broke(err)): // nothing of it is missing
		return io.EOF
	case err == io.EOF && r.length < 0:
		return io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return r.again(err)
}

func broke(err error) bool { return passes(err) || errors.Is(err, io.ErrUnexpectedEOF) }

// again waits, if err is one that passes, and drops the part that failed.
func (r *reader) again(err error) error {
	if broke(err) && !passes(err) {
		err = r.cut(err)
	}
	if !passes(err) {
		return err
	}
	if r.part != nil {
		r.part.Close() // it failed already
	}
	r.part, r.partErr = nil, nil
	return r.spell.wait(r.ctx, err)
}

// cut tells a download that was cut off from an object that is too short, which
// the same error may mean where a server closes a connection too early.
func (r *reader) cut(err error) error {
	info, statErr := r.s.under.Stat(r.ctx, r.name)
	if statErr != nil {
		return statErr
	}
	switch left := info.Size - r.offset; {
	case left == 0 && r.length < 0:
		return io.EOF
	case left > 0 && r.length <= left:
		return fmt.Errorf("%w: %s was cut off after %d bytes: %w", cloud.ErrUnreachable, r.name, r.offset, err)
	}
	return err
}

// Close ends reading.
func (r *reader) Close() error {
	if r.part == nil {
		return nil
	}
	return r.part.Close()
}
