package sqlitepages_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/sqlitepages"
)

// makeDatabase makes a database, closed cleanly, with about rows KiB in it.
func makeDatabase(t testing.TB, path string, rows int, pragmas ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsnFor(path))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, p := range pragmas { // in this order, which a DSN does not keep
		_, err := db.Exec("PRAGMA " + p)
		must(t, err)
	}
	_, err = db.Exec(`BEGIN; CREATE TABLE m(id INTEGER PRIMARY KEY, body BLOB); CREATE TABLE gone(x);
		WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i WHERE x<?1)
		INSERT INTO m SELECT x, randomblob(1000) FROM i;
		INSERT INTO gone SELECT body FROM m LIMIT 50; COMMIT;
		DROP TABLE gone`, rows) // leaves free pages
	must(t, err)
	must(t, db.Close())
}

func quickOpen(t testing.TB, path string) (*sqlitepages.Capture, error) {
	return sqlitepages.Open(t.Context(), path,
		sqlitepages.Options{TempDir: t.TempDir(), Wait: 300 * time.Millisecond})
}

// What nobody has written to is captured byte for byte, and nothing is left
// beside it, nor does its state change.
func TestQuiescentIsIdentical(t *testing.T) {
	for _, pageSize := range []int{512, 1024, 4096, 32768, 65536} {
		for _, more := range []string{"journal_mode=delete", "journal_mode=wal", "auto_vacuum=1", "auto_vacuum=2", "encoding='UTF-16'"} {
			t.Run(fmt.Sprint(pageSize, more), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "chat.db")
				makeDatabase(t, path, 300, fmt.Sprintf("page_size=%d", pageSize), more)
				checkIdentical(t, path, pageSize)
			})
		}
	}
}

func checkIdentical(t *testing.T, path string, pageSize int) {
	t.Helper()
	want, err := os.ReadFile(path)
	must(t, err)
	listing := names(t, filepath.Dir(path))
	later := time.Now().Add(time.Minute)
	before, err := sqlitepages.StateAt(path, later)
	must(t, err)
	c, err := quickOpen(t, path)
	must(t, err)
	defer c.Close()
	if c.PageSize() != pageSize {
		t.Errorf("page size %d, want %d", c.PageSize(), pageSize)
	}
	if !bytes.Equal(drain(t, c), want) {
		t.Error("capture differs from file")
	}
	must(t, c.Close())
	after, err := sqlitepages.StateAt(path, later)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("capturing changed the state")
	}
	if now := names(t, filepath.Dir(path)); now != listing {
		t.Errorf("files were %s, are %s", listing, now)
	}
}

// Bytes reserved at the end of each page (extensions keep checksums there) are
// declared in header byte 20, which no pragma sets.
func TestReservedBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	db, err := sql.Open("sqlite", dsnFor(path, "page_size(1024)"))
	must(t, err)
	_, err = db.Exec("PRAGMA user_version=1")
	must(t, err)
	must(t, db.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	b[20] = 32
	binary.BigEndian.PutUint16(b[105:], 1024-32) // start of the cells of the empty schema
	must(t, os.WriteFile(path, b, 0o600))
	makeDatabase(t, path, 300)
	if b, err = os.ReadFile(path); err != nil || b[20] != 32 {
		t.Fatalf("reserved bytes: %d, %v", b[20], err)
	}
	checkIdentical(t, path, 1024)
}

// The page at 1 GiB holds SQLite's lock bytes and is never read or written
// (file format §1.6); it must keep its place in the stream.
func TestLockBytePage(t *testing.T) {
	const pageSize, pages = 65536, 1<<30/65536 + 4
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 100, "page_size=65536")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(pages*pageSize)) // sparse
	_, err = f.WriteAt(binary.BigEndian.AppendUint32(nil, pages), 28)
	must(t, err)
	// What a stranger put into the page of the lock bytes is not SQLite's, and is not captured.
	for _, page := range []int64{1<<30/pageSize - 1, 1 << 30 / pageSize, 1<<30/pageSize + 1, pages - 1} {
		_, err = f.WriteAt([]byte("here"), page*pageSize+77)
		must(t, err)
	}
	c, err := quickOpen(t, path)
	must(t, err)
	defer c.Close()
	if c.PageCount() != pages {
		t.Fatalf("%d pages, want %d", c.PageCount(), pages)
	}
	got, want := make([]byte, 16*pageSize), make([]byte, 16*pageSize)
	for at := int64(0); at < pages*pageSize; {
		n, err := c.Next(got)
		must(t, err)
		// f must not be closed before c: its locks would go.
		_, err = f.ReadAt(want[:n], at)
		must(t, err)
		if lock := 1<<30 - at; lock >= 0 && lock < int64(n) {
			clear(want[lock : lock+pageSize])
		}
		if !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("capture differs from file between %d and %d", at, at+int64(n))
		}
		at += int64(n)
	}
	if n, err := c.Next(got); n != 0 || err != io.EOF {
		t.Fatalf("after the last page: %d, %v", n, err)
	}
	must(t, c.Close())
}

// What lies beyond the pages the header counts is no part of the database.
func TestTrailingBytes(t *testing.T) {
	for _, extra := range []int{1, 511, 512, 5000} {
		path := filepath.Join(t.TempDir(), "chat.db")
		makeDatabase(t, path, 20, "page_size=512")
		want, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, append(bytes.Clone(want), make([]byte, extra)...), 0o600))
		if !bytes.Equal(capture(t, path), want) {
			t.Errorf("capture of a file with %d bytes more differs", extra)
		}
	}
}

// Pages are read, not tables: a schema that SQLite cannot parse is no obstacle.
func TestUnreadableSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	db, err := sql.Open("sqlite", dsnFor(path, "writable_schema(1)"))
	must(t, err)
	_, err = db.Exec("UPDATE sqlite_schema SET sql='CREATE TABEL m(id)' WHERE name='m'")
	must(t, err)
	must(t, db.Close())
	checkIdentical(t, path, 4096)
}

// Names with a meaning in URIs, and some that are not text. The last is longer
// than SQLite can open, so that it is read through a copy.
func TestPaths(t *testing.T) {
	for _, name := range []string{
		"a b?mode=memory&x#y%41%00.db", "ünï 家族.db", "bad\xff\xfeutf8\x01.db", "a\nb\\c'\"d;e+f.db", ":memory:", "-wal",
	} {
		path := filepath.Join(t.TempDir(), name)
		plain := filepath.Join(t.TempDir(), "plain")
		makeDatabase(t, plain, 20)
		must(t, os.Rename(plain, path))
		checkIdentical(t, path, 4096)
	}
	t.Run("long", func(t *testing.T) {
		t.Parallel()
		plain := filepath.Join(t.TempDir(), "plain")
		makeDatabase(t, plain, 20)
		dir := filepath.Join(t.TempDir(), strings.Repeat(strings.Repeat("d", 200)+"/", 4))
		must(t, os.MkdirAll(dir, 0o700))
		path := filepath.Join(dir, "chat.db")
		must(t, os.Rename(plain, path))
		want, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(capture(t, path), want) {
			t.Error("capture differs from file")
		}
	})
	t.Run("link", func(t *testing.T) {
		path, link := filepath.Join(t.TempDir(), "chat.db"), filepath.Join(t.TempDir(), "link")
		w := startWriter(t, path, "journal_mode(wal)")
		w.send("commit")
		w.answer()
		must(t, os.Symlink(path, link))
		if n := lastCommit(t, capture(t, link)); n != 1 {
			t.Errorf("capture through a link ends at transaction %d, want 1", n)
		}
		w.quit()
	})
}

func TestNotDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 50)
	good, err := os.ReadFile(path)
	must(t, err)
	for name, b := range map[string][]byte{
		"empty":          {},
		"short":          good[:99],
		"text":           bytes.Repeat([]byte("not a database. "), 500),
		"encrypted":      append(bytes.Repeat([]byte{0xa7}, 100), good[100:]...),
		"header only":    good[:100],
		"pages missing":  good[:len(good)/2],
		"other fraction": append(append(bytes.Clone(good[:21]), 65), good[22:]...),
	} {
		must(t, os.WriteFile(path, b, 0o600))
		if c, err := quickOpen(t, path); !errors.Is(err, sqlitepages.ErrNotDatabase) {
			if err == nil {
				c.Close()
			}
			t.Errorf("%s: error %v, want ErrNotDatabase", name, err)
		}
	}
	if _, err := quickOpen(t, filepath.Dir(path)); !errors.Is(err, sqlitepages.ErrNotDatabase) {
		t.Errorf("directory: error %v, want ErrNotDatabase", err)
	}
	if _, err := quickOpen(t, path+".no"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: error %v, want fs.ErrNotExist", err)
	}
	if left := names(t, filepath.Dir(path)); left != "chat.db" {
		t.Errorf("left behind: %s", left)
	}
}

func TestBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	// Another connection of this process: SQLite keeps their locks apart.
	db, err := sql.Open("sqlite", dsnFor(path))
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN EXCLUSIVE")
	must(t, err)
	if _, err := quickOpen(t, path); !errors.Is(err, sqlitepages.ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = sqlitepages.Open(ctx, path, sqlitepages.Options{TempDir: t.TempDir(), Wait: time.Hour})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want context.DeadlineExceeded", err)
	}
	_, err = db.Exec("COMMIT")
	must(t, err)
	capture(t, path)
}

// The header is read from the file itself; doing that again would drop the
// locks of the capture that is open.
func TestOneCaptureAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	must(t, os.Link(path, path+"2"))
	c, err := quickOpen(t, path)
	must(t, err)
	for _, p := range []string{path, path + "2"} {
		if _, err := quickOpen(t, p); err == nil {
			t.Errorf("%s was captured a second time", filepath.Base(p))
		}
	}
	must(t, c.Close())
	must(t, c.Close())
	capture(t, path)
}

func TestNext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := sqlitepages.Open(ctx, path, sqlitepages.Options{TempDir: t.TempDir()})
	must(t, err)
	defer c.Close()
	if n, err := c.Next(make([]byte, 4095)); n != 0 || err != io.ErrShortBuffer {
		t.Errorf("buffer of 4095 bytes: %d, %v", n, err)
	}
	if n, err := c.Next(make([]byte, 3*4096-1)); n != 2*4096 || err != nil {
		t.Errorf("buffer of almost three pages: %d, %v", n, err)
	}
	cancel()
	if n, err := c.Next(make([]byte, 4096)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %d, %v", n, err)
	}
	if _, err := sqlitepages.Open(t.Context(), path, sqlitepages.Options{}); err == nil {
		t.Error("no error without TempDir")
	}
}

func BenchmarkCapture(b *testing.B) {
	path := filepath.Join(b.TempDir(), "chat.db")
	makeDatabase(b, path, 100_000)
	buf := make([]byte, 1<<20)
	for b.Loop() {
		c, err := quickOpen(b, path)
		must(b, err)
		b.SetBytes(c.PageCount() * int64(c.PageSize()))
		for err == nil {
			_, err = c.Next(buf)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		must(b, c.Close())
	}
}
