package cloudtest_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

// Stores that are broken elsewhere than in Put.

func ignoresContext(m *memory) cloud.Store {
	on := context.WithoutCancel
	return hooked{
		memory: m,
		put: func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
			return m.Put(on(ctx), name, body, size)
		},
		get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
			return m.Get(on(ctx), name, offset, length)
		},
		list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
			return m.List(on(ctx), prefix, fn)
		},
		del:  func(ctx context.Context, name string) error { return m.Delete(on(ctx), name) },
		stat: func(ctx context.Context, name string) (cloud.Info, error) { return m.Stat(on(ctx), name) },
	}
}

func forgetsDeletes(m *memory) cloud.Store {
	return hooked{memory: m, del: func(ctx context.Context, name string) error {
		_, err := m.Stat(ctx, name)
		return err
	}}
}

func deletesAbsent(m *memory) cloud.Store {
	return hooked{memory: m, del: func(ctx context.Context, name string) error {
		if err := m.Delete(ctx, name); !errors.Is(err, cloud.ErrNotExist) {
			return err
		}
		return nil
	}}
}

func deletesByPrefix(m *memory) cloud.Store {
	return hooked{memory: m, del: func(ctx context.Context, name string) error {
		err := m.Delete(ctx, name)
		for _, other := range m.Names() {
			if err == nil && strings.HasPrefix(other, name) {
				m.Remove(other)
			}
		}
		return err
	}}
}

func badIsAbsent(m *memory) cloud.Store {
	return hooked{memory: m, stat: func(ctx context.Context, name string) (cloud.Info, error) {
		if cloud.CheckName(name) != nil {
			return cloud.Info{}, cloud.ErrNotExist
		}
		return m.Stat(ctx, name)
	}}
}

func readsOn(m *memory) cloud.Store {
	return hooked{memory: m, get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return m.Get(context.WithoutCancel(ctx), name, offset, length)
	}}
}

func lyingOffset(m *memory) cloud.Store {
	return hooked{memory: m, get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
		if offset > 0 && length > 0 {
			offset = 0
		}
		return m.Get(ctx, name, offset, length)
	}}
}

func lyingLength(m *memory) cloud.Store {
	return hooked{memory: m, get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
		if length > 0 {
			length = -1
		}
		return m.Get(ctx, name, offset, length)
	}}
}

func quietEnd(m *memory) cloud.Store {
	return hooked{memory: m, get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
		r, err := m.Get(ctx, name, offset, length)
		cloudtest.EndQuietly(r)
		return r, err
	}}
}

// sharesPosition keeps one file open per object and seeks in it.
func sharesPosition(m *memory) cloud.Store {
	var mu sync.Mutex
	var pos int64
	return hooked{memory: m, get: func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
		if name != "data/shared" || length < 0 {
			return m.Get(ctx, name, offset, length)
		}
		mu.Lock()
		defer mu.Unlock()
		offset, pos = pos, offset
		return m.Get(ctx, name, offset, length)
	}}
}

// all is what m would list.
func all(ctx context.Context, m *memory, prefix string) (all []cloud.Info, err error) {
	err = m.List(ctx, prefix, func(i cloud.Info) error {
		all = append(all, i)
		return nil
	})
	return all, err
}

// each calls fn for infos until it fails.
func each(infos []cloud.Info, fn func(cloud.Info) error) error {
	for _, i := range infos {
		if err := fn(i); err != nil {
			return err
		}
	}
	return nil
}

func listsOnePage(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		all, err := all(ctx, m, prefix)
		return errors.Join(err, each(all[:min(len(all), 1000)], fn))
	}}
}

func listsTwice(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		all, err := all(ctx, m, prefix)
		if len(all) > 500 {
			all = slices.Insert(all, 500, all[499])
		}
		return errors.Join(err, each(all, fn))
	}}
}

// skipsWhenDeleting asks for the tenth page by number while the pages move up.
func skipsWhenDeleting(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		for page := 0; ; page += 50 {
			all, err := all(ctx, m, prefix)
			if err != nil || page >= len(all) {
				return err
			}
			if err := each(all[page:min(page+50, len(all))], fn); err != nil {
				return err
			}
		}
	}}
}

func listsFolders(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		return m.List(ctx, prefix[:strings.Index(prefix, "/")+1], fn)
	}}
}

func listsOn(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		all, err := all(ctx, m, prefix)
		for _, i := range all {
			err = errors.Join(err, fn(i))
		}
		return err
	}}
}

func hidesError(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		all, err := all(ctx, m, prefix)
		_ = each(all, fn)
		return err
	}}
}

func listsAnotherTime(m *memory) cloud.Store {
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		return m.List(ctx, prefix, func(i cloud.Info) error {
			i.ModTime = i.ModTime.Add(time.Second)
			return fn(i)
		})
	}}
}

// listsLate lists what was there when it was asked last.
func listsLate(m *memory) cloud.Store {
	var mu sync.Mutex
	last := make(map[string][]cloud.Info)
	return hooked{memory: m, list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		now, err := all(ctx, m, prefix)
		mu.Lock()
		before := last[prefix]
		last[prefix] = now
		mu.Unlock()
		return errors.Join(err, each(before, fn))
	}}
}

// listsDeleted goes on listing what was deleted.
func listsDeleted(m *memory) cloud.Store {
	var mu sync.Mutex
	ever := make(map[string]cloud.Info)
	remember := func(ctx context.Context) error {
		all, err := all(ctx, m, "")
		mu.Lock()
		defer mu.Unlock()
		for _, i := range all {
			ever[i.Name] = i
		}
		return err
	}
	return hooked{
		memory: m,
		del: func(ctx context.Context, name string) error {
			return errors.Join(remember(context.WithoutCancel(ctx)), m.Delete(ctx, name))
		},
		list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
			if err := remember(ctx); err != nil {
				return err
			}
			mu.Lock()
			all := slices.Collect(maps.Values(ever))
			mu.Unlock()
			all = slices.DeleteFunc(all, func(i cloud.Info) bool { return !strings.HasPrefix(i.Name, prefix) })
			return each(all, fn)
		},
	}
}

// listsEarly lists an object while its bytes are still coming.
func listsEarly(m *memory) cloud.Store {
	var mu sync.Mutex
	coming := make(map[string]int)
	announce := func(name string, n int) {
		mu.Lock()
		defer mu.Unlock()
		coming[name] += n
	}
	put := func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		announce(name, 1)
		defer announce(name, -1)
		return m.Put(ctx, name, body, size)
	}
	list := func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		all, err := all(ctx, m, prefix)
		mu.Lock()
		for name, n := range coming {
			if n > 0 {
				all = append(all, cloud.Info{Name: name})
			}
		}
		mu.Unlock()
		return errors.Join(err, each(all, fn))
	}
	return hooked{memory: m, put: put, list: list}
}
