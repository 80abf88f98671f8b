package backup_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"keepsake.example/backup"
)

// A flipped bit in a pack costs the file it is in: those before and behind it in the same pack come back, and only it is named.
func TestDamagedStretch(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{7}))
	for i := range 5 {
		p.write(fmt.Sprint("f", i), random(rnd, 200_000))
	}
	want := tree(t, p.chats)
	p.backup(backup.BackupOptions{})
	pack := in(p.contents(), "data")[0]
	object := p.contents()[pack]
	for _, c := range []struct{ segment, file int }{{3, 0}, {15, 1}, {20, 1}, {30, 2}, {57, 4}} {
		p.put(pack, flipped(object, 104+c.segment*16400+5))
		target := filepath.Join(t.TempDir(), "r")
		res, err := p.restoreInto("latest", target)
		lost := fmt.Sprint("f", c.file)
		wantDamage(t, lost, err, pack, "segment")
		if len(res.Problems) != 1 || res.Problems[0].Path != lost {
			t.Errorf("segment %d: %+v", c.segment, res.Problems)
		}
		got := tree(t, target)
		for name, is := range want {
			if (got[name] == is) != (name != lost) {
				t.Errorf("segment %d: %s is %q", c.segment, name, got[name])
			}
		}
	}
}

// What is missing in the cloud, or cut, and still on the device is stored again by the next backup; the person is told.
func TestBackupHealsTheCloud(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{6}))
	p.write("f", random(rnd, 300_000))
	p.write("g", random(rnd, 1000))
	p.sql("db", "CREATE TABLE m(id INTEGER PRIMARY KEY, t TEXT)", "INSERT INTO m(t) VALUES('x')")
	want := tree(t, p.chats)
	p.backup(backup.BackupOptions{})
	start, mark := p.contents(), p.mark
	for _, name := range slices.Concat(in(start, "data"), in(start, "meta"), in(start, "index")) {
		object := start[name]
		for what, b := range map[string][]byte{"removed": nil, "cut": object[:len(object)-100], "longer": append(slices.Clone(object), 0)} {
			p.setCloud(start)
			p.mark = mark
			p.put(name, b)
			p.cache = t.TempDir() // or the list of files would be at hand
			res := p.backup(backup.BackupOptions{})
			if in(start, "index")[0] != name && len(res.Problems) == 0 {
				t.Errorf("%s %s: not a word", name, what)
			}
			same(t, want, tree(t, p.restore("latest")))
			if again := p.backup(backup.BackupOptions{}); !again.NothingNew {
				t.Errorf("%s %s: stored once more: %+v", name, what, again.Snapshot)
			}
		}
	}
}
