package sqlitepages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/internal/sqlitepages"
)

// With an empty log the file itself is read. Commits and checkpoints that come
// meanwhile must not reach it.
func TestFileIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	w := startWriter(t, path, "busy_timeout(0)", "journal_mode(wal)")
	w.send("commit")
	w.answer()
	w.send("checkpoint")
	if got := w.answer(); got != "busy 0" {
		t.Fatalf("checkpoint before the capture: %s", got)
	}
	c, err := quickOpen(t, path)
	must(t, err)
	defer c.Close()
	if !c.WAL() || !c.Direct() {
		t.Fatalf("WAL() = %v, read from the file: %v", c.WAL(), c.Direct())
	}
	for range 3 {
		w.send("commit")
		w.answer()
	}
	w.send("checkpoint")
	if got := w.answer(); got != "busy 1" {
		t.Fatalf("checkpoint during the capture: %s", got)
	}
	if n := lastCommit(t, drain(t, c)); n != 1 {
		t.Fatalf("capture ends at transaction %d, want 1", n)
	}
	must(t, c.Close())
	w.send("checkpoint")
	if got := w.answer(); got != "busy 0" {
		t.Fatalf("checkpoint after the capture: %s", got)
	}
	w.quit()
	if n := lastCommit(t, capture(t, path)); n != 4 {
		t.Fatalf("next capture ends at transaction %d, want 4", n)
	}
}

// What is in the log is not in the file, so the file is not read while the log
// holds anything, be its first page the same.
func TestLogIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	w := startWriter(t, path, "journal_mode(wal)", "wal_autocheckpoint(0)")
	for _, command := range []string{"commit", "checkpoint", "touch"} {
		w.send(command)
		w.answer()
	}
	file, err := os.ReadFile(path)
	must(t, err)
	c, err := quickOpen(t, path)
	must(t, err)
	defer c.Close()
	got := drain(t, c)
	if c.Direct() || bytes.Equal(got, file) {
		t.Error("the file is read beside a log")
	}
	if !bytes.Equal(got[:c.PageSize()], file[:c.PageSize()]) {
		t.Error("the log has the first page too: not what was to be tested")
	}
	must(t, c.Close())
	w.quit()
}

// The file that is read must be the one that SQLite has locked.
func TestOtherFileIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path+"2", b, 0o600))
	c, err := quickOpen(t, path)
	must(t, err)
	defer c.Close()
	first := b[:c.PageSize()]
	if !c.Direct() || !c.AtRest(path, first) {
		t.Error("a file at rest is not read itself")
	}
	if c.AtRest(path+"2", first) {
		t.Error("a copy under another name passes for the file")
	}
	other := bytes.Clone(first)
	other[27]++ // the file change counter
	if c.AtRest(path, other) {
		t.Error("a file with another first page passes for the one that SQLite read")
	}
	must(t, c.Close())
}

// A last page cut short is filled with zeros, as SQLite does.
func TestLastPageCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 20)
	want, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Truncate(path, int64(len(want)-100)))
	clear(want[len(want)-100:])
	if !bytes.Equal(capture(t, path), want) {
		t.Error("capture differs")
	}
}

// A file cut short while it is read is an error, not a short database.
func TestCutShortMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 100)
	c, err := sqlitepages.Open(t.Context(), path, sqlitepages.Options{TempDir: t.TempDir()})
	must(t, err)
	defer c.Close()
	must(t, os.Truncate(path, 3*4096+7))
	buf := make([]byte, 2*4096)
	if n, err := c.Next(buf); n != len(buf) || err != nil {
		t.Fatalf("pages that are there: %d, %v", n, err)
	}
	if n, err := c.Next(buf); n != 0 || err == nil {
		t.Fatalf("pages that are gone: %d, %v", n, err)
	}
}
