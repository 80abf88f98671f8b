package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"

	"keepsake.example/cloud"
)

// put has the whole object in memory before the store sees any of it, so that the
// store can read it again, hash it first, and never waits for the other end.
func (s *server) put(_ *ending, r request) error {
	size := r.ContentLength
	if size < 0 || size > MaxObject {
		return fmt.Errorf("an object of %d bytes", size)
	}
	buf, err := s.upload(r)
	if err != nil {
		return err
	}
	defer func() { s.uploads <- buf }()
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r.Body, buf); err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	// Only the end of the body says that the other end meant it.
	if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return errors.New("the object does not end where it should")
	}
	return r.store.Put(r.Context(), r.name, bytes.NewReader(buf), size)
}

// upload waits for a place among the uploads, and gives the buffer that comes with it.
func (s *server) upload(r request) ([]byte, error) {
	select {
	case buf := <-s.uploads:
		return buf, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *server) get(w *ending, r request) error {
	offset, length, err := decodeRange(r.URL.RawQuery)
	if err != nil {
		return err
	}
	body, err := r.store.Get(r.Context(), r.name, offset, length)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 256<<10))
	return errors.Join(err, body.Close())
}

func (s *server) remove(_ *ending, r request) error { return r.store.Delete(r.Context(), r.name) }

func (s *server) stat(w *ending, r request) error {
	info, err := r.store.Stat(r.Context(), r.name)
	if err != nil {
		return err
	}
	return w.describe(info)
}

func (s *server) list(w *ending, r request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	return r.store.List(r.Context(), query.Get("prefix"), func(i cloud.Info) error { return w.describe(i) })
}

func (a *ending) describe(i cloud.Info) error {
	line, err := encodeInfo(i)
	if err != nil {
		return err
	}
	_, err = a.Write(line)
	return err
}
