package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"keepsake.example/cloud"
)

// Memory is the plainest store that keeps every promise, for tests that need one.
// The broken stores of the suite's own tests are this one with one promise broken.
type Memory struct {
	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	data []byte
	at   time.Time
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{objects: make(map[string]object)} }

func checkName(ctx context.Context, name string) error {
	return errors.Join(ctx.Err(), cloud.CheckName(name))
}

// Put is cloud.Store's.
func (m *Memory) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := checkName(ctx, name); err != nil {
		return err
	}
	data, err := readExactly(ctx, body, size)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.objects[name]; there {
		return cloud.ErrExist
	}
	m.objects[name] = object{data, time.Now()}
	return nil
}

func readExactly(ctx context.Context, body io.Reader, size int64) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, max(size, 0)+bytes.MinRead))
	_, err := buf.ReadFrom(body)
	data := buf.Bytes()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("reading body: %w", err)
	case int64(len(data)) != size:
		return nil, errors.New("wrong size")
	}
	return data, nil
}

func (m *Memory) find(ctx context.Context, name string) (object, error) {
	if err := checkName(ctx, name); err != nil {
		return object{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, there := m.objects[name]
	if !there {
		return object{}, cloud.ErrNotExist
	}
	return o, nil
}

// Stat is cloud.Store's.
func (m *Memory) Stat(ctx context.Context, name string) (cloud.Info, error) {
	o, err := m.find(ctx, name)
	return cloud.Info{Name: name, Size: int64(len(o.data)), ModTime: o.at}, err
}

// Get is cloud.Store's.
func (m *Memory) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := m.find(ctx, name)
	size := int64(len(o.data))
	switch {
	case err != nil:
		return nil, err
	case offset < 0:
		return nil, errors.New("negative offset")
	case length == 0:
		return io.NopCloser(strings.NewReader("")), nil
	case offset > size:
		return nil, io.ErrUnexpectedEOF
	case length < 0:
		length = size - offset
	}
	data := o.data[offset:]
	short := int64(len(data)) < length
	return &memoryReader{ctx, bytes.NewReader(data[:min(length, int64(len(data)))]), short}, nil
}

type memoryReader struct {
	ctx   context.Context
	r     *bytes.Reader
	short bool
}

func (r *memoryReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err == io.EOF && r.short {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *memoryReader) Close() error { return nil }

// List is cloud.Store's.
func (m *Memory) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	objects := maps.Clone(m.objects)
	m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		o := objects[name]
		if err := fn(cloud.Info{Name: name, Size: int64(len(o.data)), ModTime: o.at}); err != nil {
			return err
		}
	}
	return nil
}

// Delete is cloud.Store's.
func (m *Memory) Delete(ctx context.Context, name string) error {
	if _, err := m.find(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}
