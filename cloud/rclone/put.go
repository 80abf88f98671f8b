package rclone

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	icloud "github.com/rclone/rclone/backend/iclouddrive/api"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/fs/object"

	"keepsake.example/cloud"
)

// MaxObject is the size of the largest object that can be put, in bytes: Put
// holds an object in memory, to know its bytes before the first is sent. A
// pack is 16 MiB and a bit (spec/backup-format.md section 8).
const MaxObject = 64 << 20

// Put is cloud.Store.Put. It holds the object in memory.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := s.put(ctx, name, body, size); err != nil {
		return fmt.Errorf("cloud/rclone: putting %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, body io.Reader, size int64) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	data, err := load(ctx, body, size)
	if err != nil {
		return err
	}
	unlock, err := s.names.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.refuse(ctx, name); err != nil {
		return err
	}
	o, err := s.store(ctx, name, data)
	if err != nil {
		// A folder that is not there is the cloud's absence, not the object's.
		return s.gone(err)
	}
	s.known.put(o, describe(ctx, name, o))
	return nil
}

// load reads a body whole: not a byte of one that fails, or is not as long as
// announced, is sent.
func load(ctx context.Context, body io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > MaxObject {
		return nil, fmt.Errorf("an object of %d bytes is none that can be put", size)
	}
	data := make([]byte, size)
	n, err := io.ReadFull(body, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("object is %d bytes shorter than the %d announced", size-int64(n), size)
	}
	if err == nil {
		var more [1]byte
		if n, err = io.ReadFull(body, more[:]); n > 0 {
			return nil, errors.New("object is longer than announced")
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the object's bytes: %w", err)
	}
	return data, ctx.Err()
}

// refuse is ErrExist if name can be known to be taken. Nothing is asked for
// names made up at random; where the cloud itself refuses, not for any.
func (s *Store) refuse(ctx context.Context, name string) error {
	if c, ok := s.known.lately(name); ok {
		if c.gone {
			return nil // the cloud may still show it
		}
		return cloud.ErrExist
	}
	if random(name) {
		if _, taken := s.known.get(name); taken && s.kind.clobber == asked {
			return cloud.ErrExist
		}
		return nil
	}
	if err := s.prove(ctx); err != nil {
		return err
	}
	if !s.asks.Load() {
		return nil
	}
	_, err := s.lookup(ctx, name)
	switch {
	case err == nil:
		return cloud.ErrExist
	case errors.Is(err, cloud.ErrNotExist):
		return nil
	}
	return err
}

// prove finds out, once, whether the cloud refuses to clobber, by putting the
// marker over itself.
func (s *Store) prove(ctx context.Context) error {
	if s.kind.clobber != refused || s.proven.Load() || s.asks.Load() {
		return nil
	}
	s.probed.Lock()
	defer s.probed.Unlock()
	if s.proven.Load() || s.asks.Load() {
		return nil
	}
	_, err := s.upload(ctx, nil, cloud.Marker, []byte(markerText))
	switch {
	case errors.Is(err, cloud.ErrExist):
		s.proven.Store(true)
	case err != nil:
		return err
	default:
		s.asks.Store(true)
	}
	return nil
}

// store sends an object, so that it is seen whole or not at all.
func (s *Store) store(ctx context.Context, name string, data []byte) (fs.Object, error) {
	if s.kind.inPlace {
		return s.storeMoved(ctx, name, data)
	}
	o, err := s.upload(ctx, nil, name, data)
	if err != nil {
		return nil, err
	}
	return o, s.compare(ctx, o, data)
}

// storeMoved sends an object under a temporary name and moves it.
func (s *Store) storeMoved(ctx context.Context, name string, data []byte) (fs.Object, error) {
	folder, leaf := path.Split(name)
	view, err := s.below(ctx, strings.TrimSuffix(folder, "/"))
	if err != nil {
		return nil, s.classify(ctx, err)
	}
	if view == nil {
		// rclone makes folders that are missing. Those of a disk that was
		// unmounted must not come back as empty ones beside it.
		if err := s.alive(ctx); err != nil && name != cloud.Marker {
			return nil, err
		}
		leaf = name
	}
	o, err := s.upload(ctx, view, path.Join(path.Dir(leaf), temporary+rand.Text()), data)
	if err != nil {
		return nil, s.perhapsFull(ctx, err, int64(len(data)))
	}
	moved, err := s.move(ctx, view, o, leaf)
	if err != nil {
		s.discard(ctx, o)
	}
	return moved, err
}

// upload is one object's way to the cloud, or into a view of a folder in it.
func (s *Store) upload(ctx context.Context, view fs.Fs, remote string, data []byte) (o fs.Object, err error) {
	info := object.NewStaticObjectInfo(remote, time.Now(), int64(len(data)), true, s.sums(data), nil).WithMimeType("application/octet-stream")
	var options []fs.OpenOption
	if s.kind.clobber == refused {
		options = append(options, &fs.HTTPOption{Key: "If-None-Match", Value: "*"})
	}
	err = s.change(ctx, func(ctx context.Context, f fs.Fs) (err error) {
		if view != nil {
			f = view
		}
		body := &sentBytes{ctx: ctx, store: s, Reader: bytes.NewReader(data)}
		switch unchecked := f.Features().PutUnchecked; {
		case s.kind.blind:
			o, err = putBlind(ctx, f, body, info)
		case unchecked != nil:
			o, err = unchecked(ctx, body, info, options...)
		default:
			o, err = f.Put(ctx, body, info, options...)
		}
		return err
	})
	if err != nil && s.kind.inPlace {
		s.discardRemote(ctx, view, remote)
	}
	return o, err
}

// sums are what goes along with the bytes, for the cloud to check.
func (s *Store) sums(data []byte) map[hash.Type]string {
	kinds := s.current().Hashes().Overlap(hash.NewHashSet(hash.MD5, hash.SHA1))
	if s.kind.inPlace || kinds.Count() == 0 {
		return nil
	}
	sums, err := hash.StreamTypes(bytes.NewReader(data), kinds)
	if err != nil {
		return nil // cannot be: the bytes are in memory
	}
	return sums
}

// compare compares what the cloud says it has with what was sent.
func (s *Store) compare(ctx context.Context, o fs.Object, data []byte) error {
	if s.kind.sum == hash.None {
		return nil
	}
	theirs, err := o.Hash(ctx, s.kind.sum)
	if err != nil || theirs == "" {
		return nil // it does not say: package backup will see when it reads
	}
	ours, err := hash.StreamTypes(bytes.NewReader(data), hash.NewHashSet(s.kind.sum))
	if err != nil || hash.Equals(ours[s.kind.sum], theirs) {
		return err
	}
	s.discard(ctx, o)
	return &failure{kind: cloud.ErrUnreachable, text: "the cloud received other bytes than were sent"}
}

// putBlind puts into iCloud without looking what is there: rclone's Put lists
// the whole folder first, and throws an object of that name away.
func putBlind(ctx context.Context, f fs.Fs, body io.Reader, info fs.ObjectInfo) (fs.Object, error) {
	maker, ok := f.(interface {
		NewObjectFromDriveItem(ctx context.Context, remote string, item *icloud.DriveItem) (fs.Object, error)
	})
	if !ok {
		return f.Put(ctx, body, info)
	}
	o, err := maker.NewObjectFromDriveItem(ctx, info.Remote(), &icloud.DriveItem{Type: "FILE"})
	if err != nil {
		return nil, err
	}
	return o, o.Update(ctx, body, info)
}

func (s *Store) move(ctx context.Context, view fs.Fs, o fs.Object, name string) (moved fs.Object, err error) {
	err = s.change(ctx, func(ctx context.Context, f fs.Fs) (err error) {
		if view != nil {
			f = view
		}
		move := f.Features().Move
		if move == nil {
			return errors.New("the server cannot move")
		}
		moved, err = move(ctx, o, name)
		return err
	})
	return moved, err
}

// discard removes what a failed Put left, however its context ended. It does
// not keep the caller waiting; what stays is found by a later sweep.
func (s *Store) discard(ctx context.Context, o fs.Object) {
	s.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lingering)
		defer cancel()
		_ = s.do(ctx, func(ctx context.Context, _ fs.Fs) error { return o.Remove(ctx) })
	})
}

func (s *Store) discardRemote(ctx context.Context, view fs.Fs, remote string) {
	s.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lingering)
		defer cancel()
		_ = s.do(ctx, func(ctx context.Context, f fs.Fs) error {
			if view != nil {
				f = view
			}
			o, err := f.NewObject(ctx, remote)
			if err != nil {
				return err
			}
			return o.Remove(ctx)
		})
	})
}

// sentBytes counts what a back end takes, and ends with the context, which
// SFTP's does not look at while it sends.
type sentBytes struct {
	ctx   context.Context
	store *Store
	*bytes.Reader
}

func (b *sentBytes) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.Reader.Read(p)
	b.store.sent.Add(int64(n))
	return n, err
}

// WriteTo would pass Read by.
func (b *sentBytes) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}
