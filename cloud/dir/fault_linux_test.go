package dir_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/internal/mounttest"
)

func mount(t *testing.T, source, target string, flags uintptr, options string) {
	t.Helper()
	kind := ""
	if source == "tmpfs" {
		kind = "tmpfs"
	}
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
}

func unmount(t *testing.T, target string) {
	t.Helper()
	if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
		t.Errorf("unmounting: %v", err)
	}
}

// tmpfs gives a small disk; its size is in options.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	path := t.TempDir()
	mount(t, "tmpfs", path, 0, options)
	t.Cleanup(func() { unmount(t, path) })
	return path
}

func TestFullDisk(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	path := tmpfs(t, "size=8m")
	s := create(t, path)
	object := strings.Repeat("0123456789abcdef", 3<<20/16)
	put(t, s, "data/0", object)
	put(t, s, "data/1", object)
	for range 3 {
		err := s.Put(t.Context(), "data/2", strings.NewReader(object), int64(len(object)))
		if !errors.Is(err, cloud.ErrFull) {
			t.Errorf("Put on a full disk = %v, want ErrFull", err)
		}
		wantListed(t, s, "data/0", "data/1")
		if left := temps(t, path); left != nil {
			t.Errorf("left %q", left)
		}
	}
	if err := s.Delete(t.Context(), "data/0"); err != nil {
		t.Errorf("Delete on a full disk: %v", err)
	}
	put(t, s, "data/2", object)
	for _, name := range []string{"data/1", "data/2"} {
		if got, err := get(s, name); err != nil || got != object {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestNoInodesLeft(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	s := create(t, tmpfs(t, "size=8m,nr_inodes=20"))
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("data/%02d", i)
		err := s.Put(t.Context(), name, strings.NewReader("x"), 1)
		if err != nil {
			if !errors.Is(err, cloud.ErrFull) {
				t.Errorf("Put without an inode = %v, want ErrFull", err)
			}
			wantListed(t, s, want...)
			return
		}
		want = append(want, name)
	}
	t.Errorf("20 inodes held 20 objects and 10 other files")
}

// A full disk for those who may not mount one: the size limit of a file.
func TestFileSizeLimit(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	if out := helper(t, "limited", path); out != "ErrFull\n" {
		t.Errorf("Put past the limit: %s, want ErrFull", out)
	}
	wantListed(t, s)
	if left := temps(t, path); left != nil {
		t.Errorf("left %q", left)
	}
}

func TestUnmounted(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	disk, path := t.TempDir(), t.TempDir()
	mount(t, disk, path, syscall.MS_BIND, "")
	s := create(t, path)
	put(t, s, "data/00", "x")
	put(t, s, "top", "x")
	unmount(t, path)
	for _, name := range []string{"data/00", "data/new", "top", "newtop"} {
		wantAll(t, everyMethod(s, name), cloud.ErrUnreachable)
	}
	if _, err := dir.Open(path); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Open of an empty mount point = %v, want ErrUnreachable", err)
	}
	if found := tree(t, path); len(found) != 1 {
		t.Errorf("the mount point now holds %q", found)
	}
	mount(t, disk, path, syscall.MS_BIND, "")
	defer unmount(t, path)
	wantListed(t, s, "data/00", "top")
}

// A disk that goes away in the middle of a Put gets the object or does not;
// the mount point gets nothing.
func TestUnmountedWhilePutting(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	disk, path := t.TempDir(), t.TempDir()
	mount(t, disk, path, syscall.MS_BIND, "")
	s := create(t, path)
	data := strings.Repeat("0123456789abcdef", 2<<20/16)
	body := &pausing{Reader: bytes.NewReader([]byte(data)), pause: func() { unmount(t, path) }}
	err := s.Put(t.Context(), "data/00", body, int64(len(data)))
	if found := tree(t, path); len(found) != 1 {
		t.Errorf("the mount point now holds %q", found)
	}
	onDisk, openErr := dir.Open(disk)
	if openErr != nil {
		t.Fatal(openErr)
	}
	got, getErr := get(onDisk, "data/00")
	switch {
	case err == nil && got != data:
		t.Errorf("Put succeeded, and the disk has %d bytes, %v", len(got), getErr)
	case err != nil && !errors.Is(getErr, cloud.ErrNotExist):
		t.Errorf("Put = %v, and the disk has %d bytes, %v", err, len(got), getErr)
	}
}

func TestReadOnly(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	path := tmpfs(t, "size=8m")
	s := create(t, path)
	put(t, s, "data/00", "x")
	mount(t, "tmpfs", path, syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
	wantReadable(t, path)
}

// wantReadable checks a store that can be read and not written.
func wantReadable(t *testing.T, path string) {
	t.Helper()
	s, err := dir.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	if err := s.Put(context.Background(), "data/01", strings.NewReader("x"), 1); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("Put = %v, want ErrDenied", err)
	}
	if err := s.Delete(context.Background(), "data/00"); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("Delete = %v, want ErrDenied", err)
	}
	if got, err := get(s, "data/00"); err != nil || got != "x" {
		t.Errorf("Get = %q, %v", got, err)
	}
	wantListed(t, s, "data/00")
}

// unprivileged runs f with the file permissions of a user who is not root, on
// a thread of its own that ends with f.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		}
		f()
	}()
	<-done
}

const nobody = 65534

func TestPermissionDenied(t *testing.T) {
	path := t.TempDir()
	s := create(t, path)
	put(t, s, "data/00", "x")
	chmod := func(path string, mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for up := filepath.Dir(path); up != filepath.Dir(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
		if info, err := os.Stat(up); err == nil && info.Mode().Perm()&0o001 == 0 {
			chmod(up, 0o711)
		}
	}
	if os.Getuid() == 0 {
		all := append(cloud.Folders(), ".", cloud.Marker, "data/00")
		for _, name := range all {
			if err := os.Chown(filepath.Join(path, name), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	chmod(filepath.Join(path, "data"), 0o500)
	unprivileged(t, func() { wantReadable(t, path) })

	chmod(filepath.Join(path, "data"), 0)
	defer chmod(filepath.Join(path, "data"), 0o700)
	unprivileged(t, func() { wantAll(t, everyMethod(s, "data/00"), cloud.ErrDenied) })

	chmod(path, 0)
	defer chmod(path, 0o700)
	unprivileged(t, func() { wantAll(t, everyMethod(s, "data/00"), cloud.ErrDenied) })
}
