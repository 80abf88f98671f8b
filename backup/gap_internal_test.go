package backup

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// Whichever segments of a manifest are damaged, the entries of the others come as they were; what does not come lies in a gap that is
// named, or is the file that the gap cuts.
func TestManifestAroundGaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 2))
	names := newPackNames()
	entries := randomEntries(names, 1500, rnd)
	for _, i := range []int{200, 701, 1499} {
		e := &entry{kind: recordDB, path: entries[i].path}
		randomFile(names, e, 150_000, rnd) // of several records, and segments
		entries[i] = e
	}
	segments := writeManifest(t, names, entries)
	n := len(segments)
	cuts := 0
	lose := [][]int{{}, {0}, {n - 1}, {0, 1}, {n - 2, n - 1}}
	for i := range n {
		lose = append(lose, []int{i})
	}
	for range 30 {
		lose = append(lose, []int{rnd.IntN(n), rnd.IntN(n), rnd.IntN(n)})
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for _, lost := range append(lose, all) {
		got, gaps := readAround(t, names, segments, lost)
		for _, g := range gaps {
			if g.cut != "" {
				cuts++
			}
		}
		checkGaps(t, lost, entries, got, gaps)
	}
	if cuts < 10 {
		t.Errorf("only %d files were cut", cuts)
	}
}

var errLost = errors.New("lost by the test")

func readAround(t *testing.T, names *packNames, segments [][]byte, lost []int) (got map[string]*entry, gaps []gap) {
	t.Helper()
	got = make(map[string]*entry)
	a := newAssembler(func(e *entry) error {
		got[e.path] = e
		return nil
	})
	a.lost = func(g gap) { gaps = append(gaps, g) }
	for i, s := range segments {
		var err error
		if slices.Contains(lost, i) {
			err = a.lose(errLost)
		} else {
			err = parseSegment(s, names, a.add)
		}
		if err != nil {
			t.Fatalf("without %v: segment %d: %v", lost, i, err)
		}
	}
	if err := a.end(); err != nil {
		t.Fatalf("without %v: %v", lost, err)
	}
	return got, gaps
}

func checkGaps(t *testing.T, lost []int, entries []*entry, got map[string]*entry, gaps []gap) {
	t.Helper()
	if (len(lost) > 0) != (len(gaps) > 0) || len(gaps) > len(lost) {
		t.Errorf("without %v: gaps %v", lost, gaps)
	}
	for _, e := range entries {
		if g := got[e.path]; g != nil {
			if !slices.Equal(g.runs, e.runs) || g.size != e.size || g.kind != e.kind {
				t.Fatalf("without %v: %q came otherwise", lost, e.path)
			}
			continue
		}
		named := slices.ContainsFunc(gaps, func(g gap) bool {
			inside := (g.after == "" || comparePaths(e.path, g.after) > 0) && (g.before == "" || comparePaths(e.path, g.before) < 0)
			return reflect.DeepEqual(g.err, errLost) && (inside || g.cut == e.path)
		})
		if !named {
			t.Errorf("without %v: %q is not there, and not in %v", lost, e.path, gaps)
		}
	}
}
