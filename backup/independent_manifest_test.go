package backup_test

import (
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"strings"
)

// files describes everything in a snapshot, as tree does of a folder.
func (x *indie) files(id string) map[string]string {
	f := x.payload("snap/"+id, nil)
	segments := x.readSnapshot(&f)
	m := &indieManifest{x: x, out: make(map[string]string)}
	for _, s := range segments {
		for i := range s.count {
			m.segment(x.chunk(at(s.pack, s.first+i)))
		}
	}
	m.finish()
	x.segments, x.more = m.segments, m.more
	return m.out
}

// readSnapshot returns the runs of a snapshot's segments.
func (x *indie) readSnapshot(f *fields) []indieRun {
	f.bytes(8 + 8 + 16 + 16)
	f.text()
	for range 9 {
		f.uvarint()
	}
	segments := f.runs(f.ids())
	for _, s := range segments {
		if s.pack == "" {
			refuse("payload", "a manifest of zeros")
		}
	}
	f.end()
	return segments
}

// An indieManifest reads segments and holds them to spec §6: the walk order, the places of the cuts, the form of the records.
type indieManifest struct {
	x        *indie
	out      map[string]string
	last     *string
	dry      bool // there are no packs: contents are not looked at
	segments int
	more     int // records that continue one
	size     int // of the last segment so far: records and pack ids

	file     *indieFile
	lastRuns int // of the last record
}

type indieFile struct {
	path             string
	mode             int
	mtime            int64
	size, unit, done int
	hash             []byte
}

func (m *indieManifest) segment(b []byte) {
	f := fields(b)
	packs := f.ids()
	records, used := 0, []string(nil)
	for first := true; len(f) > 0; first = false {
		before := len(f)
		m.checkCut(f, first)
		for _, r := range m.record(&f, packs) {
			if r.pack != "" && !slices.Contains(used, r.pack) {
				used = append(used, r.pack)
			}
		}
		records += before - len(f)
		m.size = records + 16*len(used)
	}
	if !slices.Equal(used, packs) {
		refuse("payload", "packs are not in the order of their first use")
	}
	m.segments++
}

// checkCut compares where a segment begins with where it must. f begins with a record.
func (m *indieManifest) checkCut(f fields, first bool) {
	kind, cut := f.u8(), m.size >= 256<<10
	if kind != 5 && m.size >= 16<<10 {
		cut = cut || indieDigest(m.x.idKey, "keepsake/v1 manifest cut", []byte(f.text()))[0] < 4
	}
	if m.size > 0 && cut != first {
		refuse("payload", "segment %d begins at the wrong place, behind %d bytes", m.segments, m.size)
	}
}

func (m *indieManifest) record(f *fields, packs []string) []indieRun {
	kind := f.u8()
	if kind == 5 {
		if m.lastRuns != 4096 {
			refuse("payload", "runs continued without need")
		}
		m.more++
		return m.contents(f, packs)
	}
	m.finish()
	path := f.text()
	if (m.last == nil) != (path == "") || m.last != nil && strings.ReplaceAll(path, "/", "\x00") <= strings.ReplaceAll(*m.last, "/", "\x00") && *m.last != "" {
		refuse("payload", "%q out of order", path)
	}
	for _, part := range strings.Split(path, "/") {
		if path != "" && (part == "" || part == "." || part == ".." || strings.Contains(part, "\x00")) {
			refuse("payload", "path %q", path)
		}
	}
	m.last, m.lastRuns = &path, 0
	if kind == 3 {
		f.i64()
		m.out[path] = "link to " + f.text()
		return nil
	}
	mode, mtime := f.uvarint(), f.i64()
	if mode > 0o777 || kind != 1 && kind != 2 && kind != 4 {
		refuse("payload", "a record of type %d with mode %o", kind, mode)
	}
	if kind == 1 {
		if path != "" {
			m.out[path] = fmt.Sprint("folder ", fs.FileMode(mode))
		}
		return nil
	}
	m.file = &indieFile{path: path, mode: mode, mtime: mtime, size: f.uvarint()}
	f.bytes(16)
	if m.file.unit = f.uvarint(); m.file.unit < 1 || m.file.unit > 1<<20 {
		refuse("payload", "unit of %q", path)
	}
	return m.contents(f, packs)
}

// contents adds the chunks of a record to the file it belongs to.
func (m *indieManifest) contents(f *fields, packs []string) []indieRun {
	file, runs := m.file, f.runs(packs)
	for _, r := range runs {
		for i := range r.count {
			want := min(file.unit, file.size-file.done)
			if want <= 0 {
				refuse("payload", "%q has more chunks than it needs", file.path)
			}
			chunk := make([]byte, want)
			if r.pack != "" && !m.dry {
				chunk = m.x.chunk(at(r.pack, r.first+i))
			}
			if len(chunk) != want {
				refuse("chunk", "%q: %d bytes instead of %d", file.path, len(chunk), want)
			}
			file.hash = append(file.hash, chunk...)
			file.done += want
		}
	}
	m.lastRuns = len(runs)
	return runs
}

func (m *indieManifest) finish() {
	if f := m.file; f != nil {
		if f.done != f.size {
			refuse("payload", "%q has %d of %d bytes", f.path, f.done, f.size)
		}
		m.out[f.path] = fmt.Sprintf("%v %d %v %x", fs.FileMode(f.mode), f.size, f.mtime, maphash.Bytes(contentsSeed, f.hash))
	}
	m.file = nil
}
