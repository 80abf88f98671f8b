package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"keepsake.example/internal/durable"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// wantOnly checks what a folder holds: no temporary file least of all.
func wantOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("folder holds %q, want %q", got, want)
	}
}

func open(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"first", "", strings.Repeat("longer", 1000), "short"} {
		if err := durable.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != text {
			t.Errorf("file holds %d bytes, want %d", len(got), len(text))
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("Stat = %v, %v; want mode 0600", info.Mode(), err)
	}
	wantOnly(t, dir, "f")
}

func TestWriteFileReplacesLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("kept"), 0o600), os.Symlink("target", link)); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if read(t, target) != "kept" || read(t, link) != "new" {
		t.Errorf("writing to a link reached its target")
	}
}

// A failed write leaves what was there, and nothing beside it.
func TestWriteFileFails(t *testing.T) {
	dir := t.TempDir()
	if err := durable.WriteFile(filepath.Join(dir, "no", "f"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing into a missing folder = %v, want fs.ErrNotExist", err)
	}
	busy := filepath.Join(dir, "busy")
	if err := os.Mkdir(busy, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, write := range []func(string, []byte, fs.FileMode) error{durable.WriteFile, durable.CreateExclusive} {
		if err := write(busy, []byte("x"), 0o600); err == nil {
			t.Errorf("writing over a folder succeeded")
		}
	}
	wantOnly(t, dir, "busy")
	wantOnly(t, busy)
}

func TestCreateExclusive(t *testing.T) {
	dir := t.TempDir()
	path, dangling := filepath.Join(dir, "f"), filepath.Join(dir, "g")
	if err := durable.CreateExclusive(path, []byte("first"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", dangling); err != nil {
		t.Fatal(err)
	}
	for _, taken := range []string{path, dangling} {
		if err := durable.CreateExclusive(taken, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("CreateExclusive over %s = %v, want fs.ErrExist", taken, err)
		}
	}
	if got := read(t, path); got != "first" {
		t.Errorf("file holds %q", got)
	}
	wantOnly(t, dir, "f", "g")
}

// Both ways of not replacing let one of many writers through.
func TestOneWinner(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	linked := func(name string, data []byte) error {
		temp := durable.TempPrefix + string(data[:1])
		return errors.Join(root.WriteFile(temp, data, 0o600), durable.LinkNew(root, temp, name))
	}
	renamed := func(name string, data []byte) error {
		return durable.CreateExclusive(filepath.Join(dir, name), data, 0o600)
	}
	for name, create := range map[string]func(string, []byte) error{"linked": linked, "renamed": renamed} {
		const writers = 16
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { errs[i] = create(name, bytes.Repeat([]byte{'a' + byte(i)}, 1000)) })
		}
		wg.Wait()
		won := slices.Index(errs, nil)
		for i, err := range errs {
			if i != won && !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: writer %d, not the first to succeed: %v", name, i, err)
			}
		}
		if got := read(t, filepath.Join(dir, name)); won < 0 || got != strings.Repeat(string(rune('a'+won)), 1000) {
			t.Errorf("%s: file is not the winner's", name)
		}
	}
}

func TestLinkNewLeavesOneName(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	if err := root.WriteFile(".tmp-a", []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.LinkNew(root, ".tmp-a", "a"); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, dir, "a")
}

func TestCloseWithoutPublish(t *testing.T) {
	dir := t.TempDir()
	f, err := durable.Create(open(t, dir), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Publish("name"); err == nil {
		t.Errorf("a closed file was published")
	}
	wantOnly(t, dir)
}

func TestRemoveAndMkdir(t *testing.T) {
	dir := t.TempDir()
	root := open(t, dir)
	if err := durable.Mkdir(root, "sub", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Mkdir(root, "sub", 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Mkdir = %v, want fs.ErrExist", err)
	}
	wantOnly(t, dir, "sub")
	if err := durable.Remove(root, "sub"); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(root, "sub"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second Remove = %v, want fs.ErrNotExist", err)
	}
	wantOnly(t, dir)
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	limit := time.Now().Add(-time.Hour)
	for name, age := range map[string]time.Duration{
		".tmp-old": 61 * time.Minute, ".tmp-young": 59 * time.Minute, ".tmp-new": 0, "old": 48 * time.Hour, ".other": 48 * time.Hour,
	} {
		path, at := filepath.Join(dir, name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Sweep(open(t, dir), limit); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, dir, ".other", ".tmp-new", ".tmp-young", "old")
}

// aligned returns n bytes at a page's start, or one byte behind it.
func aligned(n, shift int) []byte {
	b := make([]byte, n+8192)
	at := -int(uintptr(unsafe.Pointer(&b[0]))) & 4095
	b = b[at+shift:][:n]
	for i := range b {
		b[i] = byte(i*7 + i>>12)
	}
	return b
}

// Whichever way the bytes take, past the page cache or through it, and however they are cut, the file is what was written.
func TestLargeWrites(t *testing.T) {
	const large = 1 << 20
	for name, pieces := range map[string][][]byte{
		"whole units":              {aligned(large, 0), aligned(2*large, 0)},
		"with a rest":              {aligned(large+777, 0)},
		"with a rest, and on":      {aligned(large+777, 0), aligned(large, 0), aligned(10, 0), aligned(large-787, 0), aligned(large, 0)},
		"small before":             {aligned(4096, 0), aligned(large, 0), aligned(100, 0)},
		"memory of another place":  {aligned(large, 1), aligned(large, 0), aligned(large+5, 513)},
		"another place in between": {aligned(large, 0), aligned(large+4096, 512), aligned(large, 0)},
	} {
		dir := t.TempDir()
		f, err := durable.Create(open(t, dir), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pieces {
			if n, err := f.Write(p); n != len(p) || err != nil {
				t.Fatalf("%s: writing %d bytes: %d, %v", name, len(p), n, err)
			}
		}
		if err := errors.Join(f.Publish("f"), f.Close()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(dir, "f")); got != string(slices.Concat(pieces...)) {
			t.Errorf("%s: %d bytes are not what was written", name, len(got))
		}
	}
}
