package backup_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A meter counts what is fetched, and fails the n-th Get of a data pack if failAt is n.
type meter struct {
	cloud.Store
	bytes  atomic.Int64
	packs  atomic.Int64
	failAt int64
}

var errCut = errors.New("the line was cut")

func (m *meter) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	body, err := m.Store.Get(ctx, name, offset, length)
	if err != nil || !strings.HasPrefix(name, "data/") {
		return body, err
	}
	if m.packs.Add(1) == m.failAt {
		body.Close()
		return nil, errCut
	}
	return &metered{body, m}, nil
}

type metered struct {
	io.ReadCloser
	m *meter
}

func (b *metered) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.m.bytes.Add(int64(n))
	return n, err
}

// restoring restores the newest snapshot from a store with given options.
func (p *phone) restoring(store cloud.Store, o backup.RestoreOptions) (*backup.RestoreResult, error) {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), store, p.key, backup.Options{})
	must(p.t, err)
	defer r.Close()
	if o.Snapshot == "" {
		s, err := r.Find("latest", time.Time{})
		must(p.t, err)
		o.Snapshot = s.ID
	}
	return r.Restore(p.t.Context(), o)
}

// An interrupted restore keeps complete files and the chunks of incomplete ones: nothing is fetched twice.
func TestContinuedRestore(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // there are as many readers as processors, and each may lose a pack
	undo := backup.SetPackTarget(smallPack)
	defer undo()
	p := newPhone(t)
	rnd := rand.New(rand.NewPCG(1, 9))
	p.write("one.mp4", random(rnd, 24<<20))
	p.write("small/a", random(rnd, 5000))
	p.write("zeros", make([]byte, 3<<20))
	p.backup(backup.BackupOptions{})
	target := filepath.Join(t.TempDir(), "restored")
	cut := &meter{Store: p.store, failAt: 12}
	if _, err := p.restoring(cut, backup.RestoreOptions{Target: target}); !errors.Is(err, errCut) {
		t.Fatalf("%v, want the store's own error", err)
	}
	if _, err := os.Lstat(filepath.Join(target, "one.mp4")); err == nil {
		t.Error("a file that is not complete has its final name")
	}
	rest := &meter{Store: p.store}
	res, err := p.restoring(rest, backup.RestoreOptions{Target: target})
	must(t, err)
	if !res.Continued || res.BytesFetched != rest.bytes.Load() {
		t.Errorf("Continued %v, BytesFetched %d, fetched %d", res.Continued, res.BytesFetched, rest.bytes.Load())
	}
	// What was read of packs when the line was cut may be fetched again: one pack for each reader.
	if sum := cut.bytes.Load() + rest.bytes.Load(); sum > 24<<20+6*smallPack || rest.bytes.Load() > 20<<20 {
		t.Errorf("%d bytes, then %d, were fetched for %d", cut.bytes.Load(), rest.bytes.Load(), 24<<20)
	}
	same(t, tree(t, p.chats), tree(t, target))
}

func TestTargets(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("first"))
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	p.write("a", []byte("second"))
	second := p.backup(backup.BackupOptions{}).Snapshot.ID
	cases := map[string]struct {
		files map[string]string // what is in the target
		want  error
	}{
		"absent":                          {nil, nil},
		"something in it":                 {map[string]string{"x": "x"}, backup.ErrTargetNotEmpty},
		"a hidden file":                   {map[string]string{".x": "x"}, backup.ErrTargetNotEmpty},
		"killed before the marker":        {map[string]string{workFolder + "/restore.json.new": "{"}, nil},
		"killed after it was removed":     {map[string]string{workFolder + "/restore.json.new": "{", "a": "second"}, backup.ErrTargetNotEmpty},
		"begun, then cut off":             {map[string]string{workFolder + "/restore.json": p.marker(second)}, nil},
		"begun, of another snapshot":      {map[string]string{workFolder + "/restore.json": p.marker(first)}, backup.ErrTargetNotEmpty},
		"begun, of another repository":    {map[string]string{workFolder + "/restore.json": strings.Replace(p.marker(second), `y":"`, `y":"0`, 1)}, backup.ErrTargetNotEmpty},
		"killed with all done but that":   {map[string]string{workFolder + "/": "", "a": "second"}, backup.ErrTargetNotEmpty},
		"a marker of the wrong kind":      {map[string]string{workFolder + "/restore.json/x": ""}, nil},
		"a marker that says nothing":      {map[string]string{workFolder + "/restore.json": ""}, nil},
		"such a marker and something":     {map[string]string{workFolder + "/restore.json": "", "x": "x"}, backup.ErrTargetNotEmpty},
		"something where the folder goes": {map[string]string{workFolder: "file"}, nil},
	}
	for name, c := range cases {
		target := filepath.Join(t.TempDir(), "target")
		put(t, target, c.files)
		before := map[string]string{}
		if c.files != nil {
			before = tree(t, target)
		}
		_, err := p.restoring(p.store, backup.RestoreOptions{Target: target})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == nil {
			same(t, tree(t, p.chats), tree(t, target))
			continue
		}
		if _, ok := c.files[workFolder+"/"]; ok {
			same(t, map[string]string{"a": before["a"]}, tree(t, target))
			continue
		}
		same(t, before, tree(t, target))
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := p.restoring(p.store, backup.RestoreOptions{Target: file}); !errors.Is(err, backup.ErrLocal) {
		t.Errorf("into a file: %v, want ErrLocal", err)
	}
	if _, err := p.restoring(p.store, backup.RestoreOptions{Target: t.TempDir(), Snapshot: strings.Repeat("0", 32)}); !errors.Is(err, backup.ErrNotFound) {
		t.Errorf("no such snapshot: %v, want ErrNotFound", err)
	}
}

// put writes files below a folder.
func put(t *testing.T, top string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		must(t, os.MkdirAll(filepath.Join(top, filepath.Dir(path)), 0o755))
		if strings.HasSuffix(path, "/") {
			continue
		}
		must(t, os.WriteFile(filepath.Join(top, path), []byte(text), 0o644))
	}
}

// marker is what a restore of a snapshot writes into its work folder.
func (p *phone) marker(snapshot string) string {
	return `{"repository":"` + p.open().ID() + `","snapshot":"` + snapshot + `"}` + "\n"
}

// A folder that is not empty: files of the same name are replaced, others are left, and no log of an old database comes upon the new one.
func TestIntoNonEmpty(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	target := t.TempDir()
	put(t, target, map[string]string{
		"mine": "mine", "Notes/one": "other", "Notes/mine": "mine", "Databases/msgstore.db": "old", "Databases/msgstore.db-wal": "old log",
		"Databases/msgstore.db-shm": "old", "Databases/msgstore.db-journal": "old", "Notes/link": "a file where a link goes",
	})
	must(t, os.Chmod(filepath.Join(target, "Notes"), 0o500))
	want := tree(t, p.chats)
	for path, is := range tree(t, target) {
		if filepath.Base(path) == "mine" {
			want[path] = is
		}
	}
	_, err := p.restoring(p.store, backup.RestoreOptions{Target: target, IntoNonEmpty: true})
	must(t, err)
	same(t, want, tree(t, target))
	// Kinds that changed: a file stands where a folder goes. It is not removed; the restore says which.
	put(t, target, nil)
	must(t, os.RemoveAll(filepath.Join(target, "Media")))
	must(t, os.WriteFile(filepath.Join(target, "Media"), []byte("a file"), 0o644))
	if _, err := p.restoring(p.store, backup.RestoreOptions{Target: target, IntoNonEmpty: true}); !errors.Is(err, backup.ErrLocal) || !strings.Contains(err.Error(), "Media") {
		t.Errorf("a file in a folder's place: %v, want ErrLocal that names it", err)
	}
}

// A database in write-ahead mode keeps its file's size and time while its contents change in the log. Going back to an earlier
// snapshot in place must not take the file for what it was.
func TestDatabaseOfSameSizeAndTime(t *testing.T) {
	p := newPhone(t)
	p.sql("a.db", "CREATE TABLE t(x)", "INSERT INTO t VALUES('one')")
	path := filepath.Join(p.chats, "a.db")
	want := mustRead(t, path)
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	info, err := os.Stat(path)
	must(t, err)
	p.sql("a.db", "UPDATE t SET x = 'two'")
	must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	p.backup(backup.BackupOptions{})
	target := p.restore("latest")
	_, err = p.restoring(p.store, backup.RestoreOptions{Snapshot: first, Target: target, IntoNonEmpty: true})
	must(t, err)
	if string(mustRead(t, filepath.Join(target, "a.db"))) != string(want) {
		t.Error("the database of the other snapshot was left in place")
	}
}

// What an abandoned restore of another snapshot left must not show through where this one has zeros.
func TestAbandonedRestore(t *testing.T) {
	undo := backup.SetPackTarget(smallPack)
	defer undo()
	p := newPhone(t)
	rnd := rand.New(rand.NewPCG(4, 4))
	p.write("file", random(rnd, 8<<20))
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	p.write("file", append(make([]byte, 7<<20), random(rnd, 1<<20)...))
	p.backup(backup.BackupOptions{})
	target := t.TempDir()
	if _, err := p.restoring(&meter{Store: p.store, failAt: 7}, backup.RestoreOptions{Snapshot: first, Target: target}); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	_, err := p.restoring(p.store, backup.RestoreOptions{Target: target})
	if !errors.Is(err, backup.ErrTargetNotEmpty) {
		t.Errorf("%v, want ErrTargetNotEmpty", err)
	}
	_, err = p.restoring(p.store, backup.RestoreOptions{Target: target, IntoNonEmpty: true})
	must(t, err)
	same(t, tree(t, p.chats), tree(t, target))
}

// Patterns: only what is wanted is written, and hardly more than that is fetched.
func TestIncludeAndExclude(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	for _, c := range []struct {
		include, exclude []string
		most             int64
		want             func(path string) bool
	}{
		{[]string{"Notes/one"}, nil, 600 << 10, func(path string) bool { return path == "Notes" || path == "Notes/one" }},
		{[]string{"*.jpg"}, nil, 4 << 20, func(path string) bool {
			return strings.HasSuffix(path, ".jpg") || path == "Media" || path == "Media/Images" || path == "Notes/link.jpg"
		}},
		{[]string{"Databases"}, nil, 2 << 20, func(path string) bool { return strings.HasPrefix(path, "Databases") }},
		{[]string{"nothing at all"}, nil, 0, func(string) bool { return false }},
		{nil, []string{"Media", "Databases", "copy of*"}, 1 << 20, func(path string) bool {
			return !strings.HasPrefix(path, "Media") && !strings.HasPrefix(path, "Databases") && !strings.Contains(path, "copy of")
		}},
	} {
		target := filepath.Join(t.TempDir(), "some")
		m := &meter{Store: p.store}
		_, err := p.restoring(m, backup.RestoreOptions{Target: target, Include: c.include, Exclude: c.exclude})
		must(t, err)
		want, got := tree(t, p.chats), tree(t, target)
		maps.DeleteFunc(want, func(path, _ string) bool { return !c.want(path) })
		for path, is := range got {
			if strings.HasPrefix(is, "folder") && want[path] != "" {
				want[path] = is // one that is only there for what is in it has no mode of its own
			}
		}
		same(t, want, got)
		if m.bytes.Load() > c.most {
			t.Errorf("%q but %q: %d bytes fetched, at most %d were expected", c.include, c.exclude, m.bytes.Load(), c.most)
		}
	}
	var bad *backup.PatternError
	if _, err := p.restoring(p.store, backup.RestoreOptions{Target: t.TempDir(), Include: []string{"[a"}}); !errors.As(err, &bad) {
		t.Errorf("%v, want a PatternError", err)
	}
}

// Times of links, too, come back; nanoseconds, and times before 1970 and after 2100.
func TestTimes(t *testing.T) {
	p := newPhone(t)
	for name, when := range map[string]time.Time{"now": time.Now(), "past": time.Date(1931, 5, 6, 7, 8, 9, 123456789, time.UTC), "future": time.Date(2187, 1, 1, 0, 0, 0, 1, time.UTC),
		"epoch": time.Unix(0, 0), "before": time.Unix(-1, 999999999)} {
		p.write(name, []byte(name))
		must(t, os.Mkdir(filepath.Join(p.chats, name+" folder"), 0o755))
		must(t, os.Chtimes(filepath.Join(p.chats, name), when, when))
		must(t, os.Chtimes(filepath.Join(p.chats, name+" folder"), when, when))
		link := filepath.Join(p.chats, name+" link")
		must(t, os.Symlink(name, link))
		ts := unix.NsecToTimespec(when.UnixNano())
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, link, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	p.backup(backup.BackupOptions{})
	restored := p.restore("latest")
	entries, err := os.ReadDir(p.chats)
	must(t, err)
	for _, e := range entries {
		want, err := e.Info()
		must(t, err)
		got, err := os.Lstat(filepath.Join(restored, e.Name()))
		must(t, err)
		if !got.ModTime().Equal(want.ModTime()) {
			t.Errorf("%s: %v, want %v", e.Name(), got.ModTime(), want.ModTime())
		}
	}
}
