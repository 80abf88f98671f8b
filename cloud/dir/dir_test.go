//go:build unix

package dir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/dir"
)

func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloud.Store { return create(t, t.TempDir()) })
}

func create(t *testing.T, path string) *dir.Store {
	t.Helper()
	s, err := dir.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s cloud.Store, name, data string) {
	t.Helper()
	if err := s.Put(t.Context(), name, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func get(s cloud.Store, name string) (string, error) {
	r, err := s.Get(context.Background(), name, 0, -1)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

func wantListed(t *testing.T, s cloud.Store, want ...string) {
	t.Helper()
	var got []string
	err := s.List(t.Context(), "", func(i cloud.Info) error {
		got = append(got, i.Name)
		return nil
	})
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("List gave %q, %v; want %q", got, err, want)
	}
}

// everyMethod runs each method on an object in data and returns its error.
func everyMethod(s cloud.Store, name string) map[string]error {
	ctx := context.Background()
	_, stat := s.Stat(ctx, name)
	_, get := get(s, name)
	return map[string]error{
		"Put": s.Put(ctx, name, strings.NewReader("x"), 1), "Get": get, "Stat": stat, "Delete": s.Delete(ctx, name),
		"List": s.List(ctx, "", func(cloud.Info) error { return nil }),
	}
}

func wantAll(t *testing.T, errs map[string]error, want error) {
	t.Helper()
	for method, err := range errs {
		if !errors.Is(err, want) {
			t.Errorf("%s = %v, want %v", method, err, want)
		}
	}
}

// tree is every path below root with what it is.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			all = append(all, fmt.Sprint(strings.TrimPrefix(path, root), " ", e.Type()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func temps(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(path, "*", ".tmp-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud")
	put(t, create(t, path), "data/00", "kept")
	for _, name := range append(cloud.Folders(), "") {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("folder %q: %v, %v; want mode 0700", name, info.Mode(), err)
		}
	}
	for _, name := range []string{cloud.Marker, "data/00"} {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info.Mode(), err)
		}
	}
	before := tree(t, path)
	again := create(t, path)
	if after := tree(t, path); !slices.Equal(before, after) {
		t.Errorf("a second Create changed %q to %q", before, after)
	}
	wantListed(t, again, "data/00")
	if text, err := os.ReadFile(filepath.Join(path, cloud.Marker)); err != nil || !strings.Contains(string(text), "Keepsake backup") {
		t.Errorf("marker says %q, %v", text, err)
	}
}

// A Create cut short after any step is finished by the next.
func TestCreateContinues(t *testing.T) {
	for n := range len(cloud.Folders()) + 1 {
		path := t.TempDir()
		for _, name := range cloud.Folders()[:n] {
			if err := os.Mkdir(filepath.Join(path, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := dir.Open(path); !errors.Is(err, cloud.ErrUnreachable) {
			t.Errorf("Open with %d folders and no marker = %v, want ErrUnreachable", n, err)
		}
		put(t, create(t, path), "data/00", "x")
	}
}

func TestCreateRefuses(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "photo.jpg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Create(path); err == nil || !strings.Contains(err.Error(), "photo.jpg") {
		t.Errorf("Create among other files = %v, want an error that names one", err)
	}
	if got := len(tree(t, path)); got != 2 {
		t.Errorf("a refused Create left %d files", got)
	}
	if _, err := dir.Create(filepath.Join(path, "no", "cloud")); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Create in a missing folder = %v, want ErrUnreachable", err)
	}
	if _, err := dir.Create(filepath.Join(path, "photo.jpg")); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Create over a file = %v, want ErrUnreachable", err)
	}
}

// Whatever of the store is missing, nothing is made and nothing is reported as
// a missing object.
func TestPartMissing(t *testing.T) {
	for _, part := range []string{".", cloud.Marker, "data"} {
		path := filepath.Join(t.TempDir(), "cloud")
		s := create(t, path)
		put(t, s, "data/00", "x")
		if err := os.RemoveAll(filepath.Join(path, part)); err != nil {
			t.Fatal(err)
		}
		before := tree(t, filepath.Dir(path))
		wantAll(t, everyMethod(s, "data/00"), cloud.ErrUnreachable)
		if _, err := dir.Open(path); !errors.Is(err, cloud.ErrUnreachable) {
			t.Errorf("Open without %s = %v, want ErrUnreachable", part, err)
		}
		if after := tree(t, filepath.Dir(path)); !slices.Equal(before, after) {
			t.Errorf("without %s, %q became %q", part, before, after)
		}
	}
}

func TestFolderMovedAwayAndBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud")
	s := create(t, path)
	put(t, s, "data/00", "x")
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(path, path+"-away")
	wantAll(t, everyMethod(s, "data/00"), cloud.ErrUnreachable)
	move(path+"-away", path)
	wantListed(t, s, "data/00")
}

// A store that goes away under a listing must not look like a smaller store.
func TestGoneWhileListing(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	put(t, s, "data/00", "x")
	err := s.List(t.Context(), "", func(cloud.Info) error { return os.Remove(filepath.Join(path, cloud.Marker)) })
	if !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("List = %v, want ErrUnreachable", err)
	}
}

func TestAbsentOrGone(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	if err := dir.Absent(s, fs.ErrNotExist); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("a file missing in a store is %v, want ErrNotExist", err)
	}
	if err := os.Remove(filepath.Join(path, cloud.Marker)); err != nil {
		t.Fatal(err)
	}
	if err := dir.Absent(s, fs.ErrNotExist); !errors.Is(err, cloud.ErrUnreachable) || errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("a file missing with its store is %v, want ErrUnreachable", err)
	}
}

func TestFileInPlaceOfFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud")
	s := create(t, path)
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	wantAll(t, everyMethod(s, "data/00"), cloud.ErrUnreachable)
}

// What is not a regular file is not an object, wherever it points.
func TestForeignFiles(t *testing.T) {
	outer := t.TempDir()
	path := filepath.Join(outer, "cloud")
	s := create(t, path)
	put(t, s, "data/real", "real")
	in := func(name string) string { return filepath.Join(path, name) }
	err := errors.Join(
		os.WriteFile(filepath.Join(outer, "secret"), []byte("secret"), 0o600),
		os.Symlink("../../secret", in("data/out")), os.Symlink("real", in("data/inside")), os.Symlink("nowhere", in("data/dangling")),
		os.Mkdir(in("data/folder"), 0o700), syscall.Mkfifo(in("data/pipe"), 0o600),
		os.WriteFile(in("data/.DS_Store"), nil, 0o600), os.WriteFile(in("data/.tmp-abc"), nil, 0o600), os.WriteFile(in("data/Copy of 00"), nil, 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, outer)
	for _, name := range []string{"data/out", "data/inside", "data/dangling", "data/folder", "data/pipe"} {
		errs := everyMethod(s, name)
		if !errors.Is(errs["Put"], cloud.ErrExist) || errs["List"] != nil {
			t.Errorf("Put(%s) = %v, want ErrExist; List = %v", name, errs["Put"], errs["List"])
		}
		delete(errs, "Put")
		delete(errs, "List")
		wantAll(t, errs, cloud.ErrNotExist)
	}
	wantListed(t, s, "data/real")
	if after := tree(t, outer); !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
}

// Somebody swaps an object for a symbolic link while it is being opened.
func TestSwappedForLink(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	put(t, s, "data/victim", "real")
	put(t, s, "data/secret", "secret")
	victim, link, spare := filepath.Join(path, "data/victim"), filepath.Join(path, "data/.link"), filepath.Join(path, "data/.spare")
	if err := errors.Join(os.Symlink("secret", link), os.Link(victim, spare)); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for next := 0; ; next++ {
			select {
			case <-stop:
				return
			default:
			}
			// Each rename puts one over the other, and so the next needs a new one.
			_ = os.Rename(link, victim)
			_ = os.Symlink("secret", link)
			_ = os.Link(spare, spare+"-next")
			_ = os.Rename(spare+"-next", victim)
		}
	}()
	for range 3000 {
		got, err := get(s, "data/victim")
		if got == "secret" || err != nil && !errors.Is(err, cloud.ErrNotExist) {
			t.Errorf("Get = %q, %v", got, err)
			break
		}
	}
	close(stop)
	<-stopped
}

func TestLinkedFolder(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	if err := errors.Join(os.Rename(filepath.Join(path, "data"), filepath.Join(path, "meta", "x")), os.Symlink("meta/x", filepath.Join(path, "data"))); err != nil {
		t.Fatal(err)
	}
	wantAll(t, everyMethod(s, "data/00"), cloud.ErrUnreachable)
}

// A running Put keeps its file, whatever another Store does meanwhile.
func TestSweepSparesRunningPut(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	data := bytes.Repeat([]byte("x"), 3<<20)
	swept := false
	body := &pausing{Reader: bytes.NewReader(data), pause: func() {
		swept = true
		if len(temps(t, path)) != 1 {
			t.Errorf("%d temporary files, want the one being written", len(temps(t, path)))
		}
		other, err := dir.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		put(t, other, "data/other", "y") // sweeps
		wantListed(t, other, "data/other")
	}}
	if err := s.Put(t.Context(), "data/slow", body, int64(len(data))); err != nil || !swept {
		t.Errorf("Put = %v, paused: %t", err, swept)
	}
	wantListed(t, s, "data/other", "data/slow")
}

// pausing hides WriteTo and calls pause once, half-way.
type pausing struct {
	*bytes.Reader
	pause func()
}

func (p *pausing) WriteTo(w io.Writer) (int64, error) {
	half := int64(p.Len() / 2)
	n, err := io.CopyN(w, p.Reader, half)
	if err != nil {
		return n, err
	}
	p.pause()
	m, err := io.Copy(w, struct{ io.Reader }{p.Reader})
	return n + m, err
}

func TestSweepRemovesAbandoned(t *testing.T) {
	path := t.TempDir()
	create(t, path)
	ages := map[string]time.Duration{"data/.tmp-old": 25 * time.Hour, "data/.tmp-young": 23 * time.Hour, "meta/.tmp-old": 25 * time.Hour}
	for name, age := range ages {
		file, at := filepath.Join(path, name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(file, []byte("half"), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	wantListed(t, s)
	if got := len(temps(t, path)); got != 3 {
		t.Errorf("Open and List left %d temporary files, want all 3", got)
	}
	put(t, s, "data/00", "x")
	want := []string{filepath.Join(path, "data/.tmp-young"), filepath.Join(path, "meta/.tmp-old")}
	if got := temps(t, path); !slices.Equal(got, want) {
		t.Errorf("Put into data left %q, want %q", got, want)
	}
}

// A failing source disk is not a failing cloud.
func TestBodyErrorIsNotTheClouds(t *testing.T) {
	s := create(t, t.TempDir())
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EACCES, syscall.ENOENT} {
		body := struct {
			io.Reader
			io.Seeker
		}{io.MultiReader(strings.NewReader("half"), failing{errno}), nil}
		err := s.Put(t.Context(), "data/00", body, 100)
		if !errors.Is(err, errno) || errors.Is(err, cloud.ErrUnreachable) || errors.Is(err, cloud.ErrFull) || errors.Is(err, cloud.ErrDenied) {
			t.Errorf("Put of a body failing with %v = %v", errno, err)
		}
	}
	wantListed(t, s)
}

// endless never ends, and knows how much was taken from it.
type endless struct {
	io.Seeker
	taken int64
	each  func()
}

func (e *endless) Read(p []byte) (int, error) {
	e.each()
	e.taken += int64(len(p))
	if e.taken > 1<<30 {
		return 0, io.EOF // rather than fill the disk
	}
	return len(p), nil
}

func TestStopsReading(t *testing.T) {
	s := create(t, t.TempDir())
	long := &endless{each: func() {}}
	if err := s.Put(t.Context(), "data/00", long, 10); err == nil || long.taken > 4<<20 {
		t.Errorf("Put of 10 bytes = %v after reading %d", err, long.taken)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := &endless{each: cancel}
	if err := s.Put(ctx, "data/00", cancelled, 1<<40); !errors.Is(err, context.Canceled) || cancelled.taken > 4<<20 {
		t.Errorf("cancelled Put = %v after reading %d bytes", err, cancelled.taken)
	}
	wantListed(t, s)
}

// careless is a body whose WriteTo loses errors.
type careless struct {
	io.ReadSeeker
	parts []string
}

func (c careless) WriteTo(w io.Writer) (int64, error) {
	for _, p := range c.parts {
		_, _ = io.WriteString(w, p)
	}
	return 0, nil
}

func TestCarelessWriterTo(t *testing.T) {
	s := create(t, t.TempDir())
	if err := s.Put(t.Context(), "data/00", careless{parts: []string{"exact", "more"}}, 5); err == nil {
		t.Errorf("Put of 9 bytes as 5 succeeded")
	}
	wantListed(t, s)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestClassify(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOSPC: cloud.ErrFull, syscall.EDQUOT: cloud.ErrFull, syscall.EFBIG: cloud.ErrFull,
		syscall.EACCES: cloud.ErrDenied, syscall.EPERM: cloud.ErrDenied, syscall.EROFS: cloud.ErrDenied,
		syscall.ENOENT: cloud.ErrUnreachable, syscall.EIO: cloud.ErrUnreachable, syscall.ENOTCONN: cloud.ErrUnreachable,
		syscall.ESTALE: cloud.ErrUnreachable, syscall.ENODEV: cloud.ErrUnreachable, syscall.EHOSTDOWN: cloud.ErrUnreachable,
	} {
		err := dir.Classify(&fs.PathError{Op: "write", Path: "x", Err: errno})
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v became %v, want %v", errno, err, want)
		}
	}
	for _, err := range []error{nil, syscall.EMFILE, io.ErrUnexpectedEOF} {
		if got := dir.Classify(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
