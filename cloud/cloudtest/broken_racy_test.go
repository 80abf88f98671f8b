package cloudtest_test

import (
	"context"
	"errors"
	"io"
	"sync"

	"keepsake.example/cloud"
)

// Stores of which two writers of one name may both be told that they were the
// first, honest and broken ones.

// announced says that it is racy.
type announced struct{ cloud.Store }

func (announced) Traits() cloud.Traits { return cloud.Traits{Racy: true} }

func racy(store func(*memory) cloud.Store) func(*memory) cloud.Store {
	return func(m *memory) cloud.Store { return announced{store(m)} }
}

// oneStands looks before it takes the body, and keeps the last of those that come
// after.
func oneStands(m *memory) cloud.Store { return clobbersWhenRaced(m) }

// behind is a store that has, for each name, what lost the race.
type behind struct {
	mu   sync.Mutex
	lost map[string][]byte
}

func (b *behind) put(m *memory) func(context.Context, string, io.ReadSeeker, int64) error {
	return func(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
		_, before := m.Stat(ctx, name)
		err := m.Put(ctx, name, body, size)
		if before != nil && errors.Is(err, cloud.ErrExist) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lost[name] = m.Bytes(name)
			return nil
		}
		return err
	}
}

// listsBoth lists a name as often as there are objects of it.
func listsBoth(m *memory) cloud.Store {
	b := behind{lost: make(map[string][]byte)}
	return hooked{memory: m, put: b.put(m), list: func(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		infos, err := all(ctx, m, prefix)
		for _, info := range infos {
			if _, lost := b.lost[info.Name]; lost {
				infos = append(infos, info)
			}
		}
		return errors.Join(err, each(infos, fn))
	}}
}

// deletesOne shows what lost the race once what won is deleted.
func deletesOne(m *memory) cloud.Store {
	b := behind{lost: make(map[string][]byte)}
	return hooked{memory: m, put: b.put(m), del: func(ctx context.Context, name string) error {
		err := m.Delete(ctx, name)
		b.mu.Lock()
		defer b.mu.Unlock()
		if data, lost := b.lost[name]; lost && err == nil {
			delete(b.lost, name)
			m.Set(name, data)
		}
		return err
	}}
}
