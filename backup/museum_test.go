package backup_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
)

var noTime time.Time

var long = flag.Bool("long", false, "mangle every byte of every object, and test with a million files, a file of 20 GB and a database of 3 GB, which takes minutes")

// A memoryCloud is a cloud.Store whose objects a test may change at will.
type memoryCloud struct {
	mu      sync.Mutex
	objects map[string][]byte
}

func (m *memoryCloud) get(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, cloud.ErrNotExist
	}
	return b, nil
}

func (m *memoryCloud) Put(_ context.Context, name string, body io.ReadSeeker, size int64) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[name]; ok || int64(len(b)) != size {
		return cloud.ErrExist
	}
	m.objects[name] = b
	return nil
}

func (m *memoryCloud) Get(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	b, err := m.get(name)
	if err != nil {
		return nil, err
	}
	if offset > int64(len(b)) {
		return nil, io.ErrUnexpectedEOF
	}
	b = b[offset:]
	if length < 0 {
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	if length > int64(len(b)) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b), cutShort{})), nil
	}
	return io.NopCloser(bytes.NewReader(b[:length])), nil
}

// cutShort ends a body as cloud.Store says for one that is too short.
type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (m *memoryCloud) List(_ context.Context, prefix string, fn func(cloud.Info) error) error {
	m.mu.Lock()
	var infos []cloud.Info
	for name, b := range m.objects {
		if strings.HasPrefix(name, prefix) {
			infos = append(infos, cloud.Info{Name: name, Size: int64(len(b)), ModTime: time.Now()})
		}
	}
	m.mu.Unlock()
	for _, info := range infos {
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

func (m *memoryCloud) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[name]; !ok {
		return cloud.ErrNotExist
	}
	delete(m.objects, name)
	return nil
}

func (m *memoryCloud) Stat(_ context.Context, name string) (cloud.Info, error) {
	b, err := m.get(name)
	return cloud.Info{Name: name, Size: int64(len(b)), ModTime: time.Now()}, err
}

// A museum is a small repository with one of everything: two snapshots with a database, small and large files, a pack that prune
// made, a ring that was retired, objects under two data keys, heads before the newest.
type museum struct {
	objects map[string][]byte
	key     *key.Key
	oldKey  *key.Key
	oldHead []string                     // heads before the newest, oldest first
	mark    backup.Mark                  // of the newest
	trees   map[string]map[string]string // :: snapshot id → folder
	snaps   []string                     // ids, oldest first
	late    map[string]bool              // objects that only the last snapshot can need
}

func (m *museum) cloud() *memoryCloud { return &memoryCloud{objects: maps.Clone(m.objects)} }

// with is the museum's cloud with one object replaced; nil removes it.
func (m *museum) with(name string, object []byte) *memoryCloud {
	c := m.cloud()
	c.objects[name] = object
	if object == nil {
		delete(c.objects, name)
	}
	return c
}

var museums struct {
	sync.Mutex
	built [2]*museum
}

// newMuseum returns the museum, or another one like it under another key.
func newMuseum(t *testing.T, number int) *museum {
	t.Helper()
	museums.Lock()
	defer museums.Unlock()
	if museums.built[number] == nil {
		museums.built[number] = buildMuseum(t)
	}
	return museums.built[number]
}

func buildMuseum(t *testing.T) *museum {
	p := newPhone(t)
	m := &museum{trees: make(map[string]map[string]string), late: make(map[string]bool)}
	rnd := rand.New(rand.NewChaCha8([32]byte{3}))
	p.sql("db/msgstore.db", "CREATE TABLE m(id INTEGER PRIMARY KEY, t TEXT)", "INSERT INTO m SELECT value, 'message '||value FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value+1 FROM n WHERE value<300) SELECT value FROM n)")
	p.write("media/gone.jpg", random(rnd, 30_000))
	p.write("media/stays.jpg", random(rnd, 20_000))
	p.write("media/long.mp4", random(rnd, 1<<20+100))
	p.write("notes/small", []byte("a small note"))
	p.write("notes/empty", nil)
	p.write("notes/zeros", make([]byte, 1<<20+10))
	must(t, os.Symlink("small", filepath.Join(p.chats, "notes/link")))
	p.backup(backup.BackupOptions{})

	must(t, os.Remove(filepath.Join(p.chats, "media/gone.jpg")))
	must(t, os.Remove(filepath.Join(p.chats, "media/long.mp4")))
	p.sql("db/msgstore.db", "INSERT INTO m(t) VALUES('day two')")
	p.write("notes/two", random(rnd, 900))
	m.keep(p, p.backup(backup.BackupOptions{}))
	if res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.01}); res.Repacked == 0 {
		t.Fatalf("nothing was repacked: %+v", res)
	}
	m.oldKey = p.key
	p.withoutSpares()
	p.rotate()
	p.withoutSpares()
	before := p.contents()
	p.sql("db/msgstore.db", "INSERT INTO m(t) VALUES('day three')")
	p.write("media/three.jpg", random(rnd, 40_000))
	m.keep(p, p.backup(backup.BackupOptions{}))
	m.objects, m.key, m.mark = p.contents(), p.key, p.mark
	for name := range m.objects {
		m.late[name] = before[name] == nil
	}
	heads := in(m.objects, "head")
	m.oldHead = heads[:len(heads)-1]
	if len(m.snaps) != 2 || len(m.oldHead) != 2 || len(in(m.objects, "retired")) != 1 || len(in(m.objects, "data")) < 2 || len(in(m.objects, "meta")) < 2 {
		t.Fatalf("museum: %v", slices.Sorted(maps.Keys(m.objects)))
	}
	return m
}

func (m *museum) keep(p *phone, res *backup.BackupResult) {
	m.trees[res.Snapshot.ID] = tree(p.t, p.chats)
	m.snaps = append(m.snaps, res.Snapshot.ID)
}

// restoreCheck restores a snapshot and holds it to the promise: what has its final name is right, and what is missing makes an error
// that is damage. It returns the missing files.
func (m *museum) restoreCheck(t *testing.T, what string, r *backup.Repo, snapshot string) (missing []string) {
	t.Helper()
	target := filepath.Join(t.TempDir(), "r")
	_, err := r.Restore(t.Context(), backup.RestoreOptions{Snapshot: snapshot, Target: target})
	if err != nil && damageOf(err) == nil {
		t.Errorf("%s: restore: %v, want damage or success", what, err)
	}
	got, want := tree(t, target), m.trees[snapshot]
	for path, is := range got {
		if strings.HasPrefix(path, ".keepsake-restore") || strings.HasPrefix(is, "folder") {
			continue
		}
		if want[path] != is {
			t.Errorf("%s: %q restored as %s, want %s", what, path, is, want[path])
		}
	}
	for path, is := range want {
		if got[path] == "" && !strings.HasPrefix(is, "folder") {
			missing = append(missing, path)
		}
	}
	if (err == nil) != (len(missing) == 0) {
		t.Errorf("%s: restore says %v, but %d files are missing", what, err, len(missing))
	}
	slices.Sort(missing)
	return missing
}

func open(store cloud.Store, k *key.Key) (*backup.Repo, error) {
	return backup.Open(context.Background(), store, k, backup.Options{})
}

// The museum itself is without fault, and the two data keys are both in use.
func TestMuseum(t *testing.T) {
	m := newMuseum(t, 0)
	r, err := open(m.cloud(), m.key)
	must(t, err)
	defer r.Close()
	v, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: 1})
	must(t, err)
	if len(v.Damage) > 0 || v.Orphans > 0 || len(v.Affected) > 0 || v.Snapshots != 2 {
		t.Fatalf("%+v", v)
	}
	used := make(map[uint32]bool)
	for name, object := range m.objects {
		e, err := backup.Inspect(name, bytesAt(object), int64(len(object)))
		must(t, err)
		if e.Kind != "key ring" && e.Kind != "retired key ring" { // there, it is the generation
			used[e.KeyNumber] = true
		}
	}
	if !used[1] || !used[2] {
		t.Errorf("keys in use: %v", used)
	}
	for _, id := range m.snaps {
		if missing := m.restoreCheck(t, "as it is", r, id); len(missing) > 0 {
			t.Error(fmt.Sprint("missing: ", missing))
		}
	}
}
