package rclone

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rclone/rclone/fs"

	"keepsake.example/cloud"
)

// Stat is cloud.Store.Stat.
func (s *Store) Stat(ctx context.Context, name string) (cloud.Info, error) {
	info, err := s.stat(ctx, name)
	if err != nil {
		return cloud.Info{}, fmt.Errorf("cloud/rclone: looking at %s: %w", name, err)
	}
	return info, nil
}

func (s *Store) stat(ctx context.Context, name string) (cloud.Info, error) {
	if err := check(ctx, name); err != nil {
		return cloud.Info{}, err
	}
	if c, ok := s.known.lately(name); ok {
		if c.gone {
			return cloud.Info{}, cloud.ErrNotExist
		}
		return c.info, nil
	}
	objects, err := s.lookup(ctx, name)
	if err != nil {
		return cloud.Info{}, s.absent(ctx, err)
	}
	return describe(ctx, name, objects[0]), nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return cloud.CheckName(name)
}

// lookup asks the cloud for the objects of a name. None is
// cloud.ErrNotExist, which says nothing before absent agrees.
func (s *Store) lookup(ctx context.Context, name string) ([]fs.Object, error) {
	if s.kind.blind || s.kind.duplicates && !random(name) {
		return s.lookupAll(ctx, name)
	}
	o, err := s.object(ctx, name)
	if err != nil {
		return nil, err
	}
	objects := []fs.Object{o}
	s.known.found(name, objects)
	return objects, nil
}

// object asks for one object, of which there is one but where there are
// duplicates.
func (s *Store) object(ctx context.Context, name string) (o fs.Object, err error) {
	err = s.do(ctx, func(ctx context.Context, f fs.Fs) error {
		if o, err = f.NewObject(ctx, name); err != nil || !s.kind.lazy {
			return err
		}
		// Nothing was asked yet.
		described, ok := o.(fs.Metadataer)
		if !ok {
			return fmt.Errorf("%s describes no objects", s.config.Backend)
		}
		_, err = described.Metadata(ctx)
		return err
	})
	return o, err
}

// lookupAll finds every object of a name by listing its folder: one that is
// small, where searches by name show one and lag behind; or any, where a back
// end knows no other way, and then all that it lists is remembered.
func (s *Store) lookupAll(ctx context.Context, name string) ([]fs.Object, error) {
	folder := path.Dir(name)
	if folder == "." {
		folder = ""
	}
	prefix := name
	if s.kind.blind {
		prefix = ""
	}
	if _, err := s.fetch(ctx, folder, false, prefix); err != nil {
		return nil, err
	}
	e, ok := s.known.get(name)
	if !ok {
		return nil, cloud.ErrNotExist
	}
	return e.objects, nil
}

// random says that a name is one of very many, each made up and used once
// (spec/backup-format.md section 2).
func random(name string) bool {
	return strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/")
}

// absent is asked about the error of one object. That there is none means
// something only if the store still is there.
func (s *Store) absent(ctx context.Context, err error) error {
	if !errors.Is(err, cloud.ErrNotExist) {
		return err
	}
	if gone := s.alive(ctx); gone != nil {
		return gone
	}
	return err
}

// alive looks for the marker.
func (s *Store) alive(ctx context.Context) error {
	_, err := s.object(ctx, cloud.Marker)
	if errors.Is(err, cloud.ErrNotExist) {
		if s.markedLately(ctx) {
			return nil
		}
		return s.unmarked()
	}
	return err
}

// mark is the marker this Store made, and when.
type mark struct {
	o  fs.Object
	at time.Time
}

// markedLately says whether this Store has made the marker so lately that the
// cloud may not show it, and that it is still there: what is asked for by an
// identifier, as this object is, does not lag.
func (s *Store) markedLately(ctx context.Context) bool {
	s.mu.Lock()
	m := s.mark
	s.mu.Unlock()
	if m.o == nil || time.Since(m.at) > s.kind.traits.Lag {
		return false
	}
	r, err := s.openSized(ctx, m.o, 0, 1)
	if err != nil {
		return false
	}
	return r.Close() == nil
}

// errUnmarked is the cause where the marker is not there.
var errUnmarked = errors.New("no marker")

func (s *Store) unmarked() error {
	return &failure{kind: cloud.ErrUnreachable, text: s.withoutMarker(), cause: errUnmarked}
}

func (s *Store) withoutMarker() string {
	return fmt.Sprintf("%s has no file %s; is it the right folder?", s.place(), cloud.Marker)
}

// place is what to call the store in errors.
func (s *Store) place() string {
	if s.config.Root == "" {
		return "the cloud"
	}
	return s.config.Root
}

// Delete is cloud.Store.Delete. Every object of the name is removed.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := s.remove(ctx, name); err != nil {
		return fmt.Errorf("cloud/rclone: deleting %s: %w", name, err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	unlock, err := s.names.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	e, cached := s.known.get(name)
	mine, lately := s.known.lately(name)
	if lately && mine.gone {
		return cloud.ErrNotExist
	}
	if !cached {
		if e.objects, err = s.lookup(ctx, name); err != nil {
			if err = s.absent(ctx, err); lately {
				err = notYet(err)
			}
			return err
		}
		e.listed = !random(name)
	}
	if err := s.removeAll(ctx, name, e); err != nil {
		if errors.Is(err, cloud.ErrNotExist) {
			s.known.lost(name)
		}
		return s.absent(ctx, err)
	}
	s.known.deleted(name)
	return nil
}

// removeAll removes objects, and then those the cloud still has under the
// name and did not show. A search that lags may show again what was removed.
// The one that stands for the name goes last: a listing that lags, or a
// process that dies, must not show one that was cut short in its place.
func (s *Store) removeAll(ctx context.Context, name string, e entry) error {
	tried, some := make(map[string]bool), false
	for objects := e.objects; len(objects) > 0; {
		for _, o := range slices.Backward(objects) {
			err := s.change(ctx, func(ctx context.Context, f fs.Fs) error {
				o, err := s.own(ctx, f, o)
				if err != nil {
					return err
				}
				return o.Remove(ctx)
			})
			// Somebody else may have removed one of several. Any other failure is that of them all, whenever it comes: one is still there.
			if err != nil && !errors.Is(err, cloud.ErrNotExist) {
				return err
			}
			some = some || err == nil
			tried[identity(o)] = true
		}
		objects = nil
		if s.kind.duplicates && !e.listed {
			if o, err := s.object(ctx, name); err == nil && !tried[identity(o)] {
				objects = []fs.Object{o}
			}
		}
	}
	if !some {
		return cloud.ErrNotExist
	}
	return nil
}
