package sqlitepages_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/sqlitepages"
)

// capture returns the pages of the database at path.
func capture(t testing.TB, path string) []byte {
	t.Helper()
	return captureInto(t, path, t.TempDir())
}

func captureInto(t testing.TB, path, temp string) []byte {
	t.Helper()
	c, err := sqlitepages.Open(t.Context(), path, sqlitepages.Options{TempDir: temp})
	must(t, err)
	defer c.Close()
	b := drain(t, c)
	must(t, c.Close())
	return b
}

// drain reads c to its end in steps that do not divide evenly.
func drain(t testing.TB, c *sqlitepages.Capture) []byte {
	t.Helper()
	var all []byte
	buf := make([]byte, 7*c.PageSize()+c.PageSize()/2)
	for {
		n, err := c.Next(buf)
		if err == io.EOF {
			break
		}
		must(t, err)
		all = append(all, buf[:n]...)
	}
	if want := c.PageCount() * int64(c.PageSize()); int64(len(all)) != want {
		t.Fatalf("%d bytes captured, want %d", len(all), want)
	}
	return all
}

// lastCommit checks that pages are a sound database holding transactions
// 1 to n of a writer, whole, and returns n.
func lastCommit(t testing.TB, pages []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "restored")
	must(t, os.WriteFile(path, pages, 0o600))
	db, err := sql.Open("sqlite", dsnFor(path))
	must(t, err)
	defer db.Close()
	var verdict string
	must(t, db.QueryRow("PRAGMA integrity_check").Scan(&verdict))
	if verdict != "ok" {
		t.Fatalf("integrity_check: %s", verdict)
	}
	var rows, last, credit, debit int
	must(t, db.QueryRow(`SELECT count(*), ifnull(max(n), 0), (SELECT sum(v) FROM credit), (SELECT sum(v) FROM debit)
		FROM log`).Scan(&rows, &last, &credit, &debit))
	if rows != last {
		t.Fatalf("%d rows, the last being number %d", rows, last)
	}
	if want := last * ledgerRows * (ledgerRows + 1) / 2; credit != want || debit != -want {
		t.Fatalf("ledgers %d and %d after transaction %d, want %d and its negative", credit, debit, last, want)
	}
	return last
}

var journalModes = []string{"wal", "delete", "truncate", "persist"}

// Captures while a writer commits without pause hold a prefix of its
// transactions: at least those it had reported before the capture began.
func TestLiveWriter(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "chat.db")
			// In WAL mode the writer has no patience at all: we must never
			// make it wait. A small log makes it checkpoint and reset often.
			timeout := "busy_timeout(20000)"
			if mode == "wal" {
				timeout = "busy_timeout(0)"
			}
			w := startWriter(t, path, timeout, "journal_mode("+mode+")", "synchronous(0)", "wal_autocheckpoint(100)")
			w.send("flood")
			w.answer()
			acked, seen := 1, map[int]bool{}
			// In rollback mode a busy machine may find the writer asleep between its tries at every capture, so go on until it has written.
			for i := 0; i < 12 || len(seen) < 2 && i < 1000; i++ {
				acked = w.committed(acked)
				n := lastCommit(t, capture(t, path))
				if n < acked {
					t.Fatalf("capture ends at transaction %d after %d was committed", n, acked)
				}
				seen[n] = true
			}
			w.quit()
			if len(seen) < 2 {
				t.Fatal("writer stood still: nothing was tested")
			}
		})
	}
}

// While a capture is open, a commit in WAL mode goes through and does not
// show; in rollback mode it waits for Close.
func TestTransactionIsHeld(t *testing.T) {
	for _, mode := range journalModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "chat.db")
			w := startWriter(t, path, "busy_timeout(20000)", "journal_mode("+mode+")")
			w.send("commit")
			w.answer()
			c, err := sqlitepages.Open(t.Context(), path, sqlitepages.Options{TempDir: t.TempDir()})
			must(t, err)
			defer c.Close()
			if c.WAL() != (mode == "wal") {
				t.Fatalf("WAL() = %v", c.WAL())
			}
			w.send("commit")
			if c.WAL() {
				w.answer()
			} else {
				// State must not drop the lock, and looks at the open file.
				_, err := sqlitepages.State(path)
				must(t, err)
				time.Sleep(100 * time.Millisecond) // a chance for the writer to do wrong
			}
			if n := lastCommit(t, drain(t, c)); n != 1 {
				t.Fatalf("capture ends at transaction %d, want 1", n)
			}
			if n := w.committed(1); n != 1 {
				t.Fatalf("transaction %d was committed during the capture", n)
			}
			must(t, c.Close())
			if !c.WAL() {
				w.answer()
			}
			w.quit()
			if n := lastCommit(t, capture(t, path)); n != 2 {
				t.Fatalf("next capture ends at transaction %d, want 2", n)
			}
		})
	}
}

// kept are the files of the owner that must not change, with their contents.
func kept(t *testing.T, path string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, p := range []string{path, path + "-wal", path + "-journal"} {
		b, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(t, err)
		files[filepath.Base(p)] = b
	}
	return files
}

func sameFiles(t *testing.T, before, after map[string][]byte) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("%d files became %d", len(before), len(after))
	}
	for name, b := range before {
		if !bytes.Equal(b, after[name]) {
			t.Errorf("%s was changed", name)
		}
	}
}

// A writer killed within a transaction leaves a hot journal, or a log that
// ends in frames never committed. The capture is the last committed state, and
// the recovery is left to the owner.
func TestKilledWriter(t *testing.T) {
	for _, mode := range append(journalModes, "wal without shm") {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "chat.db")
			journal, _, lost := strings.Cut(mode, " ")
			w := startWriter(t, path, "journal_mode("+journal+")", "wal_autocheckpoint(0)")
			for range 3 {
				w.send("commit")
				w.answer()
			}
			w.send("dirty")
			w.answer()
			w.kill("")
			if lost {
				must(t, os.Remove(path+"-shm"))
			}
			before, listing := kept(t, path), names(t, filepath.Dir(path))
			if spilled := len(before["chat.db-wal"]) + len(before["chat.db-journal"]); spilled < 100_000 {
				t.Fatalf("only %d bytes in log or journal: nothing to recover", spilled)
			}
			captureKilled(t, path)
			sameFiles(t, before, kept(t, path))
			if now := names(t, filepath.Dir(path)); now != listing {
				t.Errorf("files were %s, are %s", listing, now)
			}
		})
	}
}

func captureKilled(t *testing.T, path string) {
	t.Helper()
	temp := t.TempDir()
	c, err := sqlitepages.Open(t.Context(), path, sqlitepages.Options{TempDir: temp})
	must(t, err)
	defer c.Close()
	if left := names(t, temp); left != "" {
		t.Errorf("clear text in the temporary directory while the capture is open: %s", left)
	}
	if n := lastCommit(t, drain(t, c)); n != 3 {
		t.Errorf("capture ends at transaction %d, want 3", n)
	}
	must(t, c.Close())
	if left := names(t, temp); left != "" {
		t.Errorf("left in the temporary directory: %s", left)
	}
}

// Killed at any moment at all, the writer leaves what it had reported, and at
// most the one transaction that it had no time to report.
func TestKilledAtRandom(t *testing.T) {
	for _, mode := range []string{"wal", "delete", "delete", "persist", "truncate"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "chat.db")
			w := startWriter(t, path, "journal_mode("+mode+")", "synchronous(0)", "cache_size(20)")
			w.send("flood")
			last := ""
			for range 10 {
				last = w.answer()
			}
			time.Sleep(time.Duration(time.Now().UnixNano() % int64(20*time.Millisecond)))
			acked, err := strconv.Atoi(w.kill(last))
			must(t, err)
			before := kept(t, path)
			n := lastCommit(t, capture(t, path))
			if n < acked || n > acked+1 {
				t.Errorf("capture ends at transaction %d, the writer reported %d", n, acked)
			}
			sameFiles(t, before, kept(t, path))
		})
	}
}
