package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// upload is the body of a Put. The child sees its end only when it has as many
// bytes as were announced and the context still lives: so a body that fails, or is
// of another size, never becomes an object.
type upload struct {
	ctx  context.Context
	size int64

	mu      sync.Mutex // held while the body is read
	body    io.Reader
	left    int64
	err     error // the body's own
	stopped bool
}

func newUpload(ctx context.Context, body io.Reader, size int64) *upload {
	return &upload{ctx: ctx, size: size, body: body, left: size}
}

var errStopped = errors.New("cloud/process: the request has ended")

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return 0, errStopped
	}
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.body.Read(p)
	u.left -= int64(n)
	switch {
	case u.left < 0:
		u.err = fmt.Errorf("more than the %d bytes announced", u.size)
	case err == io.EOF && u.left > 0:
		u.err = fmt.Errorf("%d bytes less than the %d announced", u.left, u.size)
	case err == io.EOF && u.ctx.Err() == nil:
		return n, io.EOF
	case err == io.EOF:
		return n, u.ctx.Err()
	default:
		u.err = err
		return n, err
	}
	return 0, u.err
}

// Close is called by net/http, maybe while it reads.
func (u *upload) Close() error { return nil }

// stop waits until the body is not being read, and sees to it that it never is
// again: it is the caller's.
func (u *upload) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
}

// failed is the error of a Put that failed with err: the body's own comes first.
func (u *upload) failed(err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ctx.Err() != nil:
		return u.ctx.Err()
	case u.err != nil:
		return fmt.Errorf("cloud/process: reading the object to store: %w", u.err)
	}
	return err
}

// download is the body of a Get.
type download struct {
	a    *answer
	left int64 // bytes that may come
	all  bool  // whatever there is was asked for
	err  error
}

func newDownload(a *answer, length int64) *download {
	if length < 0 {
		return &download{a: a, left: MaxObject, all: true}
	}
	return &download{a: a, left: length}
}

func (d *download) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	n, err := d.a.body.Read(p)
	d.left -= int64(n)
	switch {
	case d.left < 0:
		n, d.err = 0, d.a.broken("more of an object than was asked for, or than one may have")
	case err == io.EOF:
		d.err = d.end()
	case err != nil:
		d.err = d.a.cut(err)
	}
	return n, d.err
}

func (d *download) end() error {
	if err := d.a.end(); err != nil {
		return err
	}
	if d.left > 0 && !d.all {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

func (d *download) Close() error { return d.a.Close() }
