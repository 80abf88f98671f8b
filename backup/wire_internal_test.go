package backup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUvarintHasOneForm(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, 300, 1 << 14, 1<<32 - 1, 1 << 62, math.MaxUint64} {
		b := binary.AppendUvarint(nil, v)
		r := wireReader{b: b}
		if got := r.uvarint(); got != v || r.end() != nil {
			t.Errorf("%d read as %d, %v", v, got, r.err)
		}
		for cut := range b {
			r := wireReader{b: b[:cut]}
			if r.uvarint(); r.err == nil {
				t.Errorf("%d cut to %d bytes is accepted", v, cut)
			}
		}
		longer := append(slices.Clone(b), 0)
		longer[len(b)-1] |= 128
		r = wireReader{b: longer}
		if r.uvarint(); r.err == nil {
			t.Errorf("%x is a longer form of %d, and accepted", longer, v)
		}
	}
	r := wireReader{b: bytes.Repeat([]byte{255}, 11)}
	if r.uvarint(); r.err == nil {
		t.Error("more than 64 bits are accepted")
	}
}

// After a failure everything reads as zero, and a count is never believed beyond what is left.
func TestWireReaderFails(t *testing.T) {
	r := wireReader{b: []byte{1, 2, 3}}
	r.u64()
	if r.err == nil || r.u8() != 0 || r.u32() != 0 || r.uvarint() != 0 || r.str(10) != "" || r.ids(10) != nil && len(r.ids(10)) > 0 || r.end() == nil {
		t.Error("something was read after a failure")
	}
	huge := append(binary.AppendUvarint(nil, 1<<20), make([]byte, 100)...)
	for what, read := range map[string]func(r *wireReader){
		"ids": func(r *wireReader) { r.ids(1 << 20) }, "string": func(r *wireReader) { r.str(1 << 20) }, "runs": func(r *wireReader) { readRuns(r, 1) },
		"index": func(r *wireReader) { r.err = parseIndex(r.b, func(*table, int) error { return nil }) },
	} {
		r := wireReader{b: huge}
		if n := allocated(func() { read(&r) }); r.err == nil || n > 64<<10 {
			t.Errorf("%s: %v, %d bytes allocated for a count with nothing behind it", what, r.err, n)
		}
	}
	r = wireReader{b: []byte{0, 1}}
	if r.u8(); r.end() == nil {
		t.Error("bytes left over are accepted")
	}
}

// allocated is how many bytes fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// PADMÉ by the words of its paper and spec §2, in floating point: an independent formula for the shifts and masks.
func TestPadme(t *testing.T) {
	check := func(l int64) {
		e := math.Floor(math.Log2(float64(l)))
		s := math.Floor(math.Log2(e)) + 1
		unit := int64(math.Pow(2, e-s))
		want := max(1024, (l+unit-1)/unit*unit)
		if got := padme(l); got != want || padme(got) != got {
			t.Fatalf("padme(%d) = %d, want %d", l, got, want)
		}
		if l >= 1024 && float64(want-l) > 0.12*float64(l) || l >= 64<<10 && float64(want-l) > 0.032*float64(l) {
			t.Fatalf("padme(%d) = %d: too much padding", l, want)
		}
	}
	for l := int64(2); l < 70_000; l++ {
		check(l)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		check(2 + rnd.Int64N(packLimit))
	}
	if padme(0) != 1024 || padme(1) != 1024 {
		t.Error("padme of next to nothing")
	}
}

// comparePaths is the order in which a walk that sorts each folder's names meets things: checked against walks of real trees.
func TestComparePathsIsTheWalkOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 1))
	letters := []string{"a", "b", " ", "-", ".x", "0", "\x01", "a.b", "a b", "ä", "\xff", "~", "A"}
	for range 6 {
		top := t.TempDir()
		for range 40 {
			var parts []string
			for range 1 + rnd.IntN(4) {
				parts = append(parts, letters[rnd.IntN(len(letters))]+letters[rnd.IntN(len(letters))])
			}
			os.MkdirAll(filepath.Join(top, filepath.Join(parts...)), 0o755)
		}
		var walked []string
		filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(top, path)
			walked = append(walked, filepath.ToSlash(rel))
			return err
		})
		walked[0] = ""
		for i, a := range walked {
			for j, b := range walked {
				if got := comparePaths(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
					t.Fatalf("comparePaths(%q, %q) = %d, but they are met as %d and %d", a, b, got, i, j)
				}
			}
		}
	}
}

func TestValidPath(t *testing.T) {
	for path, valid := range map[string]bool{"": true, "a": true, "a/b": true, "..a": true, "a..": true, "...": true, "\xff\xfe": true, "a\nb": true, " ": true, "\\": true,
		"/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/..": false, "../a": false, "a/./b": false, "a\x00b": false, "/": false,
		strings.Repeat("a", 4096): true, strings.Repeat("a", 4097): false} {
		if validPath(path) != valid {
			t.Errorf("validPath(%.20q) = %v", path, !valid)
		}
	}
}

func TestAddRun(t *testing.T) {
	for _, c := range []struct{ in, want []run }{
		{[]run{{1, 0, 1}, {1, 1, 1}}, []run{{1, 0, 2}}},
		{[]run{{1, 0, 1}, {1, 2, 1}}, []run{{1, 0, 1}, {1, 2, 1}}},
		{[]run{{1, 5, 1}, {1, 4, 1}}, []run{{1, 5, 1}, {1, 4, 1}}},
		{[]run{{1, 5, 1}, {1, 5, 1}}, []run{{1, 5, 1}, {1, 5, 1}}},
		{[]run{{1, 0, 1}, {2, 1, 1}}, []run{{1, 0, 1}, {2, 1, 1}}},
		{[]run{{0, 0, 3}, {0, 0, 4}}, []run{{0, 0, 7}}},
		{[]run{{0, 0, 3}, {1, 0, 1}, {0, 0, 4}}, []run{{0, 0, 3}, {1, 0, 1}, {0, 0, 4}}},
		{[]run{{0, 0, maxZeroCount}, {0, 0, 1}}, []run{{0, 0, maxZeroCount}, {0, 0, 1}}},
	} {
		var got []run
		for _, r := range c.in {
			got = addRun(got, r)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v becomes %v, want %v", c.in, got, c.want)
		}
	}
}

func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"*.jpg", []string{"a.jpg", "x/y/a.jpg", "a.jpg/below"}, []string{"a.jpeg", "jpg", "a.jpg.x", ""}},
		{"Media", []string{"Media", "Media/x", "a/Media", "a/Media/b"}, []string{"media", "Medias", "aMedia"}},
		{"/Media", []string{"Media", "Media/x"}, []string{"a/Media"}},
		{"Media/", []string{"Media", "Media/x", "a/Media"}, []string{"x"}},
		{"a/*/c", []string{"a/b/c", "a/x/c/d"}, []string{"a/c", "a/b/b/c", "z/a/b/c"}},
		{"a/**/c", []string{"a/c", "a/b/c", "a/b/b/c"}, []string{"a/b", "z/a/c"}},
		{"**/c", []string{"c", "a/c", "a/b/c/d"}, []string{"ac"}},
		{"a/**", []string{"a", "a/b", "a/b/c"}, []string{"b"}},
		{"[ab]?", []string{"ax", "b1"}, []string{"a", "cx", "axx"}},
		{`\*`, []string{"*"}, []string{"a"}},
	} {
		m, err := newMatcher([]string{"never", c.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.yes {
			if !m.match(p) {
				t.Errorf("%q does not match %q", c.pattern, p)
			}
		}
		for _, p := range c.no {
			if m.match(p) {
				t.Errorf("%q matches %q", c.pattern, p)
			}
		}
	}
	for _, bad := range []string{"", "/", "[", "a[", `a\`} {
		if _, err := newMatcher([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestPolicy(t *testing.T) {
	// Hours before the newest, oldest first; the newest is on a Wednesday at noon.
	newest := time.Date(2026, 4, 15, 12, 0, 0, 0, time.Local)
	ages := []int{24 * 80, 24 * 45, 24*45 - 3, 24 * 16, 24 * 9, 24 * 8, 50, 49, 26, 25, 2, 1, 0}
	var snapshots []*Snapshot
	for i, age := range ages {
		snapshots = append(snapshots, &Snapshot{ID: fmt.Sprint(i), Time: newest.Add(-time.Duration(age) * time.Hour)})
	}
	for _, c := range []struct {
		policy Policy
		want   []int // ages
	}{
		{Policy{}, []int{0}},
		{Policy{Last: 1}, []int{0}},
		{Policy{Last: 3}, []int{2, 1, 0}},
		{Policy{Last: 99}, ages},
		{Policy{Daily: 1}, []int{0}},
		{Policy{Daily: 3}, []int{49, 25, 0}},
		{Policy{Weekly: 2}, []int{24 * 8, 0}},
		{Policy{Weekly: 4}, []int{24*45 - 3, 24 * 16, 24 * 8, 0}},
		{Policy{Monthly: 3}, []int{24 * 80, 24 * 16, 0}},
		{Policy{Within: 2 * time.Hour}, []int{2, 1, 0}},
		{Policy{Last: 2, Daily: 2, Monthly: 2}, []int{24 * 16, 25, 1, 0}},
	} {
		kept, removed := c.policy.apply(snapshots)
		var got []int
		for _, s := range kept {
			got = append(got, int(newest.Sub(s.Time).Hours()))
		}
		if len(kept)+len(removed) != len(snapshots) || !slices.Equal(got, c.want) {
			t.Errorf("%+v keeps %v, want %v", c.policy, got, c.want)
		}
	}
	checkHistories(t, newest)
	if !(Policy{}).Empty() || (Policy{Within: 1}).Empty() {
		t.Error("Empty")
	}
}

// checkHistories has a phone of 40 days that another replaced ten days ago, which has two folders; the second has one snapshot, of its first day.
func checkHistories(t *testing.T, newest time.Time) {
	t.Helper()
	var snapshots []*Snapshot
	for age := 40; age >= 0; age-- {
		add := func(device, source string) {
			snapshots = append(snapshots, &Snapshot{ID: fmt.Sprint(device, source, age), Device: device, Source: source, Time: newest.AddDate(0, 0, -age)})
		}
		if age > 10 {
			add("old", "Chats")
			continue
		}
		if add("new", "Chats"); age == 10 {
			add("new", "Other")
		}
	}
	for _, c := range []struct {
		policy   Policy
		old, new int // how many of Chats are kept
	}{
		{Policy{}, 1, 1},
		{Policy{Last: 3}, 3, 3},
		{Policy{Last: 99}, 30, 11},
		{Policy{Daily: 7}, 1, 7},
		{Policy{Daily: 13}, 2, 11},
		{Policy{Weekly: 2}, 1, 2},
		{Policy{Weekly: 3}, 1, 3},
		{Policy{Weekly: 4}, 2, 3},
		{Policy{Monthly: 1}, 1, 1},
		{Policy{Monthly: 2}, 2, 1},
		{Policy{Within: 240 * time.Hour}, 1, 11},
		{Policy{Within: 300 * time.Hour}, 2, 11},
	} {
		kept, removed := c.policy.apply(snapshots)
		n := make(map[history]int)
		for _, s := range kept {
			n[s.history()]++
		}
		if n[history{"old", "Chats"}] != c.old || n[history{"new", "Chats"}] != c.new || n[history{"new", "Other"}] != 1 || len(kept)+len(removed) != len(snapshots) {
			t.Errorf("%+v keeps %v, want %d and %d and the one", c.policy, n, c.old, c.new)
		}
	}
}

func TestDigestsOfOnePurposeSayNothingOfAnother(t *testing.T) {
	g := &ring{}
	var seen []ID
	for _, purpose := range []string{chunkPurpose, cutPurpose, statePurpose, turnPurpose} {
		id := g.digester(purpose).id([]byte("m"))
		if slices.Contains(seen, id) {
			t.Error("two purposes share a digest")
		}
		seen = append(seen, id)
	}
	other := &ring{idKey: [32]byte{1}}
	if newDigester(other).id([]byte("m")) == seen[0] {
		t.Error("two repositories share a digest")
	}
}
