package backup_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keepsake.example/backup"
)

// listGap reads what stands for a damaged part of a list of files.
var listGap = regexp.MustCompile(`^\(its list of files(?: after ("(?:[^"\\]|\\.)*"))?(?: and)?(?: before ("(?:[^"\\]|\\.)*"))?\)$`)

// inGap reports whether one of the names is that of a gap with path in it.
func inGap(names []string, path string) bool {
	order := func(p string) string { return strings.ReplaceAll(p, "/", "\x00") }
	return slices.ContainsFunc(names, func(name string) bool {
		m := listGap.FindStringSubmatch(name)
		if m == nil {
			return false
		}
		after, _ := strconv.Unquote(m[1])
		before, _ := strconv.Unquote(m[2])
		return order(path) > order(after) && (before == "" || order(path) < order(before))
	})
}

// A damaged segment of the list of files costs the files it names: all others come back, the lost ones are named by what stands around
// them, and verify says the same. The next backup reads every file again and is whole.
func TestDamagedManifestSegment(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{11}))
	const files = 1400 // four segments even where a fast machine wrote all of them a moment ago, and lists no states
	for i := range files {
		p.write(fmt.Sprintf("d%02d/%x", i%20, random(rnd, 40)), fmt.Append(nil, i))
	}
	p.sql("z.db", "CREATE TABLE m(id INTEGER PRIMARY KEY, t TEXT)")
	want := tree(t, p.chats)
	s := p.backup(backup.BackupOptions{}).Snapshot
	start, mark := p.contents(), p.mark
	pack := in(start, "meta")[0]
	object := start[pack]
	last := (len(object) - stub - 1) / segment // the table is at the end, and not needed
	if last < 3 {
		t.Fatalf("%d segments", last+1)
	}
	most := 0
	for at := range last {
		p.setCloud(start)
		p.put(pack, flipped(object, stub+at*segment+9))
		target := filepath.Join(t.TempDir(), "r")
		res, err := p.restoreInto(s.ID, target)
		wantDamage(t, fmt.Sprint("segment ", at), err, pack, "segment")
		var names []string
		for _, problem := range res.Problems {
			names = append(names, problem.Path)
		}
		affected := p.verify(0).Affected[s.ID]
		got, lost := tree(t, target), 0
		for path, is := range want {
			if strings.HasPrefix(is, "folder") || got[path] == is {
				continue
			}
			lost++
			if got[path] != "" || !inGap(names, path) || !inGap(affected, path) {
				t.Errorf("segment %d: %q is %q; restore names %v, verify %v", at, path, got[path], names, affected)
			}
		}
		if lost != res.Unknown || len(want)-20-lost != res.Files {
			t.Errorf("segment %d: %d lost, %+v", at, lost, res)
		}
		most = max(most, res.Files)
	}
	if most < files/2 {
		t.Errorf("at most %d files came back", most)
	}
	p.mark, p.cache = mark, t.TempDir()
	res := p.backup(backup.BackupOptions{})
	if len(res.Problems) != 1 || !errors.Is(res.Problems[0].Err, backup.ErrDamaged) {
		t.Errorf("%+v", res.Problems)
	}
	same(t, want, tree(t, p.restore("latest")))
}
