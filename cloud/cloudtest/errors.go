package cloudtest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"keepsake.example/cloud"
)

// ErrorCase is one way in which what is behind a store fails, and what the store
// has to make of it.
type ErrorCase struct {
	Name string
	// Open returns a store, whose every request fails from now on, and what
	// ends that, or nil.
	Open func(t *testing.T) (s cloud.Store, mend func())
	// Want is the one error of package cloud that is wrapped.
	Want error
	// After is what a DelayError says; 0 wants none.
	After time.Duration
	// Methods are those that are tried; without any, all five. A full store
	// still reads, and lists.
	Methods []string
}

// RunErrors checks how failures are told apart: whether to come back later, to
// make room, to sign in, or that an object is gone, is decided by the kind of
// error alone.
//
// That the whole place is gone (a bucket that was removed, a folder) is no
// ErrNotExist, which would say of each object that it is lost: it is
// ErrUnreachable, as for a disk that is not mounted.
func RunErrors(t *testing.T, cases []ErrorCase) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			s, mend := c.Open(t)
			c.check(t, s, mend)
		})
	}
}

// request is a method on an object of our own making.
type request struct {
	method string
	make   func(t tester, s cloud.Store) error
}

var failing = content(90, 5000)

var requests = []request{
	{"Put", func(t tester, s cloud.Store) error {
		return s.Put(t.Context(), "data/failing", bytes.NewReader(failing), int64(len(failing)))
	}},
	{"Get", func(t tester, s cloud.Store) error {
		r, err := s.Get(t.Context(), "data/failing", 0, -1)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return errors.Join(err, r.Close())
	}},
	{"List", func(t tester, s cloud.Store) error {
		return s.List(t.Context(), "data/", func(cloud.Info) error { return nil })
	}},
	{"Stat", func(t tester, s cloud.Store) error {
		_, err := s.Stat(t.Context(), "data/failing")
		return err
	}},
	{"Delete", func(t tester, s cloud.Store) error { return s.Delete(t.Context(), "data/failing") }},
}

func (c ErrorCase) check(t tester, s cloud.Store, mend func()) {
	for _, r := range requests {
		if c.Methods == nil || slices.Contains(c.Methods, r.method) {
			c.wantKind(t, r.method, r.make(t, s))
		}
	}
	if mend != nil {
		mend()
		wantUntouched(t, s, "data/failing")
	}
}

func (c ErrorCase) wantKind(t tester, method string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeded, want %v", method, c.Want)
		return
	}
	for _, kind := range kinds {
		if is := errors.Is(err, kind); is != (kind == c.Want) {
			t.Errorf("%s = %v: whether it is %q is %t", method, err, kind, is)
		}
	}
	var after time.Duration
	if d, ok := errors.AsType[*cloud.DelayError](err); ok {
		after = d.After
	}
	if after != c.After {
		t.Errorf("%s = %v, to come back in %v, want %v", method, err, after, c.After)
	}
}
