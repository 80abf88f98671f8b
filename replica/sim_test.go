package replica_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"keepsake.example/anchor"
	"keepsake.example/replica"
)

// A world is a disk and an anchor in memory, whose power can be cut, or of which one
// step can fail, between any two durable steps. What was not synced when the
// power goes is lost, kept or torn, at random.
type world struct {
	mu    sync.Mutex
	step  int
	limit int   // the step that fails; 0: none
	fault error // errPower: all steps after fail too
	trace []string
	open  atomic.Int32 // files without a name

	now, durable map[string]*simFile // names, as seen and as they are after a power cut
	anchored     *simAnchor
}

var (
	errPower = errors.New("the power is gone")
	errIO    = errors.New("input/output error")
)

// simFile is one file; its synced bytes and the writes since.
type simFile struct {
	data    []byte
	synced  []byte
	pending []write
}

type write struct {
	at   int64
	data []byte
}

type simAnchor struct {
	w       *world
	founded bool
	state   anchor.State
	key     [anchor.KeySize]byte
	closed  bool
}

func newWorld() *world {
	w := &world{now: map[string]*simFile{}, durable: map[string]*simFile{}}
	w.anchored = &simAnchor{w: w}
	return w
}

// next counts one step that is about to be done, and says whether it fails.
func (w *world) next(what string) error {
	w.step++
	w.trace = append(w.trace, what)
	if w.limit == 0 || w.step < w.limit || w.step > w.limit && !errors.Is(w.fault, errPower) {
		return nil
	}
	return w.fault
}

func (w *world) locked(what string, f func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.next(what); err != nil {
		return err
	}
	return f()
}

// after is the world after a power cut now.
func (w *world) after(random *rand.Rand) *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := newWorld()
	n.anchored.founded, n.anchored.state, n.anchored.key = w.anchored.founded, w.anchored.state, w.anchored.key
	names := maps.Clone(w.durable)
	for name := range w.durable {
		if w.now[name] != w.durable[name] && random.IntN(2) == 0 {
			delete(names, name)
		}
	}
	for name, f := range w.now {
		if w.durable[name] != f && random.IntN(2) == 0 {
			names[name] = f
		}
	}
	for name, f := range names {
		data := f.cut(random)
		n.now[name] = &simFile{data: data, synced: slices.Clone(data)}
	}
	n.durable = maps.Clone(n.now)
	return n
}

// cut is what a disk holds of a file: of each write that was not synced, any
// part, in sectors.
func (f *simFile) cut(random *rand.Rand) []byte {
	const sector = 512
	data := slices.Clone(f.synced)
	for _, w := range f.pending {
		how := random.IntN(3)
		for from := int64(0); from < int64(len(w.data)); {
			to := min(from+sector-(w.at+from)%sector, int64(len(w.data)))
			if how == 0 || how == 1 && random.IntN(2) == 0 {
				copy(data[min(w.at+from, int64(len(data))):], w.data[from:to])
			}
			from = to
		}
	}
	return data
}

// The disk.

func (w *world) List() (names []string, err error) {
	err = w.locked("list", func() error {
		names = slices.Collect(maps.Keys(w.now))
		return nil
	})
	return names, err
}

func (w *world) Open(name string) (f replica.File, err error) {
	err = w.locked("open", func() error {
		file, ok := w.now[name]
		if !ok {
			return fs.ErrNotExist
		}
		f = simOpen{w, file}
		return nil
	})
	return f, err
}

func (w *world) Create() (d replica.Draft, err error) {
	err = w.locked("create", func() error {
		d = &simDraft{w: w, file: &simFile{}}
		return nil
	})
	return d, err
}

func (w *world) Remove(names ...string) error {
	for _, name := range names {
		if err := w.locked("unlink", func() error { delete(w.now, name); return nil }); err != nil {
			return err
		}
	}
	return w.syncNames()
}

func (w *world) syncNames() error {
	return w.locked("sync folder", func() error { w.durable = maps.Clone(w.now); return nil })
}

func (w *world) Close() error { return nil }

type simDraft struct {
	w    *world
	file *simFile
}

func (d *simDraft) Write(p []byte) (int, error) {
	err := d.w.locked("write draft", func() error { d.file.data = append(d.file.data, p...); return nil })
	return len(p), err
}

func (d *simDraft) Sync() error {
	return d.w.locked("sync draft", func() error { d.file.synced = nil; return d.file.sync() })
}

func (d *simDraft) Publish(name string) error {
	steps := []func() error{
		d.Sync,
		func() error {
			return d.w.locked("rename", func() error {
				if _, ok := d.w.now[name]; ok {
					return fs.ErrExist
				}
				d.w.now[name] = d.file
				return nil
			})
		},
		d.w.syncNames,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *simDraft) Close() error { return nil }

func (f *simFile) sync() error {
	if f.synced == nil {
		f.synced = slices.Clone(f.data)
	}
	for _, w := range f.pending {
		copy(f.synced[w.at:], w.data)
	}
	f.pending = nil
	return nil
}

type simOpen struct {
	w    *world
	file *simFile
}

func (o simOpen) ReadAt(p []byte, at int64) (n int, err error) {
	err = o.w.locked("read", func() error {
		if at < int64(len(o.file.data)) {
			n = copy(p, o.file.data[at:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (o simOpen) WriteAt(p []byte, at int64) (int, error) {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	err := o.w.next("write")
	if !errors.Is(err, errIO) && (err == nil || o.w.step == o.w.limit) { // the power goes while the disk writes
		copy(o.file.data[at:], p)
		o.file.pending = append(o.file.pending, write{at, slices.Clone(p)})
	}
	return len(p), err
}

func (o simOpen) Sync() error { return o.w.locked("sync", o.file.sync) }

func (o simOpen) Size() (n int64, err error) {
	err = o.w.locked("size", func() error { n = int64(len(o.file.data)); return nil })
	return n, err
}

func (o simOpen) Close() error { return nil }

// The anchor: a step can be done although its caller hears nothing of it.

func (a *simAnchor) change(ctx context.Context, what string, f func() error) error {
	if a.closed || ctx.Err() != nil {
		return errors.Join(ctx.Err(), fs.ErrClosed)
	}
	if err := a.w.locked(what, f); err != nil {
		return err
	}
	return a.w.locked(what+", hear of it", func() error { return nil })
}

func (a *simAnchor) Read(context.Context) (s anchor.State, k *anchor.Key, err error) {
	if a.closed {
		return s, nil, fs.ErrClosed
	}
	err = a.w.locked("read anchor", func() error {
		if !a.founded {
			return anchor.ErrEmpty
		}
		s, k = a.state, anchor.KeyFromBytes(a.key)
		return nil
	})
	return s, k, err
}

func (a *simAnchor) set(s anchor.State, k *anchor.Key) error {
	a.founded, a.state = true, s
	if k != nil {
		k.Use(func(secret *[anchor.KeySize]byte) { a.key = *secret })
	}
	return nil
}

func (a *simAnchor) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return a.change(ctx, "found", func() error {
		if a.founded {
			return anchor.ErrFounded
		}
		return a.set(s, k)
	})
}

func (a *simAnchor) Advance(ctx context.Context, s anchor.State) error {
	return a.Rotate(ctx, s, nil)
}

func (a *simAnchor) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	what := "advance"
	if k != nil {
		what = "rotate"
	}
	return a.change(ctx, what, func() error {
		if !a.founded {
			return anchor.ErrEmpty
		}
		if s.Counter != a.state.Counter+1 {
			return anchor.ErrStale
		}
		return a.set(s, k)
	})
}

func (a *simAnchor) Describe() anchor.Description {
	return anchor.Description{Name: "simulated", Protects: "as told"}
}

func (a *simAnchor) Close() error { a.closed = true; return nil }
