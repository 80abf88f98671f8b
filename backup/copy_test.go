package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// moved is the same phone with its backup in another folder.
func (p *phone) moved(to cloud.Store) *phone {
	n := *p
	n.store, n.cache = to, filepath.Join(p.t.TempDir(), "cache")
	return &n
}

func newDir(t *testing.T) (cloud.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy")
	s, err := dir.Create(path)
	must(t, err)
	return s, path
}

func copyTo(t *testing.T, p *phone, to cloud.Store) *backup.CopyResult {
	t.Helper()
	res, err := backup.Copy(t.Context(), p.store, to, backup.CopyOptions{})
	must(t, err)
	return res
}

func TestCopy(t *testing.T) {
	p := newPhone(t)
	p.history()
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	day1 := tree(t, p.chats)
	to, _ := newDir(t)
	before := p.objects()
	if res := copyTo(t, p, to); res.Objects != len(before) || res.Present != 0 {
		t.Errorf("copied %+v of %d objects", res, len(before))
	}
	p.nextDay(1)
	p.backup(backup.BackupOptions{})
	// The second time only what is new is sent.
	res := copyTo(t, p, to)
	if res.Present < len(before)-2 || res.Objects == 0 || res.Objects > 8 {
		t.Errorf("the second copy: %+v, of %d objects before", res, len(before))
	}
	if res := copyTo(t, p, to); res.Objects != 0 {
		t.Errorf("with nothing new %d objects were copied", res.Objects)
	}
	c := p.moved(to)
	same(t, day1, tree(t, c.restore(first)))
	same(t, tree(t, p.chats), tree(t, c.restore("")))
	if v := c.verify(1); len(v.Damage) > 0 {
		t.Errorf("the copy is damaged: %v", v.Damage)
	}
	// And the device can go on with it: its mark fits.
	p.nextDay(2)
	c.backup(backup.BackupOptions{})
}

// An interrupted copy is no repository, and the next call continues it.
func TestCopyInterrupted(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	total := len(p.objects())
	for n := 1; n <= total+1; n++ { // one Put is of what shows whether the two are one place
		to, _ := newDir(t)
		failing := &faulty{Store: to, fault: fault{"Put", n, cloud.ErrFull}, cancel: func() {}, calls: map[string]int{}}
		res, err := backup.Copy(t.Context(), p.store, failing, backup.CopyOptions{})
		if !errors.Is(err, cloud.ErrFull) {
			t.Fatalf("with the %d-th Put failing: %v", n, err)
		}
		// Both rings are under way together: while one fails, the other may have arrived, after all else.
		there := p.moved(to).objects()
		_, err = backup.Open(t.Context(), to, p.key, backup.Options{})
		ring := slices.ContainsFunc(there, func(name string) bool { return strings.HasPrefix(name, "ring/") })
		if whole := len(there) == total-1 && ring; whole && err != nil || !whole && !errors.Is(err, backup.ErrNoRepository) {
			t.Errorf("with the %d-th Put failing, %v arrived: %v", n, there, err)
		}
		again := copyTo(t, p, to)
		// The answer of one that arrived may be lost where another fails meanwhile.
		if again.Objects+again.Present != total || again.Present != len(there) || res.Objects > len(there) {
			t.Errorf("copied %d, of which %d arrived, then %d with %d present, of %d", res.Objects, len(there), again.Objects, again.Present, total)
		}
		same(t, tree(t, p.chats), tree(t, p.moved(to).restore("")))
	}
}

// A during store does something once, when a folder is listed.
type during struct {
	cloud.Store
	folder string
	do     func()
	times  int
}

func (d *during) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	err := d.Store.List(ctx, prefix, fn)
	if prefix == d.folder && d.times > 0 {
		d.times--
		d.do()
	}
	return err
}

// What a backup commits while the copy runs is copied whole or not at all.
func TestCopyWhileWritten(t *testing.T) {
	for _, folder := range []string{"ring/", "head/", "data/", "meta/", "index/", "snap/"} {
		p := newPhone(t)
		p.history()
		p.backup(backup.BackupOptions{})
		to, _ := newDir(t)
		day := 0
		from := &during{p.store, folder, func() { day++; p.nextDay(day); p.backup(backup.BackupOptions{}) }, 2}
		_, err := backup.Copy(t.Context(), from, to, backup.CopyOptions{})
		must(t, err)
		c := p.moved(to)
		c.mark = backup.Mark{} // it is right that the copy may be a backup behind
		if v := c.verify(1); len(v.Damage) > 0 || v.Snapshots < 2 {
			t.Errorf("written to after listing %s, the copy has %d snapshots and %v", folder, v.Snapshots, v.Damage)
		}
	}
}

// A repository that is written to in every round ends the copy, and nothing opens at the destination.
func TestCopyOfWhatNeverRests(t *testing.T) {
	p := newPhone(t)
	p.write("Media/one.jpg", make([]byte, 100))
	p.backup(backup.BackupOptions{})
	to, _ := newDir(t)
	day := 0
	again := func() { day++; p.write(fmt.Sprint("Media/", day), []byte{byte(day)}); p.backup(backup.BackupOptions{}) }
	if _, err := backup.Copy(t.Context(), &during{p.store, "data/", again, 100}, to, backup.CopyOptions{}); !errors.Is(err, backup.ErrLocked) {
		t.Errorf("with a backup in each round: %v", err)
	}
	if _, err := backup.Open(t.Context(), to, p.key, backup.Options{}); !errors.Is(err, backup.ErrNoRepository) {
		t.Errorf("half a copy opens: %v", err)
	}
}

func TestCopyRefusesAnother(t *testing.T) {
	p, other := newPhone(t), newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	other.history()
	other.backup(backup.BackupOptions{})
	refused := func(what string, want error) {
		t.Helper()
		before := other.contents()
		if _, err := backup.Copy(t.Context(), p.store, other.store, backup.CopyOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if !maps.EqualFunc(before, other.contents(), bytes.Equal) {
			t.Errorf("%s: the destination was changed", what)
		}
	}
	refused("another repository", backup.ErrRepositoryExists)
	for _, name := range other.objects() {
		if strings.HasPrefix(name, "ring/") {
			must(t, other.store.Delete(t.Context(), name))
		}
	}
	refused("half a copy of another", backup.ErrRepositoryExists)
	to, _ := newDir(t)
	if _, err := backup.Copy(t.Context(), p.store, to, backup.CopyOptions{Repository: strings.Repeat("0", 32)}); !errors.Is(err, backup.ErrOtherRepository) {
		t.Errorf("a source that is not the one expected: %v", err)
	}
	if _, err := backup.Copy(t.Context(), to, p.store, backup.CopyOptions{}); !errors.Is(err, backup.ErrNoRepository) {
		t.Errorf("from nothing: %v", err)
	}
}

// Whoever holds the source can spoil what is copied from now on, not what was copied.
func TestCopyNeverHarmsTheDestination(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	to, path := newDir(t)
	copyTo(t, p, to)
	kept := *p
	kept.clouds, kept.store = path, to
	before := kept.contents()
	for _, name := range p.objects() {
		file := filepath.Join(p.clouds, name)
		object := mustRead(t, file)
		switch {
		case strings.HasPrefix(name, "ring/"): // retired, they say
			must(t, os.WriteFile(filepath.Join(p.clouds, "retired", strings.TrimPrefix(name, "ring/")), object[:104], 0o600))
		case strings.HasPrefix(name, "head/"):
			must(t, os.Remove(file))
		default:
			must(t, os.WriteFile(file, append(object, 1), 0o600))
		}
	}
	if _, err := backup.Copy(t.Context(), p.store, to, backup.CopyOptions{}); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("copying what was spoilt: %v", err)
	}
	after := kept.contents()
	for name, object := range before {
		if !bytes.Equal(after[name], object) {
			t.Errorf("%s at the destination was changed", name)
		}
	}
	same(t, tree(t, p.chats), tree(t, p.moved(to).restore("")))
}

// A damaged object is left out and named, and costs nothing else.
func TestCopyLeavesOutDamage(t *testing.T) {
	for _, folder := range []string{"data/", "meta/", "snap/", "index/"} {
		p := newPhone(t)
		p.history()
		p.backup(backup.BackupOptions{})
		p.nextDay(1)
		p.backup(backup.BackupOptions{})
		names := p.objects()
		at := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, folder) })
		file := filepath.Join(p.clouds, names[at])
		must(t, os.WriteFile(file, flipped(mustRead(t, file), 20), 0o600))
		to, _ := newDir(t)
		res, err := backup.Copy(t.Context(), p.store, to, backup.CopyOptions{})
		if !errors.Is(err, backup.ErrDamaged) || len(res.Problems) != 1 || res.Problems[0].Path != names[at] || res.Objects != len(names)-1 {
			t.Errorf("with %s damaged: %v, %+v", names[at], err, res)
		}
	}
}

// After a rotation the copy opens with the new key; the old ring is retired there by who has the new key, and by nobody else.
func TestCopyAfterRotation(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	to, _ := newDir(t)
	copyTo(t, p, to)
	old := p.key
	next, err := key.Generate()
	must(t, err)
	must(t, p.open().Rotate(t.Context(), next))
	copyTo(t, p, to)
	c := p.moved(to)
	c.key = next
	r := c.open()
	must(t, r.FinishRotation(t.Context()))
	if _, err := backup.Open(t.Context(), to, old, backup.Options{}); !errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("the old key at the copy: %v", err)
	}
	same(t, tree(t, p.chats), tree(t, c.restore("")))
}

func TestCopyStops(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	to, _ := newDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	from := &during{p.store, "meta/", cancel, 1}
	start := time.Now()
	if _, err := backup.Copy(ctx, from, to, backup.CopyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled after %v: %v", time.Since(start), err)
	}
}
