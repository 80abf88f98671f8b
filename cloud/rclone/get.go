package rclone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/rclone/rclone/fs"

	"keepsake.example/cloud"
)

// far is an offset behind which no object of ours reaches, and of which some
// servers cannot read the number.
const far = 1 << 32

// Get is cloud.Store.Get.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.get(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("cloud/rclone: getting %s: %w", name, err)
	}
	return r, nil
}

func (s *Store) get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("offset %d is negative", offset)
	}
	if length == 0 {
		_, err := s.stat(ctx, name)
		return io.NopCloser(bytes.NewReader(nil)), err
	}
	e, cached := s.known.get(name)
	if cached {
		r, err := s.openAny(ctx, e.objects, offset, length)
		switch {
		case errors.Is(err, cloud.ErrNotExist):
			s.known.lost(name) // somebody deleted it, or put it anew
		case isHidden(err), err == errRange: // it has not the size that was known
			s.known.forget(name)
		default:
			return r, err
		}
	}
	mine, lately := s.known.lately(name)
	if lately && mine.gone {
		return nil, cloud.ErrNotExist
	}
	r, err := s.getUnknown(ctx, name, offset, length)
	if err = s.absent(ctx, err); lately {
		err = notYet(err)
	}
	return r, err
}

// notYet is for an object of our own that the cloud does not show: what is
// known to have been put a moment ago is not called absent.
func notYet(err error) error {
	if !errors.Is(err, cloud.ErrNotExist) {
		return err
	}
	return &failure{kind: cloud.ErrUnreachable, text: "the cloud does not show yet what was put a moment ago"}
}

// getUnknown gets an object that must be looked up, or asked for at a venture.
func (s *Store) getUnknown(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if s.kind.lazy && offset < far {
		r, err := s.openUnseen(ctx, name, offset, length)
		if err != errRange || length > 0 {
			return r, noRange(err)
		}
	}
	objects, err := s.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := s.openAny(ctx, objects, offset, length)
	return r, noRange(err)
}

// openAny opens the first of the objects that is there. Whether a second one
// that is empty is there nobody is asked; it has nothing to give in place of a
// first that was deleted.
func (s *Store) openAny(ctx context.Context, objects []fs.Object, offset, length int64) (r io.ReadCloser, err error) {
	for i, o := range objects {
		if i > 0 && o.Size() == 0 {
			continue
		}
		r, err = s.openSized(ctx, o, offset, length)
		if !errors.Is(err, cloud.ErrNotExist) {
			break
		}
	}
	return r, err
}

// openSized opens a part of an object whose size is known.
func (s *Store) openSized(ctx context.Context, o fs.Object, offset, length int64) (io.ReadCloser, error) {
	size := o.Size()
	if offset > size {
		return nil, io.ErrUnexpectedEOF
	}
	r := newReader(ctx, s, size, offset, length)
	if r.left == 0 {
		return r, nil
	}
	var options []fs.OpenOption
	if r.left < size {
		options = append(options, &fs.RangeOption{Start: offset, End: offset + r.left - 1})
	}
	err := r.open(o, options...)
	if o.Size() != size {
		// S3's back end has taken over what this one answer announces. Left in
		// the cache, it would measure the next attempt too.
		s.known.forget(o.Remote())
	}
	return r, err
}

// openUnseen opens a part of an object of which only the name is known. The
// range goes as a header: of an object without a size rclone would leave a
// RangeOption out.
func (s *Store) openUnseen(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	var options []fs.OpenOption
	switch {
	case length > 0:
		end := min(length-1, math.MaxInt64-offset) + offset
		options = append(options, &fs.HTTPOption{Key: "Range", Value: fmt.Sprintf("bytes=%d-%d", offset, end)})
	case offset > 0:
		options = append(options, &fs.HTTPOption{Key: "Range", Value: fmt.Sprintf("bytes=%d-", offset)})
	}
	o, err := s.current().NewObject(ctx, name)
	if err != nil {
		return nil, s.classify(ctx, err)
	}
	r := newReader(ctx, s, math.MaxInt64, offset, length)
	if err := r.open(o, options...); err != nil {
		return nil, err
	}
	// The size is what this one answer says. It is not remembered: what is read
	// again because it came short must not be measured by the same lie.
	r.bound(o.Size(), offset, length)
	return r, nil
}

// noRange says what it means that an object has no such range.
func noRange(err error) error {
	if err == errRange {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A reader reads left more bytes of an object.
type reader struct {
	ctx   context.Context
	store *Store
	body  io.ReadCloser // nil when there is nothing to read
	left  int64
	short bool // the object ends before the range asked for
}

func newReader(ctx context.Context, s *Store, size, offset, length int64) *reader {
	r := &reader{ctx: ctx, store: s}
	r.bound(size, offset, length)
	return r
}

func (r *reader) bound(size, offset, length int64) {
	r.left = max(0, size-offset)
	r.short = length > r.left || offset > size
	if length >= 0 {
		r.left = min(r.left, length)
	}
}

// open has the bytes come. A body that comes after the context ended is closed.
func (r *reader) open(o fs.Object, options ...fs.OpenOption) error {
	s := r.store
	return s.do(r.ctx, func(ctx context.Context, f fs.Fs) error {
		o, err := s.own(ctx, f, o)
		if err != nil {
			return err
		}
		body, err := await(ctx, func() (io.ReadCloser, error) { return o.Open(ctx, options...) }, func(b io.ReadCloser) { _ = b.Close() })
		r.body = body
		return err
	})
}

func (r *reader) Read(p []byte) (int, error) {
	switch {
	case r.ctx.Err() != nil:
		return 0, r.ctx.Err()
	case r.left == 0 && r.short:
		return 0, io.ErrUnexpectedEOF
	case r.left == 0:
		return 0, io.EOF
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.store.received.Add(int64(n))
	switch {
	case err == nil, r.left == 0:
		return n, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = &failure{kind: cloud.ErrUnreachable, text: fmt.Sprintf("the download was cut off %d bytes early", r.left)}
	}
	return n, fmt.Errorf("cloud/rclone: reading: %w", r.store.classify(r.ctx, err))
}

func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	// What is said of a body that was read, or is of no more use, is no
	// error of the store.
	_ = r.body.Close()
	return nil
}
