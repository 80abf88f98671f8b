package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keepsake.example/internal/sqlitepages"
)

// rereads is how often a file that changes while it is read is begun again.
const rereads = 2

// captureWait bounds the wait for a database whose writer holds its lock.
const captureWait = 10 * time.Second

// A scanner walks the chat folder beside the manifest of the snapshot before and sends what changed down the pipeline.
type scanner struct {
	p       *pipeline
	r       *Repo
	o       *BackupOptions
	res     *BackupResult
	dig     *digester
	exclude *matcher

	prev     func() (*entry, error, bool) // the entries of the snapshot before
	stopPrev func()
	ahead    *entry // the next of them
	own      bool   // it is of the same device and folder: only then may what it has stand in for what cannot be read

	lost bool // a chunk or a segment of the snapshot before is not to be found

	databases map[string]bool // paths: their logs and journals are in what is captured of them
}

func newScanner(p *pipeline, prev *Snapshot, o *BackupOptions, exclude *matcher, res *BackupResult) *scanner {
	s := &scanner{p: p, r: p.r, o: o, res: res, dig: p.r.ring.digester(statePurpose), exclude: exclude, stopPrev: func() {}, databases: make(map[string]bool)}
	s.prev = func() (*entry, error, bool) { return nil, nil, false }
	if prev != nil {
		s.prev, s.stopPrev = iter.Pull2(p.r.entries(p.ctx, prev))
	}
	return s
}

// run walks the whole folder.
func (s *scanner) run() error {
	defer func() { s.stopPrev() }()
	if err := s.advance(); err != nil {
		return err
	}
	info, err := os.Stat(s.o.Source)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLocal, err)
	}
	if err := s.dir("", info); err != nil {
		return err
	}
	// If the disk was taken away meanwhile, every file looked deleted.
	if after, err := os.Stat(s.o.Source); err != nil || !os.SameFile(info, after) {
		return fmt.Errorf("%w: the chat folder went away while it was read: %w", ErrLocal, errors.Join(err, fs.ErrNotExist))
	}
	return s.skipTo(nil)
}

// advance takes the next entry of the snapshot before. A damaged manifest only costs the comparison.
func (s *scanner) advance() error {
	e, err, ok := s.prev()
	if !ok {
		s.ahead = nil
		return nil
	}
	if errors.Is(err, ErrDamaged) {
		s.lost = true
		s.problem("", "the last snapshot's manifest is damaged; every file is read again", err)
		s.p.ids.forget(s.r.index.isMeta) // or the new manifest would name the damaged segments
		s.ahead, s.prev = nil, func() (*entry, error, bool) { return nil, nil, false }
		return nil
	}
	s.ahead = e
	return err
}

// skipTo passes over entries of the snapshot before that lie before path: they are gone. nil means to the end.
func (s *scanner) skipTo(path *string) error {
	for s.ahead != nil && (path == nil || comparePaths(s.ahead.path, *path) < 0) {
		if s.ahead.isFile() {
			s.res.Snapshot.Removed++
		}
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

// before returns the entry of the snapshot before for path, or nil.
func (s *scanner) before(path string) (*entry, error) {
	if err := s.skipTo(&path); err != nil {
		return nil, err
	}
	if s.ahead == nil || s.ahead.path != path {
		return nil, nil
	}
	e := s.ahead
	return e, s.advance()
}

func (s *scanner) problem(path, what string, err error) {
	s.res.Problems = append(s.res.Problems, Problem{Path: path, What: what, Err: err})
}

func (s *scanner) full(path string) string {
	return filepath.Join(s.o.Source, filepath.FromSlash(path))
}

// dir sends a folder and everything in it.
func (s *scanner) dir(path string, info fs.FileInfo) error {
	if _, err := s.before(path); err != nil {
		return err
	}
	s.res.Snapshot.Dirs++
	e := &entry{kind: recordDir, path: path, mode: uint32(info.Mode().Perm()), mtime: info.ModTime().UnixNano()}
	if err := s.p.steps(op{kind: opEnd, file: e}); err != nil {
		return err
	}
	names, err := readNames(s.full(path))
	if errors.Is(err, fs.ErrNotExist) && path != "" {
		return nil // gone since its parent was listed; what was in it is gone too
	}
	if err != nil {
		return s.unreadableDir(path, err)
	}
	if path == "" && len(names) == 0 && s.ahead != nil && !s.o.AllowEmpty {
		return ErrSourceEmpty
	}
	for _, name := range names {
		child := name
		if path != "" {
			child = path + "/" + name
		}
		if base := sidecarOf(child); base != "" && s.databases[base] {
			continue
		}
		if err := s.item(child); err != nil {
			return err
		}
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// unreadableDir keeps what the snapshot before had below a folder that cannot be listed.
func (s *scanner) unreadableDir(path string, err error) error {
	if path == "" {
		return fmt.Errorf("%w: reading the chat folder: %w", ErrLocal, err)
	}
	s.res.Snapshot.Unread++
	if !s.own {
		s.problem(path, "folder cannot be read; what is in it is not in this snapshot", err)
		return nil
	}
	s.problem(path, "folder cannot be read; what the last snapshot had in it is kept", err)
	return s.keepBelow(path)
}

// keepBelow sends everything that the snapshot before had below a folder.
func (s *scanner) keepBelow(path string) error {
	for s.ahead != nil && strings.HasPrefix(s.ahead.path, path+"/") {
		if err := s.keep(s.ahead); err != nil {
			return err
		}
		if err := s.advance(); err != nil {
			return err
		}
	}
	return nil
}

// keep sends an entry of the snapshot before as it is.
func (s *scanner) keep(e *entry) error {
	s.count(e)
	return s.p.steps(op{kind: opEnd, file: e})
}

// count adds an entry to the snapshot's totals.
func (s *scanner) count(e *entry) {
	switch {
	case e.kind == recordDir:
		s.res.Snapshot.Dirs++
	case e.kind == recordLink:
		s.res.Snapshot.Links++
	default:
		s.res.Snapshot.Files++
		s.res.Snapshot.Bytes += e.size
		s.p.c.files.Add(1)
	}
}

// item sends one thing in a folder.
func (s *scanner) item(path string) error {
	if err := s.p.ctx.Err(); err != nil {
		return context.Cause(s.p.ctx)
	}
	if len(path) > maxPath || !validPath(path) {
		s.problem(path, "its path is too long to be stored", nil)
		s.res.Snapshot.Unread++
		return nil
	}
	info, err := os.Lstat(s.full(path))
	if s.exclude.match(path) {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // gone since the folder was listed: as if it had never been there
	case err != nil:
		return s.unreadable(path, err)
	case info.IsDir():
		return s.dir(path, info)
	case info.Mode().IsRegular():
		return s.file(path, info)
	case info.Mode()&fs.ModeSymlink != 0:
		return s.link(path, info)
	}
	s.problem(path, "neither file nor folder nor link: left out", nil)
	return nil
}

func (s *scanner) link(path string, info fs.FileInfo) error {
	if _, err := s.before(path); err != nil {
		return err
	}
	target, err := os.Readlink(s.full(path))
	if err != nil || len(target) > maxPath {
		s.problem(path, "link cannot be read", err)
		s.res.Snapshot.Unread++
		return nil
	}
	e := &entry{kind: recordLink, path: path, mtime: info.ModTime().UnixNano(), target: target}
	s.count(e)
	return s.p.steps(op{kind: opEnd, file: e})
}

// unreadable keeps the snapshot before's version of a file that cannot be read, if it has one.
func (s *scanner) unreadable(path string, cause error) error {
	prev, err := s.before(path)
	if err != nil {
		return err
	}
	s.res.Snapshot.Unread++
	if prev == nil || !s.own {
		s.problem(path, "cannot be read; not in this snapshot", cause)
		return nil
	}
	s.problem(path, "cannot be read; the last snapshot's version is kept", cause)
	if err := s.keep(prev); err != nil {
		return err
	}
	return s.keepBelow(path) // if it was a folder
}

// file sends a file: as it was, if it did not change, or read anew.
func (s *scanner) file(path string, info fs.FileInfo) error {
	prev, err := s.before(path)
	if err != nil {
		return err
	}
	if prev != nil && !prev.isFile() {
		prev = nil
	}
	e := &entry{kind: recordFile, path: path, mode: uint32(info.Mode().Perm()), mtime: info.ModTime().UnixNano(), size: info.Size(), unit: maxChunk}
	e.state = fileState(s.dig, info, time.Now())
	if prev != nil && prev.kind == recordDB {
		e.state = s.databaseState(path)
	}
	if prev != nil && s.stored(prev) && unchanged(prev.state, e.state) && !s.o.Reread {
		e.kind, e.size, e.unit, e.runs = prev.kind, prev.size, prev.unit, prev.runs
		if e.kind == recordDB {
			s.databases[path] = true
		}
		s.res.Unchanged++
		s.p.c.bytes.Add(info.Size())
		return s.keep(e)
	}
	done, err := s.read(e, prev)
	if err != nil || !done {
		return err
	}
	s.count(e)
	return nil
}

// stored reports whether all chunks of an entry can be found, so that a damaged cloud heals with the next backup.
func (s *scanner) stored(e *entry) bool {
	for _, a := range e.runs {
		if a.pack == 0 {
			continue
		}
		if _, err := s.r.index.resolve(a); err != nil {
			s.lost = true
			return false
		}
	}
	return true
}

// read reads a file's contents, as a database if it is one. done is false if the file is not part of the snapshot, or is
// there in the snapshot before's version.
func (s *scanner) read(e, prev *entry) (done bool, err error) {
	if e.size >= sqlitepages.HeaderSize && isDatabase(s.full(e.path)) {
		err := s.database(e, prev)
		if !errors.Is(err, sqlitepages.ErrNotDatabase) {
			s.databases[e.path] = true // also one that could not be read: its log alone would spoil the version that is kept
			return s.finish(e, prev, err)
		}
	}
	e.kind, e.unit = recordFile, maxChunk
	for try := 0; ; try++ {
		changed, err := s.contents(e)
		if err == nil && changed && try < rereads {
			if err := s.p.steps(op{kind: opReset, file: e}); err != nil {
				return false, err
			}
			continue
		}
		if err == nil && changed {
			s.problem(e.path, "kept changing while it was read; stored as it was found", nil)
		}
		return s.finish(e, prev, err)
	}
}

// finish sends the end of a file that was read, or what stands in for it after an error of the file's own.
func (s *scanner) finish(e, prev *entry, err error) (done bool, _ error) {
	switch {
	case err == nil:
		return true, s.p.steps(op{kind: opRead, file: e, other: prev})
	case s.p.ctx.Err() != nil:
		return false, context.Cause(s.p.ctx)
	case !errors.As(err, new(*sourceError)):
		return false, err
	}
	if _, gone := os.Lstat(s.full(e.path)); errors.Is(gone, fs.ErrNotExist) {
		if prev != nil {
			s.res.Snapshot.Removed++
		}
		return false, nil
	}
	s.res.Snapshot.Unread++
	if prev == nil || !s.own {
		s.problem(e.path, "cannot be read; not in this snapshot", err)
		return false, nil
	}
	s.problem(e.path, "cannot be read; the last snapshot's version is kept", err)
	s.count(prev)
	return false, s.p.steps(op{kind: opReplace, file: e, other: prev}, op{kind: opEnd, file: e})
}

// A sourceError is an error of a file in the chat folder, which stops that file and not the backup.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// contents sends a plain file's chunks. changed says that the file changed meanwhile. e gets the size that was read.
func (s *scanner) contents(e *entry) (changed bool, err error) {
	f, err := openSource(s.full(e.path))
	if err != nil {
		return false, &sourceError{err}
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return false, &sourceError{err}
	}
	e.size, e.mtime, e.state = before.Size(), before.ModTime().UnixNano(), fileState(s.dig, before, time.Now())
	n, err := s.chunks(e, f)
	if err != nil {
		return false, err
	}
	after, err := f.Stat()
	if err != nil {
		return false, &sourceError{err}
	}
	changed = n != e.size || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())
	if changed {
		e.size, e.state = n, ID{}
	}
	return changed, nil
}

// chunks sends e.size bytes of f, or fewer if it ends before.
func (s *scanner) chunks(e *entry, f *os.File) (total int64, err error) {
	holes := newHoles(f, e.size)
	for total < e.size {
		if n := holes.skip(total, maxChunk); n > 0 {
			chunks := (n + maxChunk - 1) / maxChunk
			if err := s.p.steps(op{kind: opKnown, file: e, run: run{count: uint32(chunks)}}); err != nil {
				return total, err
			}
			total += n
			s.p.c.bytes.Add(n)
			continue
		}
		n, err := s.chunk(e, f, total)
		total += n
		if err != nil || n < min(maxChunk, e.size-total+n) {
			return total, err
		}
	}
	return total, nil
}

// chunk sends the chunk at offset and returns its length, less than asked for at the end of the file.
func (s *scanner) chunk(e *entry, f *os.File, offset int64) (int64, error) {
	want := min(maxChunk, e.size-offset)
	var buf []byte
	var recycle func()
	if want <= 64<<10 {
		buf = make([]byte, want)
	} else {
		var err error
		if buf, recycle, err = s.p.buffer(); err != nil {
			return 0, err
		}
	}
	n, err := f.ReadAt(buf[:want], offset)
	if err != nil && err != io.EOF {
		if recycle != nil {
			recycle()
		}
		return 0, &sourceError{err}
	}
	s.p.c.read.Add(int64(n))
	s.p.c.bytes.Add(int64(n))
	return int64(n), s.p.send(&chunkJob{file: e, class: classFile, data: buf[:n], unit: maxChunk, recycle: recycle})
}
