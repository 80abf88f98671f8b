package backup_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/backup"
)

// nobody is a user without rights, as whom children run when the tests run as root, who is denied nothing.
const nobody = 65534

// ordinary makes a phone that belongs to an ordinary user, in a place that such a user can reach, and the program to run there.
func ordinary(t *testing.T) (p *phone, program string) {
	t.Helper()
	if os.Getuid() != 0 {
		return newPhone(t), os.Args[0]
	}
	top, err := os.MkdirTemp("", "keepsake-test-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(top) })
	must(t, os.Chmod(top, 0o755))
	program = filepath.Join(top, "program")
	from, err := os.Open(os.Args[0])
	must(t, err)
	defer from.Close()
	to, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(to, from)
	must(t, err)
	must(t, to.Close())
	p = newPhoneIn(t, filepath.Join(top, "phone"))
	must(t, os.Mkdir(p.cache, 0o700))
	return p, program
}

// as runs a job as an ordinary user who owns everything of the phone's.
func (p *phone) as(program string, j *job) *outcome {
	p.t.Helper()
	uid := 0
	if os.Getuid() == 0 {
		uid = nobody
		must(p.t, filepath.WalkDir(filepath.Dir(p.chats), func(path string, _ fs.DirEntry, err error) error {
			must(p.t, err)
			return os.Lchown(path, nobody, nobody)
		}))
	}
	j.program = program
	o := j.start(p.t, uint32(uid)).wait()
	if o == nil {
		p.t.Fatal("the child was killed")
	}
	return o
}

// What may not be read is kept from the snapshot before, and told; what never could be read is told too.
func TestUnreadable(t *testing.T) {
	p, program := ordinary(t)
	p.write("a", []byte("a"))
	p.write("secret", []byte("secret"))
	p.write("closed/file", []byte("in a closed folder"))
	p.write("closed/deep/er/file", []byte("deeper"))
	p.write("listed/file", []byte("in a folder that may be listed but not entered"))
	p.write("listed/sub/file", []byte("in a folder in such a folder"))
	p.write("listed/sub/sub/file", []byte("deeper"))
	p.sql("closed.db", "CREATE TABLE t(x)")
	p.write("z", []byte("z"))
	want := tree(t, p.chats)
	o := p.as(program, p.job("backup"))
	if o.Error != "" || len(o.Backup.Problems) > 0 {
		t.Fatalf("%+v", o)
	}
	p.mark = o.Mark
	for path, mode := range map[string]fs.FileMode{"secret": 0, "closed": 0, "listed": 0o444, "closed.db": 0o200} {
		must(t, os.Chmod(filepath.Join(p.chats, path), mode))
		defer os.Chmod(filepath.Join(p.chats, path), 0o755)
	}
	p.write("new and secret", []byte("never seen"))
	must(t, os.Chmod(filepath.Join(p.chats, "new and secret"), 0))
	o = p.as(program, p.job("backup"))
	if o.Error != "" {
		t.Fatal(o.Error)
	}
	p.mark = o.Mark
	told := problems(o.Backup)
	for _, path := range []string{"secret", "closed", "closed.db", "listed/file", "listed/sub", "new and secret"} {
		if told[path] == "" {
			t.Errorf("%s: not told: %v", path, told)
		}
	}
	if s := o.Backup.Snapshot; s.Removed > 0 || s.Unread != len(told) {
		t.Errorf("%d removed, %d unread, %d told", s.Removed, s.Unread, len(told))
	}
	got := tree(t, p.restore("latest"))
	for path, is := range want {
		if got[path] != is && path != "closed" && path != "listed" { // folders have the mode they have now
			t.Errorf("%s: %q, want %q", path, got[path], is)
		}
	}
	if _, ok := got["new and secret"]; ok {
		t.Error("what could not be read is there")
	}
}

// A target that may not be written to is an error of this device, and nothing else.
func TestUnwritableTarget(t *testing.T) {
	p, program := ordinary(t)
	p.write("a", []byte("a"))
	o := p.as(program, p.job("backup"))
	p.mark = o.Mark
	closed := filepath.Join(filepath.Dir(p.chats), "closed")
	must(t, os.Mkdir(closed, 0o555))
	for _, target := range []string{closed, filepath.Join(closed, "below"), "/proc/nothing"} {
		j := p.job("restore")
		j.Snapshot, j.Target = o.Backup.Snapshot.ID, target
		if got := p.as(program, j); !got.Local {
			t.Errorf("%s: %q, want ErrLocal", target, got.Error)
		}
	}
}

// An ordinary user can go on with a restore that was killed while a file had its final mode already, and not its name.
func TestContinuedReadOnlyFile(t *testing.T) {
	p, program := ordinary(t)
	p.write("a", []byte("read only"))
	p.write("folder/b", []byte("b"))
	for path, mode := range map[string]fs.FileMode{"a": 0o400, "folder/b": 0, "folder": 0o500} {
		must(t, os.Chmod(filepath.Join(p.chats, path), mode))
	}
	r := p.open()
	_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	must(t, err)
	p.mark = r.Mark()
	j := p.job("restore")
	j.Snapshot, j.Target = r.Snapshots()[0].ID, filepath.Join(filepath.Dir(p.chats), "target")
	put(t, j.Target, map[string]string{workFolder + "/restore.json": p.marker(j.Snapshot), "folder/other": ""})
	must(t, os.Remove(filepath.Join(j.Target, "folder/other")))
	for _, path := range []string{"a", "folder/b"} {
		part := filepath.Join(j.Target, backup.PartName(path))
		must(t, os.WriteFile(part, []byte("not it yet")[:len(mustRead(t, filepath.Join(p.chats, path)))], 0o400))
	}
	must(t, os.Chmod(filepath.Join(j.Target, "folder"), 0o500))
	if o := p.as(program, j); o.Error != "" || !o.Restore.Continued {
		t.Fatalf("%+v", o)
	}
	same(t, tree(t, p.chats), tree(t, j.Target))
}

// What cannot be read is not given out in the version that another device, or another folder of this one, has under the same name. Its own is kept, whoever
// has backed up since.
func TestUnreadableOfAnother(t *testing.T) {
	p, program := ordinary(t)
	paths := []string{"note.txt", "closed/file", "a.db"}
	for what, strange := range map[string]func(){
		"device": func() {
			p.device, p.chats = strings.Repeat("ab", 16), filepath.Join(filepath.Dir(p.chats), "other", filepath.Base(p.chats))
		},
		"folder": func() { p.chats += "-other" },
	} {
		deny := func(mode fs.FileMode) {
			for _, path := range []string{"note.txt", "closed", "a.db"} {
				must(t, os.Chmod(filepath.Join(p.chats, path), mode))
			}
		}
		fill := func() {
			p.write("note.txt", []byte(p.device+p.chats))
			p.write("closed/file", []byte(p.device+p.chats))
			p.sql("a.db", "CREATE TABLE IF NOT EXISTS t(x)")
			deny(0o755)
		}
		backs := func() *outcome {
			o := p.as(program, p.job("backup"))
			if o.Error != "" {
				t.Fatal(o.Error)
			}
			p.mark = o.Mark
			return o
		}
		fill()
		backs()
		first := *p
		strange()
		fill()
		deny(0)
		o := backs()
		if s := o.Backup.Snapshot; s.Files != 0 || s.Unread != 3 || len(o.Backup.Problems) != 3 {
			t.Errorf("another %s: %+v, told %v", what, s, problems(o.Backup))
		}
		deny(0o755)
		backs() // that has it now
		mark := p.mark
		*p = first
		p.mark = mark
		deny(0)
		o = backs()
		deny(0o755)
		want, got := tree(t, p.chats), tree(t, p.restore("latest"))
		for _, path := range paths {
			if got[path] != want[path] {
				t.Errorf("after another %s: %s is %q, want %q", what, path, got[path], want[path])
			}
		}
		if s := o.Backup.Snapshot; s.Files != 3 || s.Unread != 3 {
			t.Errorf("after another %s: %+v", what, s)
		}
	}
}
