package backup_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
)

// states takes n snapshots of a changing folder and returns the cloud after each, and the marks.
func states(t *testing.T, p *phone, n int) (clouds []map[string][]byte, marks []backup.Mark) {
	t.Helper()
	for i := range n {
		p.write("counter", fmt.Append(nil, i))
		p.backup(backup.BackupOptions{})
		clouds = append(clouds, p.contents())
		marks = append(marks, p.mark)
	}
	return clouds, marks
}

// opens tries to open the cloud as a device that has seen a state.
func opens(t *testing.T, p *phone, known backup.Mark) error {
	t.Helper()
	o := p.options()
	o.Known = known
	r, err := backup.Open(t.Context(), p.store, p.key, o)
	if err == nil {
		r.Close()
	}
	return err
}

func wantRollback(t testing.TB, what string, err error, known backup.Mark) {
	t.Helper()
	var e *backup.RollbackError
	if !errors.Is(err, backup.ErrRolledBack) || !errors.As(err, &e) || e.Known != known {
		t.Errorf("%s: %v, want rolled back", what, err)
	}
}

// The whole cloud, or its newest head, replaced by what it was before: a device that has seen the newer state says so and
// writes nothing, and a new device cannot know.
func TestRollback(t *testing.T) {
	p := newPhone(t)
	empty := p.contents()
	clouds, marks := states(t, p, 4)
	for i, older := range append([]map[string][]byte{empty}, clouds[:3]...) {
		p.setCloud(older)
		wantRollback(t, fmt.Sprint("state ", i), opens(t, p, marks[3]), marks[3])
		must(t, opens(t, p, backup.Mark{}))
	}
	p.setCloud(clouds[3])
	must(t, opens(t, p, marks[3]))

	t.Run("while open", func(t *testing.T) {
		r := p.open()
		p.setCloud(clouds[1])
		_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
		wantRollback(t, "backup", err, marks[3])
		_, err = r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
		wantRollback(t, "prune", err, marks[3])
		_, err = r.Verify(t.Context(), backup.VerifyOptions{})
		wantRollback(t, "verify", err, marks[3])
		if got := p.contents(); !maps.EqualFunc(got, clouds[1], func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Error("something was written to a cloud that was rolled back")
		}
	})
	t.Run("head only", func(t *testing.T) {
		p.setCloud(clouds[3])
		heads := in(clouds[3], "head")
		p.put(heads[len(heads)-1], nil)
		wantRollback(t, "without the newest head", opens(t, p, marks[3]), marks[3])
		must(t, opens(t, p, marks[2]))
	})
	t.Run("no head", func(t *testing.T) {
		p.setCloud(clouds[3])
		for _, name := range in(clouds[3], "head") {
			p.put(name, nil)
		}
		wantRollback(t, "without heads", opens(t, p, marks[3]), marks[3])
	})
	t.Run("older state wanted", func(t *testing.T) {
		p.setCloud(clouds[1])
		o := p.options()
		o.Known, o.OlderState = marks[3], true
		r, err := backup.Open(t.Context(), p.store, p.key, o)
		must(t, err)
		defer r.Close()
		if r.Mark() != marks[1] || len(r.Snapshots()) != 2 {
			t.Errorf("%v, %d snapshots", r.Mark(), len(r.Snapshots()))
		}
	})
}

// A state with the same number that is not the one seen, and one with a higher number that does not come from it.
func TestRollbackToAnotherBranch(t *testing.T) {
	p := newPhone(t)
	clouds, marks := states(t, p, 2)
	ours, seen := clouds[1], marks[1]
	p.setCloud(clouds[0])
	p.mark = marks[0]
	_, theirs := states(t, p, 3)
	if theirs[0].Seq != seen.Seq || theirs[0].Head == seen.Head {
		t.Fatal("no other branch")
	}
	wantRollback(t, "higher number", opens(t, p, seen), seen)
	p.setCloud(ours)
	must(t, opens(t, p, seen))
	wantRollback(t, "same number, other head", opens(t, p, theirs[0]), theirs[0])
}

// A device that was away while others made many snapshots goes on.
func TestFarBehind(t *testing.T) {
	p := newPhone(t)
	_, marks := states(t, p, 36)
	for i, mark := range marks {
		if err := opens(t, p, mark); err != nil {
			t.Errorf("%d heads behind: %v", len(marks)-1-i, err)
		}
	}
	p.mark = marks[1]
	p.backup(backup.BackupOptions{})
}

// Two devices that wrote at once, each not seeing the other: both snapshots are there, and the next writer makes one head of two.
func TestForkIsMerged(t *testing.T) {
	a := newPhone(t)
	a.write("both", []byte("both"))
	a.backup(backup.BackupOptions{})
	third := a.mark
	b := a.another(2, false)
	b.mark = a.mark
	a.write("only a", []byte("a"))
	b.write("both", []byte("both"))
	b.write("only b", []byte("b"))
	treeA, treeB := tree(t, a.chats), tree(t, b.chats)
	snapA, snapB := a.backup(backup.BackupOptions{}).Snapshot, b.backup(backup.BackupOptions{}).Snapshot
	merged := a.contents()
	maps.Copy(merged, b.contents())
	a.setCloud(merged)
	b.clouds, b.store = a.clouds, a.store

	check := func(what string) {
		t.Helper()
		same(t, treeA, tree(t, a.restore(snapA.ID)))
		same(t, treeB, tree(t, a.restore(snapB.ID)))
		for name, mark := range map[string]backup.Mark{"a": a.mark, "b": b.mark, "a third": third} {
			if err := opens(t, a, mark); err != nil {
				t.Errorf("%s: device %s: %v", what, name, err)
			}
		}
		if v := a.verify(1); len(v.Damage) > 0 || v.Orphans > 0 {
			t.Errorf("%s: %+v", what, v)
		}
	}
	check("two heads")
	markA, markB := a.mark, b.mark
	a.write("after", []byte("after"))
	a.backup(backup.BackupOptions{})
	if got := len(a.open().Snapshots()); got != 4 {
		t.Errorf("%d snapshots, want 4", got)
	}
	if newest := a.newestHeads(); len(newest) != 1 {
		t.Errorf("newest heads %v, want one", newest)
	}
	check("merged")
	a.mark, b.mark = markA, markB
	check("merged, and both devices behind")
}

// newestHeads lists the heads with the highest number.
func (p *phone) newestHeads() []string {
	heads := in(p.contents(), "head")
	last := heads[len(heads)-1]
	return slices.DeleteFunc(heads, func(name string) bool { return name[:len("head/")+16] != last[:len("head/")+16] })
}

// Devices that lost the race twice over: whoever has seen any of the heads still knows the merged one for newer.
func TestLongForkIsMerged(t *testing.T) {
	a := newPhone(t)
	a.write("f", []byte("0"))
	a.backup(backup.BackupOptions{})
	b := a.another(2, false)
	b.write("f", []byte("0"))
	_, marksA := states(t, a, 3)
	_, marksB := states(t, b, 3)
	merged := a.contents()
	maps.Copy(merged, b.contents())
	a.setCloud(merged)
	a.backup(backup.BackupOptions{})
	for i, mark := range append(marksA, marksB...) {
		if err := opens(t, a, mark); err != nil {
			t.Errorf("mark %d: %v", i, err)
		}
	}
	if got := len(a.open().Snapshots()); got != 8 {
		t.Errorf("%d snapshots, want 8", got)
	}
}

// With the newest head damaged nothing opens, unless told to go on with the state before; what is written then is the newest for everyone.
func TestOlderStateWhenTheHeadIsDamaged(t *testing.T) {
	p := newPhone(t)
	clouds, marks := states(t, p, 3)
	heads := in(clouds[2], "head")
	damaged := heads[len(heads)-1]
	p.put(damaged, flipped(clouds[2][damaged], 500))
	wantDamage(t, "newest head", opens(t, p, marks[2]), damaged, "segment")
	o := p.options()
	o.OlderState = true
	r, err := backup.Open(t.Context(), p.store, p.key, o)
	must(t, err)
	defer r.Close()
	if len(r.Snapshots()) != 2 || r.Mark() != marks[1] {
		t.Fatalf("%d snapshots, %v", len(r.Snapshots()), r.Mark())
	}
	want := tree(t, p.chats)
	_, err = r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	must(t, err)
	p.mark = r.Mark()
	must(t, opens(t, p, r.Mark()))
	same(t, want, tree(t, p.restore("latest")))
}

// newestMeta is the name in the cache of the pack with the newest list of files.
func newestMeta(p *phone) string {
	name, newest := "", time.Time{}
	for _, n := range in(p.contents(), "meta") {
		if info, err := p.store.Stat(p.t.Context(), n); err == nil && info.ModTime.After(newest) {
			name, newest = n, info.ModTime
		}
	}
	return strings.ReplaceAll(name, "/", ".")
}

// The device's cache is not trusted: whatever is done to it, results are right, and the cloud is not blamed.
func TestMangledCache(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.write("b/c", []byte("c"))
	p.backup(backup.BackupOptions{})
	p.write("a", []byte("changed"))
	p.backup(backup.BackupOptions{})
	p.backup(backup.BackupOptions{DryRun: true}) // which reads the newest list of files, and so keeps it
	files, err := os.ReadDir(p.cache)
	must(t, err)
	kinds := make(map[string]bool)
	saved := make(map[string][]byte)
	for _, f := range files {
		kinds[strings.Split(f.Name(), ".")[0]] = true
		saved[f.Name()] = mustRead(t, filepath.Join(p.cache, f.Name()))
	}
	if !kinds["snap"] || !kinds["index"] || !kinds["meta"] || len(files) < 6 {
		t.Fatalf("cache: %v", files)
	}
	var other []byte
	for name, b := range saved {
		for what, bad := range map[string][]byte{"flipped": flipped(b, 700), "header": flipped(b, 20), "cut": b[:len(b)/2], "empty": {}, "longer": append(slices.Clone(b), 0), "other": other} {
			must(t, os.WriteFile(filepath.Join(p.cache, name), bad, 0o600))
			damaged := string(bad)
			res := p.backup(backup.BackupOptions{DryRun: true})
			if len(res.Problems) > 0 || !res.NothingNew {
				t.Errorf("%s %s: %+v", name, what, res)
			}
			target := filepath.Join(t.TempDir(), "r")
			r := p.open()
			if _, err := r.Restore(t.Context(), backup.RestoreOptions{Snapshot: r.Snapshots()[1].ID, Target: target}); err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
			same(t, tree(t, p.chats), tree(t, target))
			if v := p.verify(1); len(v.Damage) > 0 {
				t.Errorf("%s %s: %v", name, what, v.Damage[0])
			}
			if now, err := os.ReadFile(filepath.Join(p.cache, name)); err == nil && string(now) == damaged && strings.HasPrefix(name, newestMeta(p)) {
				t.Errorf("%s %s: the damaged copy is still there", name, what)
			}
		}
		other = b
	}
}
