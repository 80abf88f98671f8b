package backup_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"keepsake.example/backup"
)

// race lets two devices write, neither seeing the other, and returns the first with a cloud that holds what both made of it: what one
// has deleted is gone.
func race(t *testing.T, a *phone, writeA, writeB func(p *phone)) (*phone, *phone) {
	t.Helper()
	b := a.another(2, false)
	b.mark = a.mark
	before := a.contents()
	writeA(a)
	writeB(b)
	both := a.contents()
	for name, object := range b.contents() {
		if before[name] == nil {
			both[name] = object
		}
	}
	afterB := b.contents()
	for name := range before {
		if afterB[name] == nil {
			delete(both, name)
		}
	}
	a.setCloud(both)
	b.clouds, b.store = a.clouds, a.store
	return a, b
}

// times takes n snapshots, each of another state.
func times(n int, name string) func(p *phone) {
	return func(p *phone) {
		for i := range n {
			p.write(name, fmt.Append(nil, name, i))
			p.backup(backup.BackupOptions{})
		}
	}
}

// Two devices that went on from one state, one of them further: neither is told that the cloud was rolled back, all snapshots are
// there, and whoever writes next makes one head of both.
func TestForkOfUnequalLengthIsMerged(t *testing.T) {
	for _, n := range [][2]int{{2, 1}, {1, 3}} {
		for _, shorterFirst := range []bool{true, false} {
			t.Run(fmt.Sprint(n, shorterFirst), func(t *testing.T) {
				p := newPhone(t)
				times(2, "both")(p)
				third := p.mark
				a, b := race(t, p, times(n[0], "a"), times(n[1], "b"))
				marks := []backup.Mark{third, a.mark, b.mark}
				check := func(what string) {
					t.Helper()
					for i, mark := range marks {
						if err := opens(t, a, mark); err != nil {
							t.Errorf("%s: mark %d: %v", what, i, err)
						}
					}
					if v := a.verify(1); len(v.Damage) > 0 || v.Orphans > 0 {
						t.Errorf("%s: %+v", what, v)
					}
				}
				check("apart")
				if (n[0] < n[1]) == shorterFirst {
					times(1, "next")(a)
				} else {
					times(1, "next")(b)
					a.mark = b.mark
				}
				if got := len(a.open().Snapshots()); got != 2+n[0]+n[1]+1 || len(a.newestHeads()) != 1 {
					t.Errorf("%d snapshots, newest heads %v", got, a.newestHeads())
				}
				check("merged")
				times(2, "later")(a)
				check("later")
			})
		}
	}
}

// While branches are apart, a device's mark stays with its own: taking away the shorter branch is seen by who made it.
func TestTakingAwayABranchIsSeen(t *testing.T) {
	p := newPhone(t)
	times(1, "both")(p)
	_, b := race(t, p, times(3, "a"), times(1, "b"))
	own := b.mark
	if r := b.open(); r.Mark() != own {
		t.Errorf("the mark moved to %v, want %v", r.Mark(), own)
	}
	for _, name := range in(b.contents(), "head") {
		if strings.HasSuffix(name, own.Head) {
			b.put(name, nil)
		}
	}
	wantRollback(t, "without its branch", opens(t, b, own), own)
}

// One branch prunes while the other backs up: what the first removed stays removed, what the second added stays, and nothing is missing.
func TestForkOfPruneAndBackup(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(3)
	a, b := race(t, p, func(p *phone) { p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0}) }, times(2, "b"))
	today := b.open().Snapshots()
	b1, b2 := today[len(today)-2].ID, today[len(today)-1].ID
	if len(today) != 3 {
		t.Errorf("%d snapshots, want one of both and two of b", len(today))
	}
	same(t, trees[ids[2]], tree(t, a.restore(ids[2])))
	times(1, "next")(b)
	a.mark = b.mark
	if v := a.verify(1); len(v.Damage) > 0 || v.Orphans > 0 {
		t.Errorf("%+v", v)
	}
	for _, id := range []string{ids[2], b1, b2} {
		a.restore(id)
	}
}

// A prune moved chunks and deleted the pack they were in, and a backup that raced it names that pack still: every pack that is in the
// cloud counts, so no snapshot is hurt, nothing is called damaged, and the next prune clears up.
func TestMovedChunksAreFoundBesideAStaleIndex(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(4)
	p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 2}, MaxUnused: 1}) // leaves packs that are used in part
	stale := p.contents()
	a, b := race(t, p, func(p *phone) {
		if res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 2}, MaxUnused: 0}); res.Repacked == 0 {
			t.Fatal("no pack was copied")
		}
	}, times(1, "b"))
	for _, name := range in(stale, "index") {
		a.put(name, stale[name]) // the prune did not get so far, or a device has it in its cache
	}
	tips := a.newestHeads()
	for _, name := range in(a.contents(), "head") {
		if !slices.Contains(tips, name) {
			a.put(name, nil) // without a common ancestor, nothing tells which index was removed
		}
	}
	check := func(what string, orphans bool) {
		t.Helper()
		if v := a.verify(1); len(v.Damage) > 0 || (v.Orphans > 0) != orphans {
			t.Errorf("%s: %+v", what, v)
		}
		for _, id := range ids[2:] {
			same(t, trees[id], tree(t, a.restore(id)))
		}
	}
	check("apart", false)
	b.write("next", []byte("next"))
	if res := b.backup(backup.BackupOptions{}); len(res.Problems) > 0 || res.Snapshot.New != 1 || res.Snapshot.Changed > 0 {
		t.Errorf("%+v", res)
	}
	a.mark = b.mark
	check("merged", false)
	for _, maxUnused := range []float64{1, 0} {
		a.prune(backup.PruneOptions{Keep: backup.Policy{Last: 9}, MaxUnused: maxUnused})
		check("pruned", false)
	}
	same(t, tree(t, b.chats), tree(t, a.restore("latest")))
}

// Of two packs that hold the same chunks either will do, and losing one costs nothing; losing both is named.
func TestEitherPackWillDo(t *testing.T) {
	p := newPhone(t)
	ids, trees := p.days(3)
	p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 2}, MaxUnused: 1})
	before := p.contents()
	var copies []string
	a, _ := race(t, p, func(p *phone) {
		p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 2}, MaxUnused: 0})
		for _, name := range slices.Concat(in(p.contents(), "data"), in(p.contents(), "meta")) {
			if before[name] == nil {
				copies = append(copies, name)
			}
		}
	}, times(1, "b"))
	after := a.contents()
	both := maps.Clone(after)
	for name, object := range before {
		if !strings.HasPrefix(name, "head/") {
			both[name] = object
		}
	}
	tips := a.newestHeads()
	maps.DeleteFunc(both, func(name string, _ []byte) bool {
		return strings.HasPrefix(name, "head/") && !slices.Contains(tips, name)
	})
	originals := slices.DeleteFunc(slices.Concat(in(before, "data"), in(before, "meta")), func(name string) bool { return after[name] != nil })
	if len(copies) == 0 || len(originals) == 0 {
		t.Fatalf("copies %v, originals %v", copies, originals)
	}
	lose := func(names ...string) {
		a.setCloud(both)
		for _, name := range names {
			a.put(name, nil)
		}
	}
	for what, names := range map[string][]string{"nothing": nil, "an original": originals[:1], "all originals": originals, "a copy": copies[:1], "all copies": copies} {
		lose(names...)
		if v := a.verify(1); len(v.Damage) > 0 {
			t.Errorf("without %s: %v", what, v.Damage[0])
		}
		same(t, trees[ids[1]], tree(t, a.restore(ids[1])))
	}
	lose(append(copies, originals...)...)
	if v := a.verify(0); len(v.Damage) == 0 || len(v.Affected[ids[1]]) == 0 {
		t.Errorf("with both gone: %+v", v)
	}
}
