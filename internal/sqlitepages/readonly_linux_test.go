package sqlitepages_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asReader runs f without the rights to write files of this user: for root,
// whom modes do not stop, as another user on this thread only.
func asReader(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		must(t, syscall.Setfsuid(65534))
		defer syscall.Setfsuid(0)
	}
	f()
}

// In a directory that cannot be written, SQLite opens no WAL database unless
// its -shm is there; the copy opens.
func TestReadOnlyDirectory(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		for _, killed := range []bool{false, true} {
			t.Run(map[bool]string{false: "closed ", true: "killed "}[killed]+mode, func(t *testing.T) {
				t.Parallel()
				dir, temp := t.TempDir(), t.TempDir()
				for _, d := range []string{filepath.Dir(dir), temp} {
					must(t, os.Chmod(d, 0o777))
				}
				path := filepath.Join(dir, "chat.db")
				w := startWriter(t, path, "journal_mode("+mode+")", "wal_autocheckpoint(0)")
				w.send("commit")
				w.answer()
				if killed {
					w.send("dirty")
					w.answer()
					w.kill("")
					os.Remove(path + "-shm")
				} else {
					w.quit()
				}
				before, listing := kept(t, path), names(t, dir)
				must(t, os.Chmod(dir, 0o555))
				var got []byte
				asReader(t, func() { got = captureInto(t, path, temp) })
				must(t, os.Chmod(dir, 0o755))
				if n := lastCommit(t, got); n != 1 {
					t.Errorf("capture ends at transaction %d, want 1", n)
				}
				if !killed && !bytes.Equal(got, before["chat.db"]) {
					t.Error("capture differs from file")
				}
				sameFiles(t, before, kept(t, path))
				if now := names(t, dir); now != listing {
					t.Errorf("files were %s, are %s", listing, now)
				}
			})
		}
	}
}
