package cloudtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

// Stores whose Put is broken.

func clobbers(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		return overwrite(ctx, m, name, body, size)
	}}
}

func overwrite(ctx context.Context, m *memory, name string, body io.Reader, size int64) error {
	if err := cloudtest.CheckName(ctx, name); err != nil {
		return err
	}
	data, err := cloudtest.ReadExactly(ctx, body, size)
	if err != nil {
		return err
	}
	m.Set(name, data)
	return nil
}

// clobbersWhenRaced looks first and stores afterwards.
func clobbersWhenRaced(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		if _, err := m.Stat(ctx, name); err == nil {
			return cloud.ErrExist
		}
		return overwrite(ctx, m, name, body, size)
	}}
}

func clobbersWithNothing(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		if size == 0 {
			return overwrite(ctx, m, name, body, size)
		}
		return m.Put(ctx, name, body, size)
	}}
}

// mixesWriters keeps what losing writers wrote over the winner's first bytes.
func mixesWriters(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		_, before := m.Stat(ctx, name)
		err := m.Put(ctx, name, body, size)
		if before != nil && errors.Is(err, cloud.ErrExist) {
			data := m.Bytes(name)
			m.Set(name, append([]byte("loser"), data[5:]...))
		}
		return err
	}}
}

// showsPart shows the first bytes as soon as it has them, and hides them again
// should the rest not come.
func showsPart(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		_, err := m.Stat(ctx, name)
		if size < 1<<20 || !errors.Is(err, cloud.ErrNotExist) {
			return m.Put(ctx, name, body, size)
		}
		head := make([]byte, 1<<19)
		n, _ := io.ReadFull(body, head)
		m.Set(name, head[:n])
		rest, err := cloudtest.ReadExactly(ctx, body, size-int64(n))
		m.Remove(name)
		if err != nil {
			return err
		}
		m.Set(name, append(head[:n], rest...))
		return nil
	}}
}

func keepsShort(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		data, err := io.ReadAll(body)
		if err != nil || int64(len(data)) >= size {
			return m.Put(ctx, name, &replay{bytes.NewReader(data), err}, size)
		}
		return m.Put(ctx, name, bytes.NewReader(data), int64(len(data)))
	}}
}

// replay gives what was read and then the error that reading ended with.
type replay struct {
	*bytes.Reader
	err error
}

func (r *replay) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.err != nil {
		err = r.err
	}
	return n, err
}

func cutsLong(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		data, err := io.ReadAll(body)
		data = data[:min(int64(len(data)), max(size, 0))]
		return m.Put(ctx, name, &replay{bytes.NewReader(data), err}, size)
	}}
}

func keepsHalf(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		data, err := io.ReadAll(body)
		if err != nil && cloudtest.CheckName(ctx, name) == nil {
			m.Set(name, data)
			return err
		}
		return m.Put(ctx, name, bytes.NewReader(data), size)
	}}
}

func blamesCloud(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		data, err := io.ReadAll(body)
		if err != nil {
			return errors.Join(cloud.ErrUnreachable, err)
		}
		return m.Put(ctx, name, bytes.NewReader(data), size)
	}}
}

func finishesCancelled(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return m.Put(context.WithoutCancel(ctx), name, body, size)
	}}
}

func takesAnyName(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		if cloud.CheckName(name) != nil {
			m.Set(name, []byte("x"))
			return nil
		}
		return m.Put(ctx, name, body, size)
	}}
}

func cutsNames(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		if len(name) == cloud.MaxName {
			name = name[:cloud.MaxName-1]
		}
		return m.Put(ctx, name, body, size)
	}}
}

// noEmpty says yes to an empty object and keeps none.
func noEmpty(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		_, err := m.Stat(ctx, name)
		if n, _ := io.CopyN(io.Discard, body, 1); errors.Is(err, cloud.ErrNotExist) && size == 0 && n == 0 {
			return nil
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return m.Put(ctx, name, body, size)
	}}
}

// losesRaced drops one of sixteen objects that come at once.
func losesRaced(m *memory) cloud.Store {
	var mu sync.Mutex
	writers := 0
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		mu.Lock()
		writers++
		n := writers
		mu.Unlock()
		if n == 13 && size >= 100_000 && size < 100_016 {
			return nil
		}
		return m.Put(ctx, name, body, size)
	}}
}

func corruptsBig(m *memory) cloud.Store {
	return hooked{memory: m, put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		err := m.Put(ctx, name, body, size)
		if err == nil && size > 16<<20 {
			data := m.Bytes(name)
			data[17<<20] ^= 1
		}
		return err
	}}
}
