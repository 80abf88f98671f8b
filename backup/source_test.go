package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keepsake.example/backup"
)

// problems lists the paths that a backup had something to say about.
func problems(res *backup.BackupResult) map[string]string {
	out := make(map[string]string)
	for _, p := range res.Problems {
		out[p.Path] = p.What
	}
	return out
}

// Names that are long, sort oddly, differ in case only or are no text.
func TestOddNames(t *testing.T) {
	p := newPhone(t)
	for _, name := range []string{strings.Repeat("x", 255), strings.Repeat("ü", 127), "a", "A", "a-", "a.b", "a!", "a\x01", "b/x", "b-/x", "b.", "b /x", "\x01", "\x7f", "\xff", "\xed\xa0\x80",
		"line\nbreak", "tab\t", "back\\slash", "C:", "con", "e\u0301", "é", "\u202egpj", "-rf", "~", "$HOME", "…", "*", "[", ".hidden", "..."} {
		p.write(name, []byte("in "+name))
	}
	res := p.backup(backup.BackupOptions{})
	if len(res.Problems) > 0 {
		t.Errorf("%+v", res.Problems)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	if res := p.backup(backup.BackupOptions{}); !res.NothingNew || res.Snapshot.Removed+res.Snapshot.New > 0 {
		t.Errorf("nothing changed, but: %+v", res)
	}
	p.sound()
}

// A path longer than the format has room for, and than the system takes in one go, is told and costs only what is below it.
func TestDeepPath(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.write("z", []byte("z"))
	root, err := os.OpenRoot(p.chats)
	must(t, err)
	for range 20 {
		name := strings.Repeat("d", 250)
		must(t, root.Mkdir(name, 0o755))
		must(t, root.WriteFile("file", []byte("deep"), 0o644))
		below, err := root.OpenRoot(name)
		must(t, err)
		root.Close()
		root = below
	}
	root.Close()
	res := p.backup(backup.BackupOptions{})
	if len(res.Problems) != 1 || res.Snapshot.Unread != 1 || res.Snapshot.Files < 12 {
		t.Errorf("%d problems, %d unread, %d files: %+v", len(res.Problems), res.Snapshot.Unread, res.Snapshot.Files, res.Problems)
	}
	target := filepath.Join(t.TempDir(), "r")
	got, err := p.restoreInto("latest", target)
	must(t, err)
	if got.Files != res.Snapshot.Files || string(mustRead(t, filepath.Join(target, "z"))) != "z" {
		t.Errorf("%d files restored of %d", got.Files, res.Snapshot.Files)
	}
}

// What is no file, folder or link is left out, told, and nothing waits for it.
func TestSpecialFiles(t *testing.T) {
	p := newPhone(t)
	p.write("file", []byte("x"))
	must(t, syscall.Mkfifo(filepath.Join(p.chats, "pipe"), 0o644))
	l, err := net.Listen("unix", filepath.Join(p.chats, "socket"))
	must(t, err)
	defer l.Close()
	want := []string{"pipe", "socket"}
	if os.Getuid() == 0 {
		must(t, syscall.Mknod(filepath.Join(p.chats, "null"), syscall.S_IFCHR|0o666, 1<<8|3))
		want = append(want, "null")
	}
	must(t, os.Symlink("loop", filepath.Join(p.chats, "loop")))
	must(t, os.Symlink("..", filepath.Join(p.chats, "up")))
	must(t, os.Symlink("pipe", filepath.Join(p.chats, "to the pipe")))
	res := p.backup(backup.BackupOptions{})
	told := problems(res)
	for _, name := range want {
		if !strings.Contains(told[name], "left out") {
			t.Errorf("%s: told %q", name, told[name])
		}
		must(t, os.Remove(filepath.Join(p.chats, name)))
	}
	if len(told) != len(want) || res.Snapshot.Files != 1 || res.Snapshot.Links != 3 {
		t.Errorf("%d files, %d links, told %v", res.Snapshot.Files, res.Snapshot.Links, told)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
}

// Holes stay holes, wherever they are; zeros that were written may become holes; and a file is not longer or shorter for it.
func TestSparseFiles(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewPCG(6, 6))
	files := map[string]struct {
		size int64
		data []int64 // where 5000 bytes lie
	}{
		"all hole": {24 << 20, nil}, "hole, data": {12<<20 + 7, []int64{12<<20 - 4993}}, "data, hole": {16<<20 + 1, []int64{0}}, "in the middle": {20<<20 - 1, []int64{9<<20 + 77}},
		"many": {24 << 20, []int64{1 << 20, 3<<20 - 1, 3<<20 + 9000, 11 << 20, 23<<20 + 5}}, "short hole": {2 << 20, []int64{4096, 1<<20 + 8192}}, "less than a chunk": {70_000, []int64{60_000}},
	}
	for name, f := range files {
		file, err := os.Create(filepath.Join(p.chats, name))
		must(t, err)
		must(t, file.Truncate(f.size))
		for _, at := range f.data {
			_, err := file.WriteAt(random(rnd, 5000), at)
			must(t, err)
		}
		must(t, file.Close())
	}
	p.write("zeros written", make([]byte, 5<<20+3))
	res := p.backup(backup.BackupOptions{})
	if res.BytesRead > 24<<20 || res.BytesNew > 16<<20 {
		t.Errorf("%d bytes read, %d new, of files that are mostly holes", res.BytesRead, res.BytesNew)
	}
	restored := p.restore("latest")
	same(t, tree(t, p.chats), tree(t, restored))
	if is := onDisk(t, filepath.Join(restored, "zeros written")); is > 1<<20 {
		t.Errorf("zeros take %d bytes of the disk", is)
	}
	for name, f := range files {
		if is, most := onDisk(t, filepath.Join(restored, name)), int64(len(f.data)+1)<<21; is > most {
			t.Errorf("%s takes %d bytes of the disk, the original %d", name, is, onDisk(t, filepath.Join(p.chats, name)))
		}
	}
	p.sound()
}

func TestModes(t *testing.T) {
	p := newPhone(t)
	for _, mode := range []fs.FileMode{0, 0o400, 0o200, 0o644, 0o755, 0o777, 0o111} {
		name := fmt.Sprintf("%03o", mode)
		p.write(name, []byte(name))
		must(t, os.Chmod(filepath.Join(p.chats, name), mode))
		p.write("in "+name+"/file", []byte(name))
		must(t, os.Chmod(filepath.Join(p.chats, "in "+name), mode))
	}
	p.write("setuid", []byte("x"))
	must(t, os.Chmod(filepath.Join(p.chats, "setuid"), 0o755|fs.ModeSetuid))
	must(t, os.Mkdir(filepath.Join(p.chats, "sticky"), 0o755))
	must(t, os.Chmod(filepath.Join(p.chats, "sticky"), 0o755|fs.ModeSticky))
	p.backup(backup.BackupOptions{})
	restored := p.restore("latest")
	same(t, tree(t, p.chats), tree(t, restored))
	if info, err := os.Stat(filepath.Join(restored, "setuid")); err != nil || info.Mode()&fs.ModeSetuid != 0 {
		t.Errorf("%v, %v: a file that is restored must not run as its owner", info.Mode(), err)
	}
}

// Every kind of thing becomes every other between two snapshots.
func TestKindsChange(t *testing.T) {
	p := newPhone(t)
	kinds := map[string]func(path string){
		"nothing": func(string) {},
		"file":    func(path string) { p.write(path, []byte("a file")) },
		"folder":  func(path string) { p.write(path+"/inside", []byte("in a folder")) },
		"empty":   func(path string) { must(t, os.MkdirAll(filepath.Join(p.chats, path), 0o755)) },
		"link":    func(path string) { must(t, os.Symlink("somewhere", filepath.Join(p.chats, path))) },
		"database": func(path string) {
			p.sql(path, "CREATE TABLE t(x)", "INSERT INTO t VALUES(1)")
		},
		"large": func(path string) { p.write(path, bytes.Repeat([]byte("large"), 300_000)) },
	}
	all := func(second bool) {
		for from, makeFrom := range kinds {
			for to, makeTo := range kinds {
				path := "x/" + from + " to " + to
				must(t, os.RemoveAll(filepath.Join(p.chats, path)))
				if second {
					makeTo(path)
				} else {
					makeFrom(path)
				}
			}
		}
	}
	must(t, os.Mkdir(filepath.Join(p.chats, "x"), 0o755))
	all(false)
	day1 := tree(t, p.chats)
	first := p.backup(backup.BackupOptions{})
	all(true)
	second := p.backup(backup.BackupOptions{})
	if len(first.Problems)+len(second.Problems) > 0 {
		t.Errorf("%+v, %+v", first.Problems, second.Problems)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	same(t, day1, tree(t, p.restore(first.Snapshot.ID)))
	p.sound()
}

func TestChatFolder(t *testing.T) {
	p := newPhone(t)
	try := func(source string, o backup.BackupOptions, want error) *backup.BackupResult {
		t.Helper()
		r := p.open()
		o.Source = source
		res, err := r.Backup(t.Context(), o)
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		p.mark = r.Mark()
		return res
	}
	gone := filepath.Join(t.TempDir(), "gone")
	try(gone, backup.BackupOptions{}, backup.ErrLocal)
	must(t, os.WriteFile(gone, []byte("a file"), 0o644))
	try(gone, backup.BackupOptions{}, backup.ErrLocal)
	try(p.chats, backup.BackupOptions{}, nil) // empty from the start
	p.write("a/file", []byte("x"))
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(p.chats, link))
	if res := try(link, backup.BackupOptions{}, nil); res.Snapshot.Files != 1 {
		t.Errorf("through a link: %d files", res.Snapshot.Files)
	}
	empty := t.TempDir()
	try(empty, backup.BackupOptions{}, backup.ErrSourceEmpty)
	try(empty, backup.BackupOptions{DryRun: true}, backup.ErrSourceEmpty)
	if res := try(empty, backup.BackupOptions{AllowEmpty: true}, nil); res.Snapshot.Removed != 1 {
		t.Errorf("emptied: %+v", res.Snapshot)
	}
	var bad *backup.PatternError
	if _, err := p.open().Backup(t.Context(), backup.BackupOptions{Source: p.chats, Exclude: []string{"["}}); !errors.As(err, &bad) {
		t.Errorf("%v, want a PatternError", err)
	}
	p.sound()
}

func TestExcludedFromBackup(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{Exclude: []string{"*.mp4", "/Notes", "Odd/*star*", "nothing"}})
	want := tree(t, p.chats)
	for path := range want {
		if strings.HasSuffix(path, ".mp4") || path == "Notes" || strings.HasPrefix(path, "Notes/") || strings.Contains(path, "star") {
			delete(want, path)
		}
	}
	same(t, want, tree(t, p.restore("latest")))
}

// Files come, go, grow and are replaced while they are read. What is replaced in one step is the one or the other, what grows is as it
// was at some moment, and when all is quiet the next backup has everything as it is.
func TestChangingFiles(t *testing.T) {
	t.Parallel()
	p := newPhone(t)
	versions := [][]byte{bytes.Repeat([]byte("a"), 3<<20), bytes.Repeat([]byte("b"), 3<<20+100)}
	pattern := random(rand.New(rand.NewPCG(2, 2)), 1<<20)
	p.write("replaced", versions[0])
	p.write("grows", pattern[:1])
	ctx, stop := context.WithCancel(t.Context())
	var changers sync.WaitGroup
	defer changers.Wait()
	defer stop()
	for _, change := range []func(i int){
		func(i int) {
			p.write("replacement", versions[i%2])
			must(t, os.Rename(filepath.Join(p.chats, "replacement"), filepath.Join(p.chats, "replaced")))
		},
		func(i int) {
			f, err := os.OpenFile(filepath.Join(p.chats, "grows"), os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			at := fileSize(t, f.Name())
			_, err = f.Write(pattern[at:min(at+500, int64(len(pattern)))])
			must(t, errors.Join(err, f.Close()))
		},
		func(i int) {
			p.write(fmt.Sprintf("comes and goes/%d/file", i%7), versions[0][:i%3000])
			must(t, os.RemoveAll(filepath.Join(p.chats, fmt.Sprintf("comes and goes/%d", (i+3)%7))))
		},
		func(i int) {
			must(t, os.WriteFile(filepath.Join(p.chats, "overwritten"), versions[i%2][:(i%4)<<19], 0o644))
		},
	} {
		changers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				change(i)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for range 6 {
		res := p.backup(backup.BackupOptions{})
		if said := problems(res)["replaced"]; said != "" && !strings.Contains(said, "cannot be read") && !strings.Contains(said, "changing") {
			t.Errorf("told: %q", said)
		}
		restored := p.restore("latest")
		if got := mustRead(t, filepath.Join(restored, "replaced")); !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
			t.Errorf("a replaced file is neither the one nor the other: %d bytes", len(got))
		}
		if got := mustRead(t, filepath.Join(restored, "grows")); !bytes.HasPrefix(pattern, got) {
			t.Errorf("a growing file is not as it was at any moment: %d bytes", len(got))
		}
	}
	stop()
	changers.Wait()
	p.backup(backup.BackupOptions{})
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
}
