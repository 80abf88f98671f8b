package backup

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"keepsake.example/internal/sqlitepages"
)

// isDatabase looks at a file's head. No capture is open in this process meanwhile: closing the file would drop its locks.
func isDatabase(path string) bool {
	f, err := openSource(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, sqlitepages.HeaderSize)
	_, err = io.ReadFull(f, head)
	return err == nil && sqlitepages.IsDatabase(head)
}

// sidecarOf returns the path of the database that a path would be the log or journal of, "" if the name is not like that. A database
// sorts before its sidecars, so the scanner has seen it by then.
func sidecarOf(path string) string {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if base, ok := strings.CutSuffix(path, suffix); ok {
			return base
		}
	}
	return ""
}

// databaseState is fileState for a database and its log and journal.
func (s *scanner) databaseState(path string) ID {
	state, err := sqlitepages.State(s.full(path))
	if err != nil {
		return ID{}
	}
	return s.dig.id(state)
}

// database sends the pages of a database as they are at one transaction. It fails with ErrNotDatabase if it is none.
func (s *scanner) database(e, prev *entry) error {
	state := s.databaseState(e.path)
	// The capture may hold up the messenger's writes. What was read before it must not be in its way while the cloud is slow.
	if err := s.p.drain(); err != nil {
		return err
	}
	c, err := sqlitepages.Open(s.p.ctx, s.full(e.path), sqlitepages.Options{Wait: captureWait, TempDir: s.tempDir()})
	if errors.Is(err, sqlitepages.ErrNotDatabase) {
		return err
	}
	if err != nil {
		return &sourceError{err}
	}
	defer c.Close()
	e.kind, e.state, e.unit, e.size = recordDB, state, uint32(c.PageSize()), c.PageCount()*int64(c.PageSize())
	old, err := s.oldPages(e, prev)
	if err != nil {
		return err
	}
	for {
		err := s.pages(e, c, old)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// tempDir is where a copy of a database that cannot be read in place is made.
func (s *scanner) tempDir() string {
	if s.r.opts.CacheDir != "" {
		return s.r.opts.CacheDir
	}
	return os.TempDir()
}

// pages sends the next stretch of pages. It returns io.EOF after the last.
func (s *scanner) pages(e *entry, c *sqlitepages.Capture, old *pageIDs) error {
	buf, recycle, err := s.p.pageBuffer()
	if err != nil {
		return err
	}
	n, err := c.Next(buf)
	if err != nil {
		recycle()
		if err == io.EOF {
			return err
		}
		return &sourceError{err}
	}
	s.p.c.read.Add(int64(n))
	s.p.c.bytes.Add(int64(n))
	j := &chunkJob{file: e, class: classPage, data: buf[:n], unit: int(e.unit), recycle: recycle}
	if old != nil {
		if j.prev, j.at, err = old.next(n / j.unit); err != nil {
			recycle()
			return err
		}
	}
	return s.p.send(j)
}

// oldPages goes through the ids of a database's pages in the snapshot before.
func (s *scanner) oldPages(e, prev *entry) (*pageIDs, error) {
	if prev == nil || prev.kind != recordDB || prev.unit != e.unit || !s.stored(prev) {
		return nil, nil
	}
	return &pageIDs{s: s, runs: prev.runs}, nil
}

// pageIDs yields the ids and addresses of the pages of a stored database, in order.
type pageIDs struct {
	s    *scanner
	runs []run
	used uint32 // of the first run
}

// next returns those of the next n pages; zero beyond the end.
func (p *pageIDs) next(n int) (ids []ID, at []uint64, err error) {
	ids, at = make([]ID, n), make([]uint64, n)
	for i := 0; i < n && len(p.runs) > 0; {
		r := p.runs[0]
		count := min(uint32(n-i), r.count-p.used)
		if r.pack != 0 {
			if err := p.fill(ids[i:], at[i:], run{r.pack, r.first + p.used, count}); err != nil {
				return nil, nil, err
			}
		}
		i += int(count)
		if p.used += count; p.used == r.count {
			p.runs, p.used = p.runs[1:], 0
		}
	}
	return ids, at, nil
}

// fill looks up one run of addresses.
func (p *pageIDs) fill(ids []ID, at []uint64, a run) error {
	places, err := p.s.r.index.resolve(a)
	if err != nil {
		return err
	}
	i := uint32(0)
	for _, place := range places {
		t, err := p.s.r.table(p.s.p.ctx, place.pack)
		if err != nil {
			return err
		}
		copy(ids[i:], t.ids[place.first:place.first+place.count])
		i += place.count
	}
	for i := range a.count {
		at[i] = address(a.pack, a.first+i)
	}
	return nil
}

// openSource opens a file of the chat folder for reading. What was a file a moment ago may be a pipe now, which must not block.
func openSource(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.Join(err, errors.New("not a file any more"))}
	}
	return f, nil
}
