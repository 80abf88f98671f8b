package backup_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"hash/maphash"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// A phone is a device with a chat folder, a cloud folder and a key.
type phone struct {
	t      testing.TB
	chats  string
	clouds string
	cache  string
	key    *key.Key
	store  cloud.Store
	mark   backup.Mark
	device string
	now    func() time.Time
}

func newPhone(t testing.TB) *phone {
	t.Helper()
	return newPhoneIn(t, t.TempDir())
}

func newPhoneIn(t testing.TB, top string) *phone {
	t.Helper()
	p := &phone{t: t, chats: filepath.Join(top, "chats"), clouds: filepath.Join(top, "cloud"), cache: filepath.Join(top, "cache"), device: fmt.Sprintf("%032x", 7)}
	must(t, os.MkdirAll(p.chats, 0o755))
	var err error
	p.key, err = key.Generate()
	must(t, err)
	p.store, err = dir.Create(p.clouds)
	must(t, err)
	_, err = backup.Create(context.Background(), p.store, p.key, time.Now())
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *phone) options() backup.Options {
	return backup.Options{CacheDir: p.cache, Device: p.device, Known: p.mark, Now: p.now}
}

func (p *phone) open() *backup.Repo {
	p.t.Helper()
	r, err := backup.Open(context.Background(), p.store, p.key, p.options())
	must(p.t, err)
	p.t.Cleanup(func() { r.Close() })
	return r
}

func (p *phone) backup(o backup.BackupOptions) *backup.BackupResult {
	p.t.Helper()
	r := p.open()
	o.Source = p.chats
	res, err := r.Backup(p.t.Context(), o)
	must(p.t, err)
	if !o.DryRun {
		p.mark = r.Mark()
	}
	return res
}

// restore restores a snapshot with an empty cache and no mark, as a new phone would, and returns the folder.
func (p *phone) restore(id string) string {
	p.t.Helper()
	target := filepath.Join(p.t.TempDir(), "restored")
	_, err := p.restoreInto(id, target)
	must(p.t, err)
	return target
}

func (p *phone) restoreInto(id, target string) (*backup.RestoreResult, error) {
	r, err := backup.Open(p.t.Context(), p.store, p.key, backup.Options{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s, err := r.Find(id, time.Time{})
	if err != nil {
		return nil, err
	}
	return r.Restore(p.t.Context(), backup.RestoreOptions{Snapshot: s.ID, Target: target})
}

func (p *phone) verify(share float64) *backup.VerifyResult {
	p.t.Helper()
	res, err := p.open().Verify(p.t.Context(), backup.VerifyOptions{ReadData: share})
	must(p.t, err)
	return res
}

func (p *phone) write(path string, data []byte) {
	p.t.Helper()
	full := filepath.Join(p.chats, path)
	must(p.t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(p.t, os.WriteFile(full, data, 0o644))
	p.settle(path)
}

// settle sets a time in the past with a fraction, so that the file does not look as if it were being written right now.
func (p *phone) settle(path string) {
	p.t.Helper()
	when := time.Now().Add(-time.Hour).Truncate(time.Second).Add(123456789)
	must(p.t, os.Chtimes(filepath.Join(p.chats, path), when, when))
}

// sql runs statements on a database in the chat folder.
func (p *phone) sql(path string, statements ...string) {
	p.t.Helper()
	full := filepath.Join(p.chats, path)
	must(p.t, os.MkdirAll(filepath.Dir(full), 0o755))
	db, err := sql.Open("sqlite", full)
	must(p.t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			p.t.Fatalf("%s: %v", s, err)
		}
	}
}

const makeMessages = `CREATE TABLE message(id INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT);
	CREATE INDEX by_text ON message(text);
	WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 4000)
	INSERT INTO message SELECT i, hex(randomblob(12)), 'message number '||i||' '||hex(randomblob(20)) FROM n`

// history fills the chat folder with the kinds of files that a messenger has, and odd ones.
func (p *phone) history() {
	p.t.Helper()
	rnd := rand.New(rand.NewChaCha8([32]byte{1}))
	p.sql("Databases/msgstore.db", makeMessages)
	for i := range 6 {
		p.write(fmt.Sprintf("Media/Images/IMG-%02d.jpg", i), random(rnd, 50_000+rnd.IntN(400_000)))
	}
	p.write("Media/Video/long.mp4", random(rnd, 3<<20+12345))
	p.write("Media/Video/exactly.mp4", random(rnd, 2<<20))
	p.write("Notes/text.txt", bytes.Repeat([]byte("hello, hello. "), 5000))
	p.write("Notes/empty", nil)
	p.write("Notes/one", []byte{7})
	p.write("Notes/zeros", make([]byte, 3<<20))
	p.write("Notes/copy of long.mp4", mustRead(p.t, filepath.Join(p.chats, "Media/Video/long.mp4")))
	for _, name := range []string{"日本語 🎉.txt", "newline\nname", "not-utf8-\xff\xfe", " leading", "trailing ", "-dash", "*star?[x]"} {
		p.write("Odd/"+name, []byte("odd "+name))
	}
	must(p.t, os.Mkdir(filepath.Join(p.chats, "Empty folder"), 0o750))
	must(p.t, os.Symlink("../Media/Images/IMG-00.jpg", filepath.Join(p.chats, "Notes/link")))
	must(p.t, os.Symlink("/nowhere/at all", filepath.Join(p.chats, "Notes/dangling")))
	must(p.t, os.Chmod(filepath.Join(p.chats, "Notes/one"), 0o400))
}

// nextDay changes the history a little.
func (p *phone) nextDay(day int) {
	p.t.Helper()
	rnd := rand.New(rand.NewChaCha8([32]byte{2, byte(day)}))
	p.sql("Databases/msgstore.db", fmt.Sprintf("INSERT INTO message(key,text) SELECT hex(randomblob(12)),'day %d' FROM message LIMIT 40", day))
	p.write(fmt.Sprintf("Media/Images/DAY-%02d.jpg", day), random(rnd, 100_000))
}

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// contentsSeed is for sums of contents. SHA-256 was the largest part of several tests; against accidents 64 bits do.
var contentsSeed = maphash.MakeSeed()

// tree describes a folder: path → kind, mode, time and contents.
func tree(t testing.TB, top string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		rel, err := filepath.Rel(top, path)
		must(t, err)
		info, err := e.Info()
		must(t, err)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			must(t, err)
			out[rel] = "link to " + target
		case info.IsDir():
			out[rel] = fmt.Sprint("folder ", info.Mode().Perm())
		default:
			out[rel] = fmt.Sprintf("%v %d %v %x", info.Mode().Perm(), info.Size(), info.ModTime().UnixNano(), maphash.Bytes(contentsSeed, mustRead(t, path)))
		}
		return nil
	})
	must(t, err)
	return out
}

func same(t testing.TB, want, got map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("folders differ (-want +got):\n%s", diff)
	}
}

// objects lists the files of the cloud folder, without its marker.
func (p *phone) objects() (names []string) {
	p.t.Helper()
	err := p.store.List(p.t.Context(), "", func(i cloud.Info) error {
		names = append(names, i.Name)
		return nil
	})
	must(p.t, err)
	sort.Strings(names)
	return names
}
