package backup

import (
	"fmt"
	"strings"
	"sync"
)

// recordType is a manifest record's type, spec §6.
type recordType byte

const (
	recordDir  recordType = 1
	recordFile recordType = 2
	recordLink recordType = 3
	recordDB   recordType = 4
	recordMore recordType = 5
)

const (
	maxPath      = 4096
	maxRuns      = 4096 // in one record
	segmentLow   = 16 << 10
	segmentHigh  = 256 << 10
	maxUnit      = maxChunk
	maxZeroCount = 1<<32 - 1
)

// A run is a stretch of a file's chunks that lie one after the other, spec §6. pack 0 stands for zeros.
type run struct {
	pack  uint32
	first uint32
	count uint32
}

// addRun appends a run, as part of the last one where they touch.
func addRun(runs []run, n run) []run {
	if len(runs) > 0 {
		last := &runs[len(runs)-1]
		touches := n.pack == 0 || uint64(last.first)+uint64(last.count) == uint64(n.first)
		if last.pack == n.pack && touches && uint64(last.count)+uint64(n.count) <= maxZeroCount {
			last.count += n.count
			return runs
		}
	}
	return append(runs, n)
}

func countChunks(runs []run) (n int64) {
	for _, r := range runs {
		n += int64(r.count)
	}
	return n
}

func appendRuns(w *wireWriter, runs []run) {
	w.uvarint(uint64(len(runs)))
	for _, r := range runs {
		w.uvarint(uint64(r.pack))
		w.uvarint(uint64(r.first))
		w.uvarint(uint64(r.count))
	}
}

// readRuns reads runs over a list of packs; their numbers count in that list, from 1.
func readRuns(r *wireReader, packs int) []run {
	n := r.count(3)
	runs := make([]run, 0, n)
	for range n {
		a := run{uint32(r.upTo(uint64(packs))), uint32(r.upTo(maxPackChunks - 1)), uint32(r.upTo(maxZeroCount))}
		outside := a.pack != 0 && uint64(a.first)+uint64(a.count) > maxPackChunks
		if a.count == 0 || outside || (a.pack == 0 && a.first != 0) {
			r.fail()
		}
		before := len(runs)
		if runs = addRun(runs, a); len(runs) == before {
			r.fail() // not in its shortest form
		}
		if r.err != nil {
			return nil
		}
	}
	return runs
}

// An entry is one record of a manifest. Runs count in the repository's own pack numbers (packNames).
type entry struct {
	kind   recordType
	path   string
	mode   uint32
	mtime  int64
	size   int64
	state  ID
	unit   uint32
	target string
	runs   []run
}

// isFile reports whether the entry has contents.
func (e *entry) isFile() bool { return e.kind == recordFile || e.kind == recordDB }

// chunks is how many chunks the contents have.
func (e *entry) chunks() int64 {
	if e.size == 0 {
		return 0
	}
	return (e.size + int64(e.unit) - 1) / int64(e.unit)
}

// comparePaths orders paths as a walk meets them: '/' sorts before every other byte, spec §6.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' || (y != '/' && x < y) {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// validPath holds a path read from a manifest to spec §6, so that no restore leaves its folder.
func validPath(p string) bool {
	if p == "" {
		return true
	}
	if len(p) > maxPath || strings.IndexByte(p, 0) >= 0 {
		return false
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// A manifestWriter cuts entries into segments and hands each to emit. One goroutine at a time.
type manifestWriter struct {
	names *packNames
	dig   *digester
	emit  func(segment []byte) error

	packs []ID
	local map[uint32]uint32 // :: repository pack number → number in this segment
	body  wireWriter
}

func newManifestWriter(names *packNames, dig *digester, emit func([]byte) error) *manifestWriter {
	return &manifestWriter{names: names, dig: dig, emit: emit, local: make(map[uint32]uint32)}
}

func (m *manifestWriter) size() int { return len(m.body.b) + len(m.packs)*len(ID{}) }

// add writes one entry, as several records if it has many runs.
func (m *manifestWriter) add(e *entry) error {
	if m.size() >= segmentLow {
		if cut := m.dig.id([]byte(e.path)); cut[0] < 4 || m.size() >= segmentHigh {
			if err := m.flush(); err != nil {
				return err
			}
		}
	}
	return m.record(e)
}

// record appends an entry.
func (m *manifestWriter) record(e *entry) error {
	m.body.u8(byte(e.kind))
	m.body.str(e.path)
	if e.kind == recordLink {
		m.body.i64(e.mtime)
		m.body.str(e.target)
		return nil
	}
	m.body.uvarint(uint64(e.mode))
	m.body.i64(e.mtime)
	if e.kind == recordDir {
		return nil
	}
	m.body.uvarint(uint64(e.size))
	m.body.id(e.state)
	m.body.uvarint(uint64(e.unit))
	return m.addRuns(e.runs)
}

func (m *manifestWriter) addRuns(runs []run) error {
	for {
		n := min(len(runs), maxRuns)
		local := make([]run, n)
		for i, r := range runs[:n] {
			local[i] = run{m.number(r.pack), r.first, r.count}
		}
		appendRuns(&m.body, local)
		if runs = runs[n:]; len(runs) == 0 {
			return nil
		}
		if m.size() >= segmentHigh {
			if err := m.flush(); err != nil {
				return err
			}
		}
		m.body.u8(byte(recordMore))
	}
}

// number gives a pack its number in this segment, in order of first use: equal entries make equal bytes.
func (m *manifestWriter) number(pack uint32) uint32 {
	if pack == 0 {
		return 0
	}
	n, ok := m.local[pack]
	if !ok {
		m.packs = append(m.packs, m.names.id(pack))
		n = uint32(len(m.packs))
		m.local[pack] = n
	}
	return n
}

func (m *manifestWriter) flush() error {
	if len(m.body.b) == 0 {
		return nil
	}
	var w wireWriter
	w.ids(m.packs)
	w.b = append(w.b, m.body.b...)
	m.packs = m.packs[:0]
	m.body.b = m.body.b[:0]
	clear(m.local)
	return m.emit(w.b)
}

// parseSegment calls fn for each record of a segment. Records of type more have runs only. Packs are in the order of their
// first use and all are used: a segment has one form.
func parseSegment(segment []byte, names *packNames, fn func(*entry) error) error {
	r := wireReader{b: segment}
	packs := r.ids(maxChunk / len(ID{}))
	if !distinct(packs) {
		return fmt.Errorf("%w: a pack is named twice", errMalformed)
	}
	used := uint32(0)
	for len(r.b) > 0 {
		e := readRecord(&r, len(packs))
		if r.err != nil {
			return r.err
		}
		for i := range e.runs {
			n := e.runs[i].pack
			if n > used+1 {
				return fmt.Errorf("%w: packs are not in the order of their use", errMalformed)
			}
			used = max(used, n)
			if n > 0 {
				e.runs[i].pack = names.number(packs[n-1])
			}
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if r.err == nil && int(used) != len(packs) {
		return fmt.Errorf("%w: a pack is named and not used", errMalformed)
	}
	return r.end()
}

// distinct reports whether no id stands in the list twice: two numbers for one pack would give a segment two forms.
func distinct(ids []ID) bool {
	seen := make(map[ID]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return false
		}
		seen[id] = true
	}
	return true
}

func readRecord(r *wireReader, packs int) *entry {
	e := &entry{kind: recordType(r.u8())}
	if e.kind == recordMore {
		e.runs = readRuns(r, packs)
		if len(e.runs) == 0 || len(e.runs) > maxRuns {
			r.fail()
		}
		return e
	}
	e.path = r.str(maxPath)
	if !validPath(e.path) {
		r.fail()
	}
	switch e.kind {
	case recordLink:
		e.mtime = r.i64()
		e.target = r.str(maxPath)
	case recordDir:
		e.mode = uint32(r.upTo(0o777))
		e.mtime = r.i64()
	case recordFile, recordDB:
		e.mode = uint32(r.upTo(0o777))
		e.mtime = r.i64()
		e.size = int64(r.upTo(1 << 62))
		e.state = r.id()
		e.unit = uint32(r.upTo(maxUnit))
		e.runs = readRuns(r, packs)
		if e.unit == 0 || len(e.runs) > maxRuns {
			r.fail()
		}
	default:
		r.fail()
	}
	return e
}

// An assembler joins the records of a manifest, segment after segment, into whole entries and checks what spans records.
type assembler struct {
	entry *entry
	last  string
	first bool
	full  bool // the last record had as many runs as one may, so more can follow
	fn    func(*entry) error
	lost  func(gap)
	gap   *gap // the segments before were damaged
}

func newAssembler(fn func(*entry) error) *assembler { return &assembler{first: true, fn: fn} }

func (a *assembler) add(e *entry) error {
	if e.kind == recordMore {
		return a.more(e)
	}
	inGap := a.gap != nil
	if (a.first != (e.path == "") && !inGap) || (!a.first && comparePaths(e.path, a.last) <= 0) {
		return fmt.Errorf("%w: paths out of order", errMalformed)
	}
	if a.first && e.kind != recordDir && !inGap {
		return fmt.Errorf("%w: the top is no folder", errMalformed)
	}
	if err := a.flush(); err != nil {
		return err
	}
	a.endGap(e.path)
	a.first, a.last, a.entry, a.full = false, e.path, e, len(e.runs) == maxRuns
	return nil
}

// more continues the runs of the entry before. Behind a gap nobody knows whose they are.
func (a *assembler) more(e *entry) error {
	if a.gap != nil {
		return nil
	}
	if a.entry == nil || !a.full {
		return fmt.Errorf("%w: runs without a file, or that fit into the record before", errMalformed)
	}
	before := len(a.entry.runs)
	for _, r := range e.runs {
		a.entry.runs = addRun(a.entry.runs, r)
	}
	if len(a.entry.runs) != before+len(e.runs) {
		return fmt.Errorf("%w: runs that could be one", errMalformed)
	}
	a.full = len(e.runs) == maxRuns
	return nil
}

// lose takes the place of a segment that is damaged. The entry before it is passed on if it is whole.
func (a *assembler) lose(err error) error {
	if a.gap != nil {
		return nil
	}
	a.gap = &gap{after: a.last, err: err}
	if e := a.entry; e != nil && a.full && countChunks(e.runs) != e.chunks() {
		a.gap.cut, a.entry = e.path, nil
	}
	return a.flush()
}

func (a *assembler) endGap(before string) {
	if a.gap != nil {
		a.gap.before = before
		a.lost(*a.gap)
		a.gap = nil
	}
}

// end passes on what is left.
func (a *assembler) end() error {
	err := a.flush()
	if err == nil {
		a.endGap("")
	}
	return err
}

// flush passes on the last entry.
func (a *assembler) flush() error {
	e := a.entry
	if e == nil {
		return nil
	}
	a.entry = nil
	if e.isFile() && countChunks(e.runs) != e.chunks() {
		return fmt.Errorf("%w: a file's chunks and size differ", errMalformed)
	}
	return a.fn(e)
}

// packNames numbers the packs of a repository, in memory only, from 1. Safe for concurrent use.
type packNames struct {
	mu      sync.Mutex
	list    []ID
	numbers map[ID]uint32 // :: pack id → number
}

func newPackNames() *packNames { return &packNames{numbers: make(map[ID]uint32)} }

func (p *packNames) number(id ID) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.numbers[id]
	if !ok {
		p.list = append(p.list, id)
		n = uint32(len(p.list))
		p.numbers[id] = n
	}
	return n
}

func (p *packNames) id(n uint32) ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list[n-1]
}
