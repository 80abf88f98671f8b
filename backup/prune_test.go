package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// size adds up the packs of a cloud.
func packBytes(objects map[string][]byte) (n int64) {
	for name, object := range objects {
		if strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/") {
			n += int64(len(object))
		}
	}
	return n
}

// days makes snapshots of a folder in which a database grows and files come and go, and returns their ids and trees.
func (p *phone) days(n int) (ids []string, trees map[string]map[string]string) {
	p.t.Helper()
	trees = make(map[string]map[string]string)
	rnd := rand.New(rand.NewChaCha8([32]byte{8}))
	p.sql("db", "CREATE TABLE m(id INTEGER PRIMARY KEY, t TEXT)")
	p.write("stays", random(rnd, 70_000))
	for day := range n {
		p.sql("db", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO m(t) SELECT hex(randomblob(50)) FROM n",
			fmt.Sprintf("UPDATE m SET t='edited on day %d' WHERE id %% 97 = %d", day, day))
		for f := range 4 {
			p.write(fmt.Sprintf("d%d/f%d", day, f), random(rnd, 20_000+rnd.IntN(30_000)))
		}
		if day > 0 {
			for f := range 3 {
				must(p.t, os.Remove(filepath.Join(p.chats, fmt.Sprintf("d%d/f%d", day-1, f))))
			}
		}
		if day > 2 { // what stayed for a while: chunks that a prune has moved go later
			must(p.t, os.Remove(filepath.Join(p.chats, fmt.Sprintf("d%d/f3", day-3))))
		}
		res := p.backup(backup.BackupOptions{})
		ids = append(ids, res.Snapshot.ID)
		trees[res.Snapshot.ID] = tree(p.t, p.chats)
	}
	return ids, trees
}

// Pruned once, twice and three times with copying: what is kept comes back, what nothing needs is gone, the dry run said the
// same and changed nothing, and the next backup builds on chunks that were moved.
func TestPrune(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(5)
	for round, last := range []int{3, 2, 1} {
		o := backup.PruneOptions{Keep: backup.Policy{Last: last}, MaxUnused: 0.05, DryRun: true}
		before := p.contents()
		dry := p.prune(o)
		if got := p.contents(); !maps.EqualFunc(before, got, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Fatal("the dry run changed the cloud")
		}
		o.DryRun = false
		res := p.prune(o)
		after := p.contents()
		if res.Repacked == 0 || len(res.Removed) == 0 || len(res.Kept) != last {
			t.Errorf("round %d: %+v", round, res)
		}
		if dry.ObjectsRemoved != res.ObjectsRemoved || dry.BytesFreed != res.BytesFreed || dry.Repacked != res.Repacked || dry.BytesRepacked != res.BytesRepacked || dry.OrphansRemoved != res.OrphansRemoved ||
			!sameSnapshots(dry.Kept, res.Kept) || !sameSnapshots(dry.Removed, res.Removed) {
			t.Errorf("round %d: dry run said %+v\nbut it was %+v", round, dry, res)
		}
		if freed := packBytes(before) - packBytes(after); freed != res.BytesFreed {
			t.Errorf("round %d: %d bytes freed, it says %d", round, freed, res.BytesFreed)
		}
		p.keeps(ids[len(ids)-last:], trees)
	}
	p.write("new", []byte("new"))
	p.sql("db", "UPDATE m SET t='after' WHERE id=3")
	want := tree(t, p.chats)
	res := p.backup(backup.BackupOptions{})
	if res.BytesNew > 64<<10 {
		t.Errorf("%d new bytes after a prune, though little changed", res.BytesNew)
	}
	same(t, want, tree(t, p.restore("latest")))
	p.keeps([]string{ids[4], res.Snapshot.ID}, map[string]map[string]string{ids[4]: trees[ids[4]], res.Snapshot.ID: want})
}

// What is named goes, whatever else is kept; all that is not stays whole. The last of all stays.
func TestPruneRemove(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(5)
	prune := func(o backup.PruneOptions) error {
		_, err := p.open().Prune(t.Context(), o)
		return err
	}
	for _, ref := range []string{"", "latest", "ffffffffffff", "zz"} {
		if err := prune(backup.PruneOptions{Remove: []string{ids[0], ref}}); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q was removed: %v", ref, err)
		}
	}
	p.keeps(ids, trees)
	res := p.prune(backup.PruneOptions{Remove: []string{ids[4], strings.ToUpper(ids[1][:12])}, MaxUnused: 0.05})
	if len(res.Removed) != 2 || res.BytesFreed <= 0 {
		t.Errorf("%+v", res)
	}
	p.keeps([]string{ids[0], ids[2], ids[3]}, trees)
	res = p.prune(backup.PruneOptions{Remove: []string{ids[3]}, Keep: backup.Policy{Last: 1}})
	if len(res.Removed) != 2 {
		t.Errorf("%+v", res)
	}
	p.keeps(ids[2:3], trees)
	if err := prune(backup.PruneOptions{Remove: ids[2:3]}); !errors.Is(err, backup.ErrLastSnapshot) {
		t.Errorf("the last one was removed: %v", err)
	}
	p.keeps(ids[2:3], trees)
}

// keeps holds the repository to exactly these snapshots, each whole, and nothing left over.
func (p *phone) keeps(ids []string, trees map[string]map[string]string) {
	p.t.Helper()
	var got []string
	for _, s := range p.open().Snapshots() {
		got = append(got, s.ID)
	}
	if !slices.Equal(got, ids) {
		p.t.Errorf("snapshots %v, want %v", got, ids)
	}
	for _, id := range ids {
		same(p.t, trees[id], tree(p.t, p.restore(id)))
	}
	if v := p.verify(1); len(v.Damage) > 0 || v.Orphans > 0 {
		p.t.Errorf("%+v", v)
	}
	if snaps := in(p.contents(), "snap"); len(snaps) != len(ids) {
		p.t.Errorf("%d snapshot objects, want %d", len(snaps), len(ids))
	}
}

// What was not agreed to stays, whatever the policy says by now; also where it cannot be read.
func TestPruneOnly(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(4)
	for _, c := range []struct{ only, kept []string }{{[]string{}, ids}, {[]string{ids[1], ids[3], "no such"}, []string{ids[0], ids[2], ids[3]}}, {nil, ids[3:]}} {
		o := backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.5, Only: c.only}
		if c.only == nil { // before the rest goes
			for _, name := range in(p.contents(), "meta") {
				start := p.contents()[name]
				p.put(name, flipped(start, 600))
				must(t, os.RemoveAll(p.cache))
				damaged := backup.PruneOptions{Keep: backup.Policy{Last: 9}, ForgetDamaged: true, Only: []string{}}
				if _, err := p.open().Prune(t.Context(), damaged); !errors.Is(err, backup.ErrDamaged) {
					t.Errorf("%s: %v, want it damaged", name, err)
				}
				p.put(name, start)
			}
		}
		p.prune(o)
		p.keeps(c.kept, trees)
	}
}

// A device or a folder that is pruned beside another keeps its own.
func TestPruneOfTwoFolders(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	q := p.another(2, true)
	q.mark = p.mark
	q.write("a", []byte("other"))
	other := q.backup(backup.BackupOptions{})
	p.mark = q.mark
	p.write("b", []byte("b"))
	p.backup(backup.BackupOptions{})
	p.write("c", []byte("c"))
	newest := p.backup(backup.BackupOptions{})
	p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}})
	p.keeps([]string{other.Snapshot.ID, newest.Snapshot.ID}, map[string]map[string]string{other.Snapshot.ID: tree(t, q.chats), newest.Snapshot.ID: tree(t, p.chats)})
}

// With nothing to remove and nothing unused, prune leaves every pack where it is.
func TestPruneNothing(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(2)
	before := p.contents()
	res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 9}, MaxUnused: 0.5})
	if res.ObjectsRemoved != 0 || res.BytesFreed != 0 || len(res.Removed) != 0 {
		t.Errorf("%+v", res)
	}
	for _, folder := range []string{"data", "meta", "snap", "ring"} {
		if !slices.Equal(in(before, folder), in(p.contents(), folder)) {
			t.Errorf("%s changed", folder)
		}
	}
	p.keeps(ids, trees)
}

// A number below zero is nobody's wish: it is refused, and nothing is removed or written.
func TestPrunePolicyBelowZero(t *testing.T) {
	p := newPhone(t)
	states(t, p, 3)
	before := p.contents()
	for _, keep := range []backup.Policy{{Last: -1}, {Daily: -1}, {Weekly: -1}, {Monthly: -1}, {Within: -time.Second}, {Last: 1, Daily: -1}} {
		for _, dry := range []bool{true, false} {
			if res, err := p.open().Prune(t.Context(), backup.PruneOptions{Keep: keep, DryRun: dry}); err == nil {
				t.Errorf("%+v: %d kept", keep, len(res.Kept))
			}
		}
	}
	if got := p.contents(); !maps.EqualFunc(before, got, bytes.Equal) {
		t.Error("the cloud changed")
	}
}

// A pack that is less unused than allowed stays; whole ones go without being read.
func TestPruneAllowance(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(3)
	res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 1})
	if res.Repacked != 0 || res.BytesRepacked != 0 || len(res.Removed) != 2 {
		t.Errorf("%+v", res)
	}
	p.keeps(ids[2:], trees)
}

// Stopped after any number of changes, a prune loses nothing that is kept, and the next one finishes.
func TestInterruptedPrune(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(3)
	start, mark := p.contents(), p.mark
	for steps := 0; ; steps += 2 {
		p.setCloud(start)
		p.mark = mark
		r, err := backup.Open(t.Context(), &haltingStore{Store: p.store, left: steps}, p.key, p.options())
		must(t, err)
		_, err = r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.05})
		r.Close()
		if err == nil && steps < 6 {
			t.Fatalf("a whole prune in %d changes", steps)
		}
		same(t, trees[ids[2]], tree(t, p.restore("latest")))
		p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.05})
		if v := p.verify(1); len(v.Damage) > 0 || v.Snapshots != 1 {
			t.Errorf("after %d changes: %+v", steps, v)
		}
		if err == nil {
			break
		}
	}
}

// Damage stops a prune, which could take it for something nobody needs; told to, it gives up what cannot be read and no more.
func TestPruneWithDamage(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(3)
	start, mark := p.contents(), p.mark
	o := backup.PruneOptions{Keep: backup.Policy{Last: 9}, MaxUnused: 0.5}
	for what, name := range map[string]string{"snapshot": "snap/" + ids[1], "index": in(start, "index")[0], "list of files": in(start, "meta")[0]} {
		p.setCloud(start)
		p.mark = mark
		p.put(name, flipped(start[name], 600))
		must(t, os.RemoveAll(p.cache))
		r := p.open()
		_, err := r.Prune(t.Context(), o)
		wantDamage(t, what, err, name, "segment")
		if got := in(p.contents(), "data"); !slices.Equal(got, in(start, "data")) {
			t.Errorf("%s: packs were deleted", what)
		}
		o := o
		o.ForgetDamaged = true
		_, err = r.Prune(t.Context(), o)
		must(t, err)
		p.mark = r.Mark()
		for _, s := range p.open().Snapshots() {
			same(t, trees[s.ID], tree(t, p.restore(s.ID)))
		}
		if n := len(p.open().Snapshots()); n != map[string]int{"snapshot": 2, "index": 3, "list of files": n}[what] || n == 0 {
			t.Errorf("%s: %d snapshots left", what, n)
		}
	}
}

// Without room for doubt: if no snapshot could be kept, nothing is deleted.
func TestPruneNeverForgetsEverything(t *testing.T) {
	p := newPhone(t)
	p.days(1)
	start := p.contents()
	for _, name := range in(start, "meta") {
		p.put(name, flipped(start[name], 600))
	}
	must(t, os.RemoveAll(p.cache))
	_, err := p.open().Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, ForgetDamaged: true})
	if damageOf(err) == nil || len(in(p.contents(), "data")) != len(in(start, "data")) {
		t.Errorf("%v", err)
	}
}

// packsOnly stores a lock and one pack, and from then on nothing: what is put beside the pack waits for it.
type packsOnly struct {
	cloud.Store
	stored chan struct{} // closed when the pack is there
}

func (s *packsOnly) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	switch folder, _, _ := strings.Cut(name, "/"); folder {
	case "lock":
		return s.Store.Put(ctx, name, body, size)
	case "data":
		defer close(s.stored)
		return s.Store.Put(context.WithoutCancel(ctx), name, body, size)
	}
	<-s.stored
	return errHalted
}

func (s *packsOnly) Delete(context.Context, string) error { return errHalted }

// What an interrupted run left: another device's objects may be on their way, so they go a day later and not sooner, and a backup uses what it can.
func TestOrphans(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{4}))
	p.write("first", []byte("first"))
	p.backup(backup.BackupOptions{})
	p.write("large", random(rnd, 3<<20))
	clean := p.contents()

	// All packs stored, the index and all that follows not.
	halting := &packsOnly{Store: p.store, stored: make(chan struct{})}
	r, err := backup.Open(t.Context(), halting, p.key, p.options())
	must(t, err)
	if _, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats}); err == nil {
		t.Fatal("not interrupted")
	}
	r.Close()
	left := p.contents()
	if len(in(left, "data")) != len(in(clean, "data"))+1 {
		t.Fatalf("left over: %v", p.objects())
	}
	if v := p.verify(1); v.Orphans == 0 || len(v.Damage) > 0 {
		t.Errorf("%+v", v)
	}

	t.Run("used", func(t *testing.T) {
		res := p.backup(backup.BackupOptions{})
		if res.BytesUploaded > 64<<10 || res.BytesNew > 64<<10 || res.Snapshot.New != 1 {
			t.Errorf("%d bytes uploaded again, %d new", res.BytesUploaded, res.BytesNew)
		}
		if v := p.verify(1); v.Orphans > 0 || len(v.Damage) > 0 {
			t.Errorf("%+v", v)
		}
		same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	})
	for _, age := range []time.Duration{23 * time.Hour, 25 * time.Hour} {
		t.Run(fmt.Sprint("after ", age), func(t *testing.T) {
			p.setCloud(left)
			p.mark = backup.Mark{}
			for name := range left {
				p.age(name, age)
			}
			res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}})
			gone := len(in(p.contents(), "data")) < len(in(left, "data"))
			if old := age > 24*time.Hour; gone != old || (res.OrphansRemoved > 0) != old {
				t.Errorf("gone: %v, %+v", gone, res)
			}
			same(t, map[string]string{"first": tree(t, p.chats)["first"]}, tree(t, p.restore("latest")))
		})
	}
	t.Run("trash", func(t *testing.T) {
		p.setCloud(clean)
		p.mark = backup.Mark{}
		trash := "data/" + strings.Repeat("ab", 16)
		p.put(trash, []byte("no pack at all"))
		p.backup(backup.BackupOptions{})
		if p.contents()[trash] == nil {
			t.Error("a young object was deleted")
		}
		p.age(trash, 25*time.Hour)
		p.write("second", []byte("second"))
		p.backup(backup.BackupOptions{})
		if p.contents()[trash] != nil {
			t.Error("an old object that nothing needs is still there")
		}
	})
}

func sameSnapshots(a, b []backup.Snapshot) bool {
	return slices.EqualFunc(a, b, func(x, y backup.Snapshot) bool { return x.ID == y.ID })
}
