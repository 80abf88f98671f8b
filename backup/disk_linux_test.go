package backup_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/internal/mounttest"
)

func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
}

// disk puts a small disk of its own under a folder, with what is in the folder.
func disk(t *testing.T, folder, size string) {
	t.Helper()
	keep := filepath.Join(t.TempDir(), "keep")
	must(t, os.MkdirAll(folder, 0o755))
	must(t, os.CopyFS(keep, os.DirFS(folder)))
	mount(t, "tmpfs", folder, "tmpfs", 0, "size="+size)
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	must(t, os.CopyFS(folder, os.DirFS(keep)))
}

func resize(t *testing.T, folder, size string) {
	t.Helper()
	mount(t, "tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size="+size)
}

// smallPacks makes packs small for one test.
func smallPacks(t *testing.T) { t.Cleanup(backup.SetPackTarget(smallPack)) }

func (p *phone) fails(store cloud.Store, want error) {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), store, p.key, p.options())
	must(p.t, err)
	defer r.Close()
	if _, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats}); !errors.Is(err, want) {
		p.t.Fatalf("%v, want %v", err, want)
	}
}

func TestFullCloud(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	smallPacks(t)
	p := newPhone(t)
	disk(t, p.clouds, "6m")
	p.write("first", []byte("first"))
	day1 := tree(t, p.chats)
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	p.write("video.mp4", random(rand.New(rand.NewPCG(1, 1)), 12<<20))
	for range 3 {
		p.fails(p.store, cloud.ErrFull)
		p.sound()
		same(t, day1, tree(t, p.restore(first)))
	}
	r := p.open()
	_, err := r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
	must(t, err) // the pack that did not fit left room for what little prune writes
	p.sound()
	resize(t, p.clouds, "64m")
	res := p.backup(backup.BackupOptions{})
	if res.BytesUploaded > 10<<20 {
		t.Errorf("%d bytes uploaded, though some were there from before", res.BytesUploaded)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.clean()
}

func TestFullTarget(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	want := tree(t, p.chats)
	target := filepath.Join(t.TempDir(), "target")
	disk(t, target, "5m")
	for range 2 {
		_, err := p.restoring(p.store, backup.RestoreOptions{Target: target})
		if !errors.Is(err, backup.ErrLocal) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%v, want ErrLocal and ENOSPC", err)
		}
		wholeFiles(t, want, target)
	}
	resize(t, target, "64m")
	res, err := p.restoring(p.store, backup.RestoreOptions{Target: target})
	must(t, err)
	if !res.Continued {
		t.Error("not continued")
	}
	same(t, want, tree(t, target))
}

// A full disk under the cache costs requests, and for a database behind a slow cloud the spool, but no backup.
func TestFullCache(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	smallPacks(t)
	p := newPhone(t)
	disk(t, p.cache, "16k")
	p.history()
	rnd := rand.New(rand.NewPCG(1, 1))
	p.sql("big.db", "CREATE TABLE t(b BLOB)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO t SELECT randomblob(3000) FROM n")
	p.store = &slowStore{Store: p.store, pause: 20 * time.Millisecond}
	for day := range 3 {
		p.write("photo.jpg", random(rnd, 100_000))
		if res := p.backup(backup.BackupOptions{}); len(res.Problems) > 0 {
			t.Errorf("day %d: %+v", day, res.Problems)
		}
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
}

// An interrupter calls fn before the n-th Put of a pack.
type interrupter struct {
	cloud.Store
	n    int64
	fn   func()
	seen atomic.Int64
}

func (i *interrupter) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if strings.HasPrefix(name, "data/") {
		if i.seen.Add(1) == i.n {
			i.fn()
		}
	}
	return i.Store.Put(ctx, name, body, size)
}

// The disk with the cloud is pulled out half-way: nothing is written to what is below it, and with the disk back all goes on.
func TestCloudUnmounted(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	day1 := tree(t, p.chats)
	stick, place := p.clouds, filepath.Join(t.TempDir(), "media")
	must(t, os.Mkdir(place, 0o755))
	mount(t, stick, place, "", syscall.MS_BIND, "")
	p.write("video.mp4", random(rand.New(rand.NewPCG(1, 1)), 40<<20))
	var err error
	p.clouds = place
	p.store, err = dir.Open(place)
	must(t, err)
	p.fails(&interrupter{Store: p.store, n: 2, fn: func() { must(t, syscall.Unmount(place, syscall.MNT_DETACH)) }}, cloud.ErrUnreachable)
	if left, err := os.ReadDir(place); err != nil || len(left) > 0 {
		t.Errorf("%v was written under the mount point, %v", left, err)
	}
	if _, err := backup.Open(t.Context(), p.store, p.key, p.options()); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("opening: %v, want ErrUnreachable", err)
	}
	mount(t, stick, place, "", syscall.MS_BIND, "")
	defer syscall.Unmount(place, syscall.MNT_DETACH)
	p.sound()
	same(t, day1, tree(t, p.restore("latest")))
	p.backup(backup.BackupOptions{})
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.clean()
}

// A cloud that can only be read is enough to restore and to verify.
func TestReadOnlyCloud(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	mount(t, p.clouds, p.clouds, "", syscall.MS_BIND, "")
	defer syscall.Unmount(p.clouds, syscall.MNT_DETACH)
	mount(t, "", p.clouds, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
	p.fails(p.store, cloud.ErrDenied)
	for _, err := range []error{
		func() error {
			_, err := p.open().Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
			return err
		}(),
		p.open().Rotate(t.Context(), p.key),
	} {
		if !errors.Is(err, cloud.ErrDenied) {
			t.Errorf("%v, want ErrDenied", err)
		}
	}
}

// The disk with the chats is pulled out half-way: what is gone must not count as deleted.
func TestSourceUnmounted(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	smallPacks(t)
	p := newPhone(t)
	mount(t, "tmpfs", p.chats, "tmpfs", 0, "size=64m")
	p.history()
	p.backup(backup.BackupOptions{})
	day1 := tree(t, p.chats)
	for i := range 3 {
		p.write("AAA"+string(rune('0'+i)), random(rand.New(rand.NewPCG(1, uint64(i))), 3<<20))
	}
	p.fails(&interrupter{Store: p.store, n: 1, fn: func() { must(t, syscall.Unmount(p.chats, syscall.MNT_DETACH)) }}, backup.ErrLocal)
	if n := len(p.open().Snapshots()); n != 1 {
		t.Errorf("%d snapshots, want 1", n)
	}
	same(t, day1, tree(t, p.restore("latest")))
}
