package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"keepsake.example/cloud"
)

// big is the size of a pack of a backup.
const big = 16 << 20

// run tries what a backup needs, as package cloud says it.
func (c *checker) run(ctx context.Context) {
	traits := cloud.TraitsOf(c.store)
	c.report.Lag, c.report.Parallel = traits.Lag.Seconds(), traits.Parallel
	small := map[string][]byte{"head/check-1": random(40), "snap/check-2": random(1000), "data/check-3": random(70000)}
	pack := random(big)
	c.do("store", func() error { return c.putAll(ctx, small) })
	c.do("read back", func() error { return c.getAll(ctx, small) })
	c.do("list", func() error { return c.listed(ctx, small) })
	c.do("no overwriting", func() error { return c.noClobber(ctx, "head/check-1", small["head/check-1"]) })
	c.do("what is absent", func() error { return c.absent(ctx, "data/check-0") })
	c.do("latency", func() error { return c.latency(ctx, "head/check-1") })
	c.do("upload 16 MiB", func() error { return c.upload(ctx, "data/check-4", pack) })
	c.do("download 16 MiB", func() error { return c.download(ctx, "data/check-4", pack) })
	c.do("read parts", func() error { return c.parts(ctx, "data/check-4", pack) })
	c.do("delete", func() error { return c.deleteAll(ctx, small) })
	c.room(ctx)
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

func (c *checker) putAll(ctx context.Context, objects map[string][]byte) error {
	for name, body := range objects {
		if err := c.store.Put(ctx, name, bytes.NewReader(body), int64(len(body))); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) getAll(ctx context.Context, objects map[string][]byte) error {
	for name, body := range objects {
		if err := c.same(ctx, name, body, 0, -1); err != nil {
			return err
		}
	}
	return nil
}

// errOther is an object with other bytes than those stored.
var errOther = errors.New("the cloud gives back other bytes than it was given")

func (c *checker) same(ctx context.Context, name string, body []byte, offset, length int64) error {
	r, err := c.store.Get(ctx, name, offset, length)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(io.LimitReader(r, int64(len(body))+1))
	if err != nil {
		return err
	}
	want := body[offset:]
	if length >= 0 {
		want = want[:length]
	}
	if !bytes.Equal(got, want) {
		return errOther
	}
	return nil
}

// listed sees that a listing has the objects, and nothing else.
func (c *checker) listed(ctx context.Context, objects map[string][]byte) error {
	var got, want []string
	for name, body := range objects {
		want = append(want, fmt.Sprint(name, " ", len(body)))
	}
	err := c.store.List(ctx, "", func(i cloud.Info) error {
		got = append(got, fmt.Sprint(i.Name, " ", i.Size))
		return nil
	})
	slices.Sort(got)
	slices.Sort(want)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("a listing shows %d objects, not the %d stored", len(got), len(want))
	}
	return err
}

func (c *checker) noClobber(ctx context.Context, name string, body []byte) error {
	other := random(len(body))
	err := c.store.Put(ctx, name, bytes.NewReader(other), int64(len(other)))
	if !errors.Is(err, cloud.ErrExist) {
		return fmt.Errorf("an object was stored over another: %w", errors.Join(errOther, err))
	}
	return c.same(ctx, name, body, 0, -1)
}

func (c *checker) absent(ctx context.Context, name string) error {
	_, err := c.store.Stat(ctx, name)
	if !errors.Is(err, cloud.ErrNotExist) {
		return fmt.Errorf("asked for what was never stored, it says: %v", err)
	}
	return nil
}

func (c *checker) latency(ctx context.Context, name string) error {
	var took []time.Duration
	for range 5 {
		start := time.Now()
		r, err := c.store.Get(ctx, name, 0, 1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	c.report.Latency = took[len(took)/2].Seconds()
	return nil
}

func (c *checker) upload(ctx context.Context, name string, pack []byte) error {
	start := time.Now()
	err := c.store.Put(ctx, name, bytes.NewReader(pack), int64(len(pack)))
	c.report.Up = float64(len(pack)) / time.Since(start).Seconds()
	return err
}

func (c *checker) download(ctx context.Context, name string, pack []byte) error {
	start := time.Now()
	err := c.same(ctx, name, pack, 0, -1)
	c.report.Down = float64(len(pack)) / time.Since(start).Seconds()
	return err
}

func (c *checker) parts(ctx context.Context, name string, pack []byte) error {
	for _, p := range [][2]int64{{0, 1}, {1 << 20, 4096}, {big - 1, 1}, {big - 5, -1}} {
		if err := c.same(ctx, name, pack, p[0], p[1]); err != nil {
			return err
		}
	}
	return nil
}

// deleteAll sees that what is deleted is gone.
func (c *checker) deleteAll(ctx context.Context, objects map[string][]byte) error {
	for name := range objects {
		if err := c.store.Delete(ctx, name); err != nil {
			return err
		}
		if err := c.absent(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// room asks how much there is; many clouds do not say.
func (c *checker) room(ctx context.Context) {
	if s, err := c.store.About(ctx); err == nil && (s.Total >= 0 || s.Free >= 0 || s.Used >= 0) {
		c.report.Room = &roomTable{s.Total, s.Used, s.Free}
	}
}
