package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"keepsake.example/internal/durable"
	"keepsake.example/internal/mounttest"
)

// A disk is an ext4 file system in a file. What the kernel has not yet
// written is not in the file, so a copy of it is the disk after a power cut.
type disk struct{ image, mount string }

func run(t *testing.T, command string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", command, args, err, out)
	}
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{image: filepath.Join(t.TempDir(), "image"), mount: t.TempDir()}
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, 16<<20)); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", d.image)
	run(t, "mount", "-o", "loop,commit=300", d.image, d.mount) // the journal waits for an fsync, not for the clock
	t.Cleanup(func() {
		if err := syscall.Unmount(d.mount, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return d
}

// cut returns the files on the disk as they are after a power cut now.
func (d *disk) cut(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(d.image)
	if err != nil {
		t.Fatal(err)
	}
	after := &disk{image: filepath.Join(t.TempDir(), "image"), mount: t.TempDir()}
	if err := os.WriteFile(after.image, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "mount", "-o", "loop", after.image, after.mount)
	defer run(t, "umount", after.mount)
	files := make(map[string]string)
	err = fs.WalkDir(os.DirFS(after.mount), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			files[path] = "folder"
			return err
		}
		content, err := os.ReadFile(filepath.Join(after.mount, path))
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// overwrite changes a file in place.
func overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return durable.SyncData(f)
}

func TestPowerCut(t *testing.T) {
	if !mounttest.RootMounts(t) {
		return
	}
	d := newDisk(t)
	path := func(name string) string { return filepath.Join(d.mount, name) }
	text := func(b byte) string { return string(bytes.Repeat([]byte{b}, 20_000)) }
	large := aligned(1<<20+777, 0) // most of it past the page cache
	root, err := os.OpenRoot(d.mount)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()

	steps := []struct {
		what string
		do   func() error
		name string
		want string
	}{
		{"CreateExclusive", func() error { return durable.CreateExclusive(path("a"), []byte(text('1')), 0o600) }, "a", text('1')},
		{"WriteFile of a new file", func() error { return durable.WriteFile(path("b"), []byte(text('2')), 0o600) }, "b", text('2')},
		{"WriteFile of an old file", func() error { return durable.WriteFile(path("b"), []byte(text('3')), 0o600) }, "b", text('3')},
		{"SyncData", func() error { return overwrite(path("b"), []byte(text('6'))) }, "b", text('6')},
		{"Remove", func() error { return durable.Remove(root, "a") }, "a", ""},
		{"Mkdir", func() error { return durable.Mkdir(root, "dir", 0o700) }, "dir", "folder"},
		{"CreateExclusive below", func() error { return durable.CreateExclusive(path("dir/c"), []byte(text('4')), 0o600) }, "dir/c", text('4')},
		{"CreateExclusive of a large file", func() error { return durable.CreateExclusive(path("l"), large, 0o600) }, "l", string(large)},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		if got := d.cut(t)[s.name]; got != s.want {
			t.Errorf("%s did not survive a power cut: %q holds %d bytes, want %d", s.what, s.name, len(got), len(s.want))
		}
	}

	// A plain write is lost, or else this test could not fail.
	if err := os.WriteFile(path("plain"), []byte(text('5')), 0o600); err != nil {
		t.Fatal(err)
	}
	if d.cut(t)["plain"] == text('5') {
		t.Errorf("a file written without fsync survived: the power was not cut")
	}
}

// Large writes are on their way to the disk before anyone asks for it, small ones wait in the page cache. A half-written file never has a name.
func TestDirect(t *testing.T) {
	if !mounttest.RootMounts(t) {
		return
	}
	d := newDisk(t)
	root, err := os.OpenRoot(d.mount)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct {
		what   string
		data   []byte
		direct bool
	}{
		{"large", bytes.Repeat([]byte("large"), 1<<20)[:4<<20], true},
		{"small", bytes.Repeat([]byte("small"), 1<<20)[:64<<10], false},
	} {
		mem := aligned(len(c.data), 0)
		copy(mem, c.data)
		f, err := durable.Create(root, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(mem); err != nil {
			t.Fatal(err)
		}
		image, err := os.ReadFile(d.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(image, mem[:4096]); got != c.direct {
			t.Errorf("%s write without fsync: on the disk %v, want %v", c.what, got, c.direct)
		}
		for name, content := range d.cut(t) {
			if content == string(mem) && !strings.HasPrefix(name, durable.TempPrefix) {
				t.Errorf("%s file that was not published is there as %q", c.what, name)
			}
		}
		f.Close()
	}
	f, err := durable.Create(root, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.Write(aligned(32<<20, 0)); !errors.Is(err, syscall.ENOSPC) || n >= 16<<20 {
		t.Errorf("writing 32 MiB to a disk of 16: %d, %v", n, err)
	}
}
