package backup

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// randomEntries makes a sorted manifest with n entries below the top; one has more runs than a record takes.
func randomEntries(names *packNames, n int, rnd *rand.Rand) []*entry {
	all := []*entry{{kind: recordDir, mode: 0o755, mtime: 1}}
	for i := range n {
		e := &entry{kind: recordType(1 + rnd.IntN(4)), path: fmt.Sprintf("%06d %x", i, rnd.Uint64()), mtime: rnd.Int64()}
		switch e.kind {
		case recordLink:
			e.target = fmt.Sprint("to ", rnd.Uint32())
		case recordDir:
			e.mode = uint32(rnd.IntN(0o1000))
		default:
			runs := rnd.IntN(5)
			if i%97 == 7 {
				runs = maxRuns*(i%3) + rnd.IntN(3) // none, one and two records full, and what follows
			}
			randomFile(names, e, runs, rnd)
		}
		all = append(all, e)
	}
	return all
}

func randomFile(names *packNames, e *entry, runs int, rnd *rand.Rand) {
	e.mode, e.unit, e.state = uint32(rnd.IntN(0o1000)), uint32(1+rnd.IntN(maxUnit)), ID{byte(rnd.Uint32())}
	for range runs {
		r := run{count: 1 + rnd.Uint32N(50)}
		if rnd.IntN(5) > 0 {
			r.pack = names.number(ID{byte(rnd.IntN(20))})
			r.first = rnd.Uint32N(1000)
		}
		e.runs = addRun(e.runs, r)
	}
	if chunks := countChunks(e.runs); chunks > 0 {
		e.size = (chunks-1)*int64(e.unit) + 1 + int64(rnd.Uint32N(e.unit))
	}
}

func writeManifest(t *testing.T, names *packNames, entries []*entry) (segments [][]byte) {
	t.Helper()
	m := newManifestWriter(names, (&ring{}).digester(cutPurpose), func(s []byte) error {
		segments = append(segments, slices.Clone(s))
		return nil
	})
	for _, e := range entries {
		if err := m.add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.flush(); err != nil {
		t.Fatal(err)
	}
	return segments
}

func readManifest(names *packNames, segments [][]byte) (entries []*entry, err error) {
	a := newAssembler(func(e *entry) error {
		entries = append(entries, e)
		return nil
	})
	for _, s := range segments {
		if err := parseSegment(s, names, a.add); err != nil {
			return nil, err
		}
	}
	return entries, a.flush()
}

// What is written is read, record by record and over the seams of segments; the same entries make the same bytes, whatever numbers the
// packs have in this process; and each segment is within its bounds.
func TestManifestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 1))
	names := newPackNames()
	entries := randomEntries(names, 2000, rnd)
	segments := writeManifest(t, names, entries)
	got, err := readManifest(names, segments)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if len(e.runs) == 0 {
			e.runs, got[i].runs = nil, nil
		}
		if !reflect.DeepEqual(got[i], e) {
			t.Fatalf("entry %d: %+v, want %+v", i, got[i], e)
		}
	}
	if len(got) != len(entries) || len(segments) < 5 {
		t.Errorf("%d of %d entries, %d segments", len(got), len(entries), len(segments))
	}
	for i, s := range segments {
		if len(s) > maxChunk/2 || (len(s) < segmentLow && i < len(segments)-1) {
			t.Errorf("segment %d has %d bytes", i, len(s))
		}
	}
	// Another process has met the packs in another order.
	others := newPackNames()
	for i := range byte(20) {
		others.number(ID{19 - i})
	}
	again, err := readManifest(others, segments)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(segments, writeManifest(t, others, again), bytes.Equal) {
		t.Error("the same entries make other segments")
	}
}

// A change in one place leaves the segments before and, soon after it, behind it as they are.
func TestSegmentsAreStable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 1))
	names := newPackNames()
	var entries []*entry
	for i := range 20_000 {
		entries = append(entries, &entry{kind: recordDir, path: fmt.Sprintf("%08d", i), mtime: rnd.Int64()})
	}
	before := writeManifest(t, names, entries)
	changed := slices.Insert(slices.Clone(entries), 9000, &entry{kind: recordDir, path: "00008999x"})
	known := make(map[string]bool)
	for _, s := range before {
		known[string(s)] = true
	}
	fresh := 0
	for _, s := range writeManifest(t, names, changed) {
		if !known[string(s)] {
			fresh++
		}
	}
	if fresh == 0 || fresh > 2 {
		t.Errorf("%d of %d segments are new after one entry was added", fresh, len(before))
	}
}

// Manifests that are not what a writer makes: each is refused.
func TestMalformedManifests(t *testing.T) {
	names := newPackNames()
	pack := names.number(ID{1})
	top := &entry{kind: recordDir, mode: 0o755}
	file := func(path string, size int64, runs ...run) *entry {
		return &entry{kind: recordFile, path: path, size: size, unit: 10, runs: runs}
	}
	good := writeManifest(t, names, []*entry{top, file("a", 20, run{pack, 0, 2})})
	if _, err := readManifest(names, good); err != nil {
		t.Fatal(err)
	}
	for what, entries := range map[string][]*entry{
		"no top":                   {file("a", 0)},
		"the top is a file":        {file("", 0)},
		"twice":                    {top, file("a", 0), file("a", 0)},
		"out of order":             {top, file("b", 0), file("a", 0)},
		"two tops":                 {top, top},
		"upwards":                  {top, file("..", 0)},
		"absolute":                 {top, file("/a", 0)},
		"too few chunks":           {top, file("a", 21, run{pack, 0, 2})},
		"too many chunks":          {top, file("a", 20, run{pack, 0, 3})},
		"chunks of an empty file":  {top, file("a", 0, run{pack, 0, 1})},
		"runs that could be one":   {top, file("a", 20, run{pack, 0, 1}, run{pack, 1, 1})},
		"zeros that could be one":  {top, file("a", 20, run{0, 0, 1}, run{0, 0, 1})},
		"a run of nothing":         {top, file("a", 0, run{pack, 0, 0})},
		"beyond the pack":          {top, file("a", 20, run{pack, maxPackChunks - 1, 2})},
		"zeros from somewhere":     {top, file("a", 10, run{0, 1, 1})},
		"mode of more bits":        {top, {kind: recordDir, path: "a", mode: 0o1000}},
		"unit of nothing":          {top, {kind: recordFile, path: "a"}},
		"unit of more than a lot":  {top, {kind: recordFile, path: "a", unit: maxUnit + 1}},
		"no such type":             {top, {kind: 6, path: "a"}},
		"runs that follow nothing": {top, {kind: recordMore}},
	} {
		if _, err := readManifest(names, writeManifest(t, names, entries)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for cut := range good[0] {
		if _, err := readManifest(names, [][]byte{good[0][:cut]}); err == nil {
			t.Errorf("cut to %d of %d bytes: accepted", cut, len(good[0]))
		}
	}
}

// Two ways to write the same list are one too many.
func TestSegmentsHaveOneForm(t *testing.T) {
	id := func(n byte) []byte { v := ID{n}; return v[:] }
	top := []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	file := func(runs ...byte) []byte {
		return slices.Concat([]byte{2, 1, 'a', 0}, make([]byte, 8), []byte{2}, make([]byte, 16), []byte{1}, runs)
	}
	for what, segment := range map[string][]byte{
		"good":                slices.Concat([]byte{2}, id(1), id(2), top, file(2, 1, 0, 1, 2, 0, 1)),
		"packs in disorder":   slices.Concat([]byte{2}, id(1), id(2), top, file(2, 2, 0, 1, 1, 0, 1)),
		"a pack for nothing":  slices.Concat([]byte{3}, id(1), id(2), id(3), top, file(2, 1, 0, 1, 2, 0, 1)),
		"a pack not there":    slices.Concat([]byte{1}, id(1), top, file(2, 1, 0, 1, 2, 0, 1)),
		"more without need":   slices.Concat([]byte{2}, id(1), id(2), top, file(1, 1, 0, 1), []byte{5, 1, 2, 0, 1}),
		"a long form of zero": slices.Concat([]byte{0x82, 0}, id(1), id(2), top, file(2, 1, 0, 1, 2, 0, 1)),
	} {
		_, err := readManifest(newPackNames(), [][]byte{segment})
		if (err == nil) != (what == "good") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
