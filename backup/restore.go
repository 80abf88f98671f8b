package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// RestoreOptions says what to restore, and where.
type RestoreOptions struct {
	Snapshot string   // id
	Target   string   // folder, made if absent
	Include  []string // patterns; none means everything
	Exclude  []string
	// IntoNonEmpty writes into a folder that has something in it. Files of the same name are replaced unless they are the same byte for byte,
	// others are left. A restore that is continued need not be told again.
	IntoNonEmpty bool
}

// A RestoreResult says what a restore did.
type RestoreResult struct {
	Snapshot     Snapshot      `json:"snapshot"`
	Files        int           `json:"files"`
	Skipped      int           `json:"skipped"` // files that this restore had put there before it was interrupted: same size and time
	Same         int           `json:"same"`    // files that were there already, and were compared byte for byte
	Unknown      int           `json:"unknown"` // files that the damaged part of the snapshot's list named
	Links        int           `json:"links"`
	Bytes        int64         `json:"bytes"`         // written
	BytesFetched int64         `json:"bytes_fetched"` // asked of the cloud
	Duration     time.Duration `json:"duration_ns"`
	Problems     []Problem     `json:"problems"`
	Continued    bool          `json:"continued"`    // an interrupted restore was taken up
	IdleInclude  []string      `json:"idle_include"` // patterns that matched nothing in the snapshot
	IdleExclude  []string      `json:"idle_exclude"`
}

// workFolder holds files that are not complete yet, inside the target so that a rename finishes them. It is gone when all is done.
const workFolder = ".keepsake-restore"

const markerName = workFolder + "/restore.json"

// marker says which snapshot a restore that was interrupted was of.
type marker struct {
	Repository string `json:"repository"`
	Snapshot   string `json:"snapshot"`
	Into       bool   `json:"into_non_empty,omitempty"` // what lies in the target may be of others
}

// planRuns bounds the chunks' places that are planned at a time, and so the memory: about 32 MiB.
const planRuns = 400_000

// A restorer restores one snapshot.
type restorer struct {
	r       *Repo
	s       *Snapshot
	o       *RestoreOptions
	ctx     context.Context
	res     *RestoreResult
	c       *counters
	root    *os.Root
	include *matcher
	exclude *matcher
	plan    *plan
	into    bool            // as in the marker
	compare *existing       // what is there is read with it
	dirs    map[string]bool // made or found in this run
	written atomic.Int64    // files
	gaps    []gap           // of the list of files
}

// Restore writes a snapshot's files into a folder, databases first. Each file is written under another name and takes its own when it is complete
// and on the disk. An interrupted restore is continued by the same call: complete files are kept by size and time, the chunks of
// incomplete ones by their ids.
//
// Errors: ErrTargetNotEmpty, ErrNotFound, ErrDamaged, ErrLocal, what the store returns, ctx's. Damage does not stop the
// files it does not touch; the error then joins all of it.
func (r *Repo) Restore(ctx context.Context, o RestoreOptions) (*RestoreResult, error) {
	started := time.Now()
	if err := r.whole(ctx); err != nil {
		return nil, err
	}
	s, err := r.snapshot(o.Snapshot)
	if err != nil {
		return nil, err
	}
	x := &restorer{r: r, s: s, o: &o, ctx: ctx, c: &counters{}, res: &RestoreResult{Snapshot: *s}, dirs: make(map[string]bool)}
	if x.include, err = newMatcher(o.Include); err != nil {
		return nil, err
	}
	if x.exclude, err = newMatcher(o.Exclude); err != nil {
		return nil, err
	}
	if err := x.open(); err != nil {
		return nil, err
	}
	defer x.root.Close()
	stop := x.c.report(r.opts.Progress, "restoring")
	err = x.run()
	stop()
	x.res.Files, x.res.Bytes, x.res.BytesFetched, x.res.Duration = int(x.written.Load()), x.c.fresh.Load(), x.c.fetched.Load(), time.Since(started)
	return x.res, err
}

// open makes the target, or checks that it may be written to.
func (x *restorer) open() error {
	if err := os.MkdirAll(x.o.Target, 0o700); err != nil {
		return fmt.Errorf("%w: making the target folder: %w", ErrLocal, err)
	}
	root, err := os.OpenRoot(x.o.Target)
	if err != nil {
		return fmt.Errorf("%w: opening the target folder: %w", ErrLocal, err)
	}
	x.root = root
	if err := x.begin(); err != nil {
		root.Close()
		return err
	}
	return nil
}

// begin finds out whether the target is new, or a restore that was interrupted, and marks it.
func (x *restorer) begin() error {
	want := marker{x.r.ID(), x.s.ID, x.o.IntoNonEmpty}
	found := x.findMarker()
	x.into = want.Into
	if found != nil && found.Repository == want.Repository && found.Snapshot == want.Snapshot {
		x.res.Continued = true
		if x.into = x.into || found.Into; x.into == found.Into {
			return nil
		}
		return x.rewriteMarker(want)
	}
	names, err := readNames(x.o.Target)
	if err != nil {
		return fmt.Errorf("%w: reading the target folder: %w", ErrLocal, err)
	}
	// A work folder without a marker was left by a restore that was killed before its first file or after its last.
	names = slices.DeleteFunc(names, func(name string) bool { return name == workFolder })
	switch {
	case x.o.IntoNonEmpty:
	case found != nil:
		return fmt.Errorf("%w: a restore of another snapshot (%.8s) was begun there", ErrTargetNotEmpty, found.Snapshot)
	case len(names) > 0:
		x.root.Remove(workFolder) // the last thing that a restore that was killed had to do
		return ErrTargetNotEmpty
	}
	if err := x.mark(want); err != nil {
		return fmt.Errorf("%w: marking the restore: %w", ErrLocal, err)
	}
	return nil
}

// rewriteMarker changes what the marker of a restore says that is continued.
func (x *restorer) rewriteMarker(m marker) error {
	err := x.root.RemoveAll(markerName + ".new")
	if err == nil {
		err = x.writeMarker(m)
	}
	if err != nil {
		return fmt.Errorf("%w: marking the restore: %w", ErrLocal, err)
	}
	return nil
}

// findMarker reads the marker of a restore that was begun in the target, nil if there is none.
func (x *restorer) findMarker() *marker {
	b, err := x.root.ReadFile(markerName)
	found := &marker{}
	if err != nil || len(b) > 4096 || json.Unmarshal(b, found) != nil {
		return nil
	}
	return found
}

// mark makes an empty work folder with a marker. What another restore left in it must not come into this one's files: zeros are not written.
func (x *restorer) mark(m marker) error {
	if err := x.root.RemoveAll(workFolder); err != nil {
		return err
	}
	if err := x.root.Mkdir(workFolder, 0o700); err != nil {
		return err
	}
	return x.writeMarker(m)
}

func (x *restorer) writeMarker(m marker) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := x.root.OpenFile(markerName+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return x.root.Rename(markerName+".new", markerName)
}

// run restores databases, then the rest, then what must come last.
func (x *restorer) run() error {
	if err := x.count(); err != nil {
		return err
	}
	var failed []error
	for _, databases := range []bool{true, false} {
		err := x.pass(databases)
		if errors.Is(err, ErrDamaged) {
			failed = append(failed, err)
		} else if err != nil {
			return err
		}
	}
	x.res.IdleInclude, x.res.IdleExclude = x.include.idle(x.o.Include), x.exclude.idle(x.o.Exclude)
	if err := x.finishFolders(); err != nil {
		return err
	}
	for _, g := range x.gaps {
		failed = append(failed, fmt.Errorf("%s: %w", g, g.err))
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	if err := x.root.RemoveAll(workFolder); err != nil {
		return fmt.Errorf("%w: removing the work folder: %w", ErrLocal, err)
	}
	return nil
}

// wants reports whether an entry is to be restored.
func (x *restorer) wants(e *entry) bool {
	if e.path == workFolder || strings.HasPrefix(e.path, workFolder+"/") {
		return false
	}
	in, out := x.include.match(e.path), x.exclude.match(e.path) // both are asked, and note that they matched
	return !out && (in || len(x.include.patterns) == 0)
}

// each calls fn for every wanted entry, and takes note of where the list of files is damaged.
func (x *restorer) each(fn func(e *entry) error) error {
	for e, err := range x.r.entriesAround(x.ctx, x.s, x.skip) {
		if err == nil && x.wants(e) {
			err = fn(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// skip takes note of a gap, once: the list is read several times.
func (x *restorer) skip(g gap) {
	known := func(k gap) bool { return k.after == g.after && k.before == g.before }
	if slices.ContainsFunc(x.gaps, known) {
		return
	}
	x.gaps = append(x.gaps, g)
	x.res.Problems = append(x.res.Problems, Problem{Path: g.String(), What: "what it names cannot be restored: " + g.err.Error(), Err: g.err})
	if g.cut != "" {
		x.res.Problems = append(x.res.Problems, Problem{Path: g.cut, What: "cannot be restored: a part of the list of its contents is damaged", Err: g.err})
	}
}

// count finds the totals, for progress and for what is lost with a part of the list.
func (x *restorer) count() error {
	known := 0
	for e, err := range x.r.entriesAround(x.ctx, x.s, x.skip) {
		if err != nil {
			return err
		}
		if !e.isFile() {
			continue
		}
		known++
		if x.wants(e) {
			x.c.totalFiles.Add(1)
			x.c.totalBytes.Add(e.size)
		}
	}
	if len(x.gaps) > 0 {
		x.res.Unknown = max(0, x.s.Files-known)
	}
	return nil
}

// pass restores the databases, or everything else.
func (x *restorer) pass(databases bool) error {
	x.plan = newPlan(x)
	err := x.each(func(e *entry) error {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		if (e.kind == recordDB) != databases {
			return nil
		}
		switch e.kind {
		case recordDir:
			return x.dir(e.path)
		case recordLink:
			return x.link(e)
		}
		return x.file(e)
	})
	if err == nil || errors.Is(err, ErrDamaged) {
		err = errors.Join(err, x.plan.execute())
	}
	return errors.Join(err, x.plan.damage())
}

// dir makes a folder and those above it. Its own mode and time come last, or nothing could be written into it.
func (x *restorer) dir(path string) error {
	if path == "" || x.dirs[path] {
		return nil
	}
	err := x.root.MkdirAll(path, 0o700)
	if err == nil && (x.res.Continued || x.into) {
		err = x.root.Chmod(path, 0o700) // it may have its final mode already
	}
	if err != nil {
		return fmt.Errorf("%w: making a folder: %w", ErrLocal, err)
	}
	if len(x.dirs) < 1<<16 {
		x.dirs[path] = true
	}
	return nil
}

func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return ""
}

func (x *restorer) link(e *entry) error {
	if err := x.dir(parent(e.path)); err != nil {
		return err
	}
	if target, err := x.root.Readlink(e.path); err != nil || target != e.target {
		if x.into {
			x.root.Remove(e.path)
		}
		if err := x.root.Symlink(e.target, e.path); err != nil {
			return fmt.Errorf("%w: making a link: %w", ErrLocal, err)
		}
		x.res.Links++
	}
	if err := setLinkTime(x.root, e.path, e.mtime); err != nil {
		return fmt.Errorf("%w: setting a link's time: %w", ErrLocal, err)
	}
	return nil
}

// file plans a file's chunks, unless it is there.
func (x *restorer) file(e *entry) error {
	there, err := x.there(e)
	if err != nil {
		return err
	}
	if there {
		x.c.files.Add(1)
		x.c.bytes.Add(e.size)
		return nil
	}
	if err := x.dir(parent(e.path)); err != nil {
		return err
	}
	return x.plan.add(e)
}

// there reports whether the target has the file. Its size and time say so only of what this restore has put there itself before it was
// interrupted: anything else may be damaged, or a database whose contents wait in the log beside it.
func (x *restorer) there(e *entry) (bool, error) {
	info, err := x.root.Lstat(e.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != e.size {
		return false, nil
	}
	if !x.into {
		if info.ModTime().UnixNano() != e.mtime {
			return false, nil
		}
		x.res.Skipped++
		return true, nil
	}
	if same, err := x.same(e); err != nil || !same {
		return false, err
	}
	t := time.Unix(0, e.mtime)
	if x.root.Chmod(e.path, fs.FileMode(e.mode)) != nil || x.root.Chtimes(e.path, t, t) != nil {
		return false, nil // another's file, which can be replaced all the same
	}
	if e.kind == recordDB {
		if err := x.dir(parent(e.path)); err != nil { // it may be one that nothing can be removed from
			return false, err
		}
		if err := removeLogs(x.root, e.path); err != nil {
			return false, fmt.Errorf("%w: finishing %s: %w", ErrLocal, e.path, err)
		}
	}
	x.res.Same++
	return true, nil
}

// partName is the name of a file while it is not complete: the same in every run.
func partName(path string) string {
	sum := sha256.Sum256([]byte(path))
	return workFolder + "/" + hex.EncodeToString(sum[:16]) + ".part"
}

// finishFolders gives folders their modes and times, after everything in them is written.
func (x *restorer) finishFolders() error {
	return x.each(func(e *entry) error {
		if e.kind != recordDir || e.path == "" {
			return nil
		}
		if err := x.dir(e.path); err != nil {
			return err
		}
		err := x.root.Chmod(e.path, fs.FileMode(e.mode))
		if err == nil {
			t := time.Unix(0, e.mtime)
			err = x.root.Chtimes(e.path, t, t)
		}
		if err != nil {
			return fmt.Errorf("%w: finishing a folder: %w", ErrLocal, err)
		}
		return nil
	})
}
