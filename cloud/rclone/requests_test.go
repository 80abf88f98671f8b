package rclone_test

import (
	"bytes"
	"context"
	"io"
	"path"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
)

func put(t testing.TB, s cloud.Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

func get(ctx context.Context, s cloud.Store, name string) ([]byte, error) {
	r, err := s.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// A cost is how many requests something takes.
type cost struct {
	what string
	want int
	do   func(t *testing.T, s *rclone.Store)
}

func (c cost) check(t *testing.T, f *front, s *rclone.Store) {
	t.Helper()
	asked := f.since(func() { c.do(t, s) })
	if len(asked) != c.want {
		t.Errorf("%s took %d requests, want %d:\n%s", c.what, len(asked), c.want, strings.Join(asked, "\n"))
	}
}

func costs(putPack, putLock int) []cost {
	pack := bytes.Repeat([]byte("pack"), 4<<20)
	list := func(t *testing.T, s *rclone.Store) {
		if err := s.List(t.Context(), "data/", func(cloud.Info) error { return nil }); err != nil {
			t.Errorf("List: %v", err)
		}
	}
	read := func(t *testing.T, s *rclone.Store) {
		if data, err := get(t.Context(), s, "data/aa"); err != nil || !bytes.Equal(data, pack) {
			t.Errorf("Get gave %d bytes, %v", len(data), err)
		}
	}
	return []cost{
		{"Put of a pack of 16 MiB", putPack, func(t *testing.T, s *rclone.Store) { put(t, s, "data/aa", pack) }},
		{"Put of a lock", putLock, func(t *testing.T, s *rclone.Store) { put(t, s, "lock/aa", []byte("mine")) }},
		{"Get of an object that was put or listed", 1, read},
		{"List of a folder", 1, list},
		{"Delete of an object that was put or listed", 1, func(t *testing.T, s *rclone.Store) {
			if err := s.Delete(t.Context(), "data/aa"); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}},
		{"Stat", 1, func(t *testing.T, s *rclone.Store) {
			if _, err := s.Stat(t.Context(), "lock/aa"); err != nil {
				t.Errorf("Stat: %v", err)
			}
		}},
		{"an empty List, which is believed when the marker is there", 2, list},
	}
}

func TestRequestsOfS3(t *testing.T) {
	f, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	for _, c := range costs(1, 1) {
		c.check(t, f, s)
	}
	put(t, s, "data/bb", []byte("b"))
	var anew *rclone.Store
	cost{"Open", 1, func(t *testing.T, _ *rclone.Store) { anew = open(t, config(at)) }}.check(t, f, nil)
	cost{"Get of an object of which only the name is known", 1, func(t *testing.T, s *rclone.Store) {
		if data, err := get(t.Context(), s, "data/bb"); err != nil || string(data) != "b" {
			t.Errorf("Get gave %q, %v", data, err)
		}
	}}.check(t, f, anew)
	cost{"List of everything", 1, func(t *testing.T, s *rclone.Store) {
		if err := s.List(t.Context(), "", func(cloud.Info) error { return nil }); err != nil {
			t.Errorf("List: %v", err)
		}
	}}.check(t, f, anew)
	if n := anew.Counters(); n.Requests != 3 || n.Received != 1 || n.Sent != 0 {
		t.Errorf("it counted %+v, want 3 requests and 1 byte", n)
	}
}

// PUT and MOVE, each with the PROPFIND that rclone makes after it; for a lock
// a look before.
func TestRequestsOfWebDAV(t *testing.T) {
	f, at := before(t, servertest.RcloneWebDAV(t))
	s := create(t, at)
	put(t, s, "data/first", nil) // the first of a folder sees that it is there
	put(t, s, "lock/first", nil)
	for _, c := range costs(4, 5) {
		if c.what != "an empty List, which is believed when the marker is there" {
			c.check(t, f, s)
		}
	}
}

// What another process that opens the store is asked for.
func TestRequestsOfWebDAVAnew(t *testing.T) {
	f, at := before(t, servertest.RcloneWebDAV(t))
	put(t, create(t, at), "data/aa", []byte("a"))
	var s *rclone.Store
	cost{"Open", 2, func(t *testing.T, _ *rclone.Store) { s = open(t, config(at)) }}.check(t, f, nil)
	cost{"Get of an object of which only the name is known", 2, func(t *testing.T, s *rclone.Store) {
		if data, err := get(t.Context(), s, "data/aa"); err != nil || string(data) != "a" {
			t.Errorf("Get gave %q, %v", data, err)
		}
	}}.check(t, f, s)
	// Nine listings, and a look for the marker for each of the seven folders with nothing in them.
	cost{"List of everything", 16, func(t *testing.T, s *rclone.Store) {
		if err := s.List(t.Context(), "", func(cloud.Info) error { return nil }); err != nil {
			t.Errorf("List: %v", err)
		}
	}}.check(t, f, s)
}

// What is written in place is written under a name that is no object's.
func TestWebDAVWritesUnderTemporaryNames(t *testing.T) {
	f, at := before(t, servertest.RcloneWebDAV(t))
	s := create(t, at)
	for _, asked := range f.since(func() { put(t, s, "data/aa", []byte("a")) }) {
		method, name, _ := strings.Cut(asked, " ")
		if method == "PUT" && cloud.CheckName(path.Base(name)) == nil {
			t.Errorf("it asked %s", asked)
		}
	}
	if len(f.moves) != 1 || !strings.HasSuffix(f.moves[0], "/keepsake/data/aa") {
		t.Errorf("it moved to %q, want once to data/aa", f.moves)
	}
}
