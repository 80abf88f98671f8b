package backup_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/backup"
)

// A restore into a folder that has something in it is cut off and continued without being told so again: still nothing there is taken for what the
// snapshot has by its size and time, and no old log stays beside a database.
func TestContinuedIntoNonEmpty(t *testing.T) {
	for _, flags := range [][2]bool{{true, false}, {false, true}, {true, true}} {
		p := newPhone(t)
		p.sql("a.db", "CREATE TABLE t(x)", "INSERT INTO t VALUES('one')")
		p.write("z", random(rand.New(rand.NewPCG(1, 2)), 3<<20))
		first := p.backup(backup.BackupOptions{}).Snapshot.ID
		want := tree(t, p.chats)
		when := modTime(t, filepath.Join(p.chats, "a.db"))
		target := filepath.Join(t.TempDir(), "target")
		spoil := func() { // same size, same time, as the log of a database leaves them
			q := *p
			q.chats = target
			q.sql("a.db", "CREATE TABLE IF NOT EXISTS t(x)", "DELETE FROM t", "INSERT INTO t VALUES('two')")
			must(t, os.Chtimes(filepath.Join(target, "a.db"), when, when))
			put(t, target, map[string]string{"a.db-wal": "old log"})
		}
		if flags[0] {
			spoil()
		}
		_, err := p.restoring(&meter{Store: p.store, failAt: 1}, backup.RestoreOptions{Snapshot: first, Target: target, IntoNonEmpty: flags[0]})
		if !errors.Is(err, errCut) {
			t.Fatalf("%v, want it cut", err)
		}
		if !flags[0] {
			spoil()
			_, err := p.restoring(&meter{Store: p.store, failAt: 1}, backup.RestoreOptions{Snapshot: first, Target: target, IntoNonEmpty: true})
			if !errors.Is(err, errCut) {
				t.Fatalf("%v, want it cut", err)
			}
		}
		res, err := p.restoring(p.store, backup.RestoreOptions{Snapshot: first, Target: target})
		must(t, err)
		if !res.Continued || res.Skipped > 0 {
			t.Errorf("%+v", res)
		}
		same(t, want, tree(t, target))
	}
}

func modTime(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.ModTime()
}

// What is in a folder is compared, not believed by size and time: what is spoilt is replaced, what is as it should be is kept and gets its mode and
// time, and nothing of it is fetched.
func TestIntoNonEmptyCompares(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	want := tree(t, p.chats)
	target := p.restore("latest")
	spoilt := filepath.Join(target, "Media/Video/long.mp4")
	when := modTime(t, spoilt)
	movie := mustRead(t, spoilt)
	copy(movie[2<<20:], make([]byte, 1000))
	must(t, os.WriteFile(spoilt, movie, 0o644))
	must(t, os.Chtimes(spoilt, when, when))
	holes := filepath.Join(target, "Notes/zeros")
	zeros := mustRead(t, holes)
	zeros[len(zeros)-1] = 1
	must(t, os.WriteFile(holes, zeros, 0o644))
	must(t, os.Chmod(filepath.Join(target, "Notes/text.txt"), 0o777))
	must(t, os.Chtimes(filepath.Join(target, "Odd/-dash"), time.Now(), time.Now()))
	put(t, target, map[string]string{"Databases/msgstore.db-wal": "old log"})
	m := &meter{Store: p.store}
	res, err := p.restoring(m, backup.RestoreOptions{Target: target, IntoNonEmpty: true})
	must(t, err)
	same(t, want, tree(t, target))
	if all := res.Snapshot.Files; res.Skipped != 0 || res.Files != 2 || res.Same != all-2 || res.Continued {
		t.Errorf("of %d files %d were written, %d the same, %d skipped", all, res.Files, res.Same, res.Skipped)
	}
	if got := m.bytes.Load(); got > int64(len(movie))+1<<20 {
		t.Errorf("%d bytes were fetched for a file of %d", got, len(movie))
	}
}
