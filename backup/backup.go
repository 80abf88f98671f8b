package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keepsake.example/cloud"
)

// BackupOptions says what to back up.
type BackupOptions struct {
	Source     string   // the chat folder
	Exclude    []string // patterns, see `keepsake help patterns`
	DryRun     bool     // read and compare, store nothing
	Reread     bool     // read every file, also those that look unchanged
	Distrust   []string // names of packs that Verify found damaged: what is in them and still needed is stored again, at no cost else
	AllowEmpty bool     // accept an empty folder after a snapshot that was not
}

// A BackupResult says what a backup did.
type BackupResult struct {
	Snapshot      Snapshot      `json:"snapshot"`
	Unchanged     int           `json:"unchanged"`
	BytesRead     int64         `json:"bytes_read"`
	BytesNew      int64         `json:"bytes_new"`      // of contents the repository did not have
	BytesUploaded int64         `json:"bytes_uploaded"` // acknowledged by the store, small objects not counted
	BytesSent     int64         `json:"bytes_sent"`     // handed to the store, every try counted: more where it had to be tried again
	Objects       int           `json:"objects"`        // packs stored
	Duration      time.Duration `json:"duration_ns"`
	Problems      []Problem     `json:"problems"`
	ReclaimedLock bool          `json:"reclaimed_lock"` // another device's lock was left over and taken away
	NothingNew    bool          `json:"nothing_new"`
}

// A Problem is something about one path that did not stop a run.
type Problem struct {
	Path string `json:"path"`
	What string `json:"what"`
	Err  error  `json:"-"`
}

// Backup takes a snapshot of a folder. Files that cannot be read are listed in the result's Problems, and are in the snapshot as they were in
// the one before of this device and folder, if they were.
//
// Errors: ErrLocked, ErrSourceEmpty, ErrLocal, ErrRolledBack, what the store returns, ctx's. After any error the repository is as it was,
// but for packs that the next backup uses.
func (r *Repo) Backup(ctx context.Context, o BackupOptions) (*BackupResult, error) {
	began := r.opts.Now()
	started := time.Now()
	if info, err := os.Stat(o.Source); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%w: the chat folder is not there: %w", ErrLocal, errors.Join(err, notFolder(err)))
	}
	res := &BackupResult{Snapshot: Snapshot{Time: began.UTC(), Device: r.device.String(), Source: filepath.Base(o.Source)}}
	if o.DryRun {
		if err := r.rehearse(ctx, &o, res); err != nil {
			return nil, err
		}
	} else {
		l, list, err := r.begin(ctx, "backup", false, packFolders()...)
		if err != nil {
			return nil, err
		}
		defer l.unlock()
		present, err := r.snapshotFolder(ctx, &o, res, list)
		if err != nil {
			return nil, err
		}
		if err := l.awake(ctx); err != nil {
			return nil, fmt.Errorf("the snapshot is stored, but another device may have deleted what it needs meanwhile: %w", err)
		}
		if err := r.leave(ctx, l, present); err != nil {
			return nil, err
		}
	}
	res.Duration = time.Since(started)
	res.ReclaimedLock = r.reclaimed
	return res, nil
}

func notFolder(err error) error {
	if err == nil {
		return errors.New("it is no folder")
	}
	return nil
}

// rehearse goes through the folder and stores nothing.
func (r *Repo) rehearse(ctx context.Context, o *BackupOptions, res *BackupResult) error {
	if err := r.whole(ctx); err != nil {
		return err
	}
	list, err := listFolders(ctx, r.store, packFolders()...)
	if err != nil {
		return fmt.Errorf("listing packs: %w", err)
	}
	_, err = r.snapshotFolder(ctx, o, res, list)
	return err
}

// begin locks the repository and reads its state anew, as another device may have written since it was opened.
// replacing says that the key rings will be replaced. Folders that the caller needs are listed in the same round trip, which is after the one that looks
// at the locks: who held one may have written a head just before it was removed.
func (r *Repo) begin(ctx context.Context, what string, replacing bool, also ...string) (*lock, listing, error) {
	l, err := r.lock(ctx, what)
	if err != nil {
		return nil, nil, err
	}
	begun := false
	defer func() {
		if !begun { // after a panic as well: else it would be renewed as long as the process lives
			l.unlock()
		}
	}()
	l.replacing, r.held = replacing, l
	if r.opts.Known.Seq < r.Mark().Seq {
		r.opts.Known = r.Mark()
	}
	rings, heads := kinds[kindRing].folder, kinds[kindHead].folder
	list, err := listFolders(ctx, r.store, append([]string{rings, heads}, also...)...)
	if err != nil {
		err = fmt.Errorf("reading what the repository holds: %w", err)
	}
	if err == nil {
		err = r.ringInUse(ctx, namesIn(list[rings]), replacing)
	}
	if err == nil {
		err = r.reload(ctx, list[heads])
	}
	if err == nil {
		err = r.clearRings(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	begun = true
	return l, list, nil
}

// reload reads the heads, and what they name if that has changed.
func (r *Repo) reload(ctx context.Context, shown []cloud.Info) error {
	before := r.heads
	if err := r.findHeads(ctx, shown); err != nil {
		return err
	}
	same := slices.EqualFunc(before, r.heads, func(a, b *head) bool { return a.id == b.id })
	if same && r.loaded {
		return nil
	}
	return r.loadContents(ctx)
}

// snapshotFolder runs the pipeline and commits its outcome. list has the folders of packs.
// It returns the packs that lay in the cloud before.
func (r *Repo) snapshotFolder(ctx context.Context, o *BackupOptions, res *BackupResult, list listing) (map[uint32]cloud.Info, error) {
	present, err := r.packsIn(ctx, list)
	if err != nil {
		return nil, err
	}
	r.forgetMissing(present, res)
	distrusted := r.forgetDamaged(o.Distrust, present)
	if _, err := r.adopt(ctx, present); err != nil {
		return nil, err
	}
	ids, err := r.loadIDs(ctx, r.index.packs)
	if err != nil {
		return nil, err
	}
	c := &counters{}
	if r.opts.Progress != nil {
		counting, enough := context.WithCancel(ctx)
		defer enough()
		aside(func() { countFolder(counting, o.Source, c) })
	}
	stop := c.report(r.opts.Progress, "backing up")
	defer stop()
	exclude, err := newMatcher(o.Exclude)
	if err != nil {
		return nil, err
	}
	prev, own := r.parentOf(&res.Snapshot)
	if prev != nil {
		res.Snapshot.parent = prev.id
	}
	p := r.newPipeline(ctx, c, ids, o.DryRun) // its goroutines end with run
	s := newScanner(p, prev, o, exclude, res)
	s.own = own
	h := r.nextHead()
	err = p.run(ctx, s.run, func() error {
		res.Snapshot.New, res.Snapshot.Changed, res.Unchanged = p.fresh, p.changed, res.Unchanged+p.same
		res.NothingNew = res.Snapshot.New+res.Snapshot.Changed+res.Snapshot.Removed == 0
		res.Snapshot.Uploaded = c.sealed.Load()
		if o.DryRun {
			return nil
		}
		return r.prepare(ctx, h, p, &res.Snapshot)
	})
	if err != nil {
		return nil, err
	}
	if s.lost { // else what is damaged is of older snapshots, and this run has no more to say about it than the last
		res.Problems = append(res.Problems, distrusted...)
	}
	res.BytesRead, res.BytesNew, res.Objects = c.read.Load(), c.fresh.Load(), int(c.objects.Load())
	res.BytesUploaded, res.BytesSent = c.uploaded.Load(), c.sent.Load()
	if o.DryRun {
		return present, nil
	}
	// Only now: an upload may have written an index of its own to the end.
	h.indexes = slices.Concat(h.indexes, p.up.indexes)
	return present, r.commit(ctx, h)
}

// parentOf picks the snapshot that a new one is compared with: the newest of the same device and folder, or, where there is none, the newest of all, which
// on a new phone has most of the contents. own says which.
func (r *Repo) parentOf(s *Snapshot) (prev *Snapshot, own bool) {
	for _, prev = range slices.Backward(r.snapshots) {
		if prev.history() == s.history() {
			return prev, true
		}
	}
	if n := len(r.snapshots); n > 0 {
		return r.snapshots[n-1], false
	}
	return nil, false
}

// forgetMissing takes packs out of the index that are not in the cloud any more, or not whole: what they held is stored again.
func (r *Repo) forgetMissing(present map[uint32]cloud.Info, res *BackupResult) {
	r.index.noteGone(present)
	for n, info := range r.index.packs {
		if info.gone {
			delete(r.index.packs, n) // prune on another device moved what was needed of it
			continue
		}
		name := objectName(info.kind, r.index.names.id(n))
		d := &DamageError{Object: name, Layer: "missing", What: "it is not in the cloud any more"}
		what := "is missing in the cloud"
		if found, ok := present[n]; ok && found.Size == info.size {
			continue
		} else if ok {
			what = "is cut or extended in the cloud"
			d = &DamageError{Object: name, Layer: "size", What: fmt.Sprintf("it has %d bytes instead of %d", found.Size, info.size)}
		}
		r.damage = append(r.damage, d)
		res.Problems = append(res.Problems, Problem{Path: name, What: what + "; what this device still has of it is stored again", Err: d})
		delete(r.index.packs, n)
	}
}

// forgetDamaged takes packs that are known to be damaged out of the index, for this backup: files that need them are read again, whatever they look like, and
// nothing new is built on them.
func (r *Repo) forgetDamaged(names []string, present map[uint32]cloud.Info) (problems []Problem) {
	for _, name := range names {
		k, _, id, err := splitName(name)
		if err != nil || (k != kindData && k != kindMeta) {
			continue
		}
		n := r.index.names.number(id)
		if r.index.packs[n] == nil {
			continue
		}
		d := &DamageError{Object: name, Layer: "segment", What: "verify found it damaged"}
		r.damage = append(r.damage, d)
		problems = append(problems, Problem{Path: name, What: "is damaged in the cloud; what this device still has of it is stored again", Err: d})
		delete(r.index.packs, n)
		delete(present, n) // or it would be adopted
	}
	return problems
}

// prepare stores what h is to name, while the last packs are on their way: nothing of it counts before the head does, which
// waits for all. The indexes of this run's packs are the uploader's to tell, at its end.
func (r *Repo) prepare(ctx context.Context, h *head, p *pipeline, s *Snapshot) error {
	var adopted []ID
	s.id = newID()
	s.ID, s.Seq = s.id.String(), h.seq
	s.packs, s.segments = r.nameRuns(p.segments)
	err := together(func() error {
		return p.up.writeTables(ctx, true)
	}, func() (err error) {
		adopted, err = r.writeIndexes(ctx, r.adoptedTables())
		return err
	}, func() error {
		return r.writeSmall(ctx, kindSnapshot, s.id, objectName(kindSnapshot, s.id), s.marshal(r.device))
	})
	h.snapshots = append(h.snapshots, s.id)
	h.indexes = slices.Concat(r.index.loaded, adopted) // a damaged index is left out: its packs were adopted
	return err
}

// nameRuns turns runs of repository pack numbers into runs over a list of ids.
func (r *Repo) nameRuns(runs []run) (packs []ID, local []run) {
	numbers := make(map[uint32]uint32)
	for _, a := range runs {
		if numbers[a.pack] == 0 {
			packs = append(packs, r.index.names.id(a.pack))
			numbers[a.pack] = uint32(len(packs))
		}
		local = append(local, run{numbers[a.pack], a.first, a.count})
	}
	return packs, local
}

// adoptedTables lists the adopted packs, which the new index must name. All of them: a few unused chunks cost less than
// finding out which are used, and prune will.
func (r *Repo) adoptedTables() (tables []*table) {
	for _, info := range r.index.packs {
		if info.table != nil {
			tables = append(tables, info.table)
		}
	}
	slices.SortFunc(tables, func(a, b *table) int { return slices.Compare(a.pack[:], b.pack[:]) })
	return tables
}

// commit stores a head, which makes everything it names the repository's state, and loads that state. What it names is stored.
func (r *Repo) commit(ctx context.Context, h *head) error {
	h.time = r.opts.Now().UnixNano()
	h.device = r.device
	h.generation = r.ring.generation
	name := headName(h.seq, h.id)
	put := func(object []byte) error { return r.held.commit(ctx, name, object) }
	if err := r.storeSmall(kindHead, h.id, name, h.marshal(), put); err != nil {
		return err
	}
	r.opts.Known = h.mark()
	r.follow(h)
	// The commit stands, so a cancelled context must not make it look like a failure.
	return r.loadContents(context.WithoutCancel(ctx))
}

// follow takes the head that was just written for the newest, without asking the cloud: a head that another device wrote beside it is a branch, and found by
// whoever reads next.
func (r *Repo) follow(h *head) {
	for _, old := range r.heads {
		r.older = append(r.older, headName(old.seq, old.id))
	}
	slices.SortStableFunc(r.older, func(a, b string) int { return strings.Compare(b, a) }) // newest first: names begin with the number
	r.heads, r.state = []*head{h}, *h
}

// leave clears up and removes the lock, after the commit. What it cannot delete the next run will, so only a fault of this program is an error.
func (r *Repo) leave(ctx context.Context, l *lock, present map[uint32]cloud.Info) error {
	err := r.sweep(ctx, l.since, present)
	// Heads that count no more stop nobody, so they can go while the lock does.
	err = together(func() error { return err }, func() error { return r.dropOldHeads(ctx) }, func() error { l.unlock(); return nil })
	if errors.Is(err, ErrInternal) {
		return err
	}
	return nil
}

// sweep deletes packs that no head names and that are old enough, spec §11. On a store that lags only Prune does, which makes
// sure that it knows every head.
func (r *Repo) sweep(ctx context.Context, now time.Time, present map[uint32]cloud.Info) error {
	wanted := r.wanted()
	r.cache.keep(wanted)
	if len(r.damage) > 0 || r.reclaimed || r.lag > 0 {
		return nil
	}
	var old []string
	for _, info := range present {
		if !wanted[info.Name] && now.Sub(info.ModTime) > orphanAge {
			old = append(old, info.Name)
		}
	}
	if len(old) == 0 {
		return nil
	}
	if err := r.held.held(ctx); err != nil {
		return err
	}
	return deleteAll(ctx, r.store, old, r.held.awake)
}

// dropOldHeads deletes the heads that are not kept, spec §5. Unreadable ones that this device was told to go past must not
// stop whoever comes after the head it wrote.
func (r *Repo) dropOldHeads(ctx context.Context) error {
	return deleteAll(ctx, r.store, slices.Concat(r.givenUp, r.older[min(len(r.older), keepHeads-1):]), nil)
}

// wanted is the set of names that the newest heads lead to.
func (r *Repo) wanted() map[string]bool {
	w := make(map[string]bool)
	for _, h := range r.heads {
		w[headName(h.seq, h.id)] = true
		for _, id := range h.snapshots {
			w[objectName(kindSnapshot, id)] = true
		}
		for _, id := range h.indexes {
			w[objectName(kindIndex, id)] = true
		}
	}
	for n, info := range r.index.packs {
		if info.table == nil {
			w[objectName(info.kind, r.index.names.id(n))] = true
		}
	}
	return w
}

// countFolder counts files and bytes ahead of the backup, for the time that is left.
func countFolder(ctx context.Context, dir string, c *counters) {
	var files, bytes int64
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				files++
				bytes += info.Size()
			}
		}
		return ctx.Err()
	})
	c.totalFiles.Store(files)
	c.totalBytes.Store(bytes)
}
