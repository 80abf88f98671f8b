package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"keepsake.example/cloud"
)

// copyRounds is how often Copy starts over because the repository was written to meanwhile. A backup commits once in many
// minutes; who commits faster than that is no backup.
const copyRounds = 5

// CopyOptions says how a repository is copied.
type CopyOptions struct {
	Repository string         // the id that it must have, "" for any
	Progress   func(Progress) // may be nil; called by one goroutine at a time
	// Certain fails with ErrSamePlace also where all that the source has is at the destination with the same times. Where lookups lag,
	// the token does not tell two names of one place apart in time, and the caller is about to delete one of the two.
	Certain bool
}

// A CopyResult says what was copied.
type CopyResult struct {
	Repository string        `json:"repository"`
	Objects    int           `json:"objects"` // copied
	Bytes      int64         `json:"bytes"`   // of them
	Present    int           `json:"present"` // were there already
	Duration   time.Duration `json:"duration_ns"`
	Problems   []Problem     `json:"problems"` // objects that were not copied
}

// A copier copies one repository.
type copier struct {
	from, to cloud.Store
	repo     ID
	c        counters
	started  time.Time

	mu       sync.Mutex
	res      CopyResult
	distinct bool // an object was stored at another time at the destination
}

// Copy clones the repository in one store into another, without the key. What is at the destination already stays as it is and
// is not sent again, so that an interrupted copy, or one of last week, is continued by the same call.
//
// The ring comes last: until it is there, the destination is no repository. Nothing at the destination is ever replaced or deleted, not
// by what the source says: whoever holds the source could otherwise destroy the copy too. So a ring that was retired at the
// source since the last copy stays at the destination until somebody with the key finishes that (FinishRotation).
//
// Everything copied is checked as far as that goes without a key: names, headers, sizes, ring checksums; the rest is Verify's. What
// fails is left out and listed, and the error is ErrDamaged. Errors: ErrNoRepository; ErrOtherRepository when the source is not the one
// expected; ErrRepositoryExists when the destination holds another; ErrSamePlace when it is the source by another name; what the stores return; ctx's.
func Copy(ctx context.Context, from, to cloud.Store, o CopyOptions) (*CopyResult, error) {
	x := &copier{from: from, to: to, started: time.Now()}
	err := x.check(ctx, o.Repository)
	if err == nil {
		stop := x.c.report(o.Progress, "copying")
		err = x.apart(ctx)
		stop()
	}
	x.res.Duration = time.Since(x.started)
	slices.SortFunc(x.res.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	if err == nil && o.Certain && x.res.Objects == 0 && !x.distinct {
		err = ErrSamePlace
	}
	if err == nil && len(x.res.Problems) > 0 {
		err = x.res.Problems[0].Err
	}
	return &x.res, err
}

// check finds out which repository the source is, and that the destination is no other.
func (x *copier) check(ctx context.Context, want string) error {
	rings, broken, err := readRings(ctx, x.from)
	if err != nil {
		return err
	}
	if len(rings) == 0 {
		return broken[0].damage
	}
	for _, object := range rings {
		h, err := parseHeader("ring", object)
		if err != nil {
			return err
		}
		if x.repo != (ID{}) && x.repo != h.repo {
			return fmt.Errorf("%w: the source has key rings of two", ErrOtherRepository)
		}
		x.repo = h.repo
	}
	x.res.Repository = x.repo.String()
	if want != "" && want != x.res.Repository {
		return fmt.Errorf("%w: %.8s instead of %.8s", ErrOtherRepository, x.repo, want)
	}
	return x.checkDestination(ctx)
}

// checkDestination looks at one object of each kind: of a copy that was interrupted there is no ring yet.
func (x *copier) checkDestination(ctx context.Context) error {
	for k, info := range kinds {
		names, err := listNames(ctx, x.to, info.folder)
		if err != nil {
			return fmt.Errorf("looking at the destination: %w", err)
		}
		if len(names) == 0 || k == kindLock {
			continue
		}
		h, err := headerOf(ctx, x.to, names[0])
		if errors.Is(err, ErrDamaged) {
			continue // of ours or not, nobody can say; it stays as it is
		}
		if err != nil {
			return err
		}
		if h.repo != x.repo {
			return fmt.Errorf("%w: the destination holds another one (%.8s)", ErrRepositoryExists, h.repo)
		}
	}
	return nil
}

// headerOf reads the header of an object.
func headerOf(ctx context.Context, store cloud.Store, name string) (header, error) {
	body, err := store.Get(ctx, name, 0, headerSize)
	if err != nil {
		return header{}, fmt.Errorf("reading %s: %w", name, err)
	}
	defer body.Close()
	stub, err := io.ReadAll(io.LimitReader(body, headerSize))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // too short: parseHeader says so
		return header{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return parseHeader(name, stub)
}

// apart copies when the two stores are two places.
func (x *copier) apart(ctx context.Context) error {
	t, err := putToken(ctx, x.from, x.to)
	if err != nil {
		return err
	}
	defer t.remove()
	if err := t.check(ctx); err != nil {
		return err
	}
	if err := t.sweep(ctx); err != nil {
		return err
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	return t.check(ctx)
}

// run copies until the heads at the source are what they were before the objects were listed: then everything they name was there to
// be copied. The heads themselves come after what they name, the ring after all.
func (x *copier) run(ctx context.Context) error {
	for range copyRounds {
		heads, err := x.list(ctx, x.from, kinds[kindHead].folder)
		if err != nil {
			return err
		}
		// What a head leads to was stored before the head: by then it is listed.
		if err := sleep(ctx, cloud.TraitsOf(x.from).Lag); err != nil {
			return err
		}
		x.res.Problems, x.res.Present = nil, 0
		if err := x.folders(ctx, kindData, kindMeta, kindIndex, kindSnapshot); err != nil {
			return err
		}
		after, err := x.list(ctx, x.from, kinds[kindHead].folder)
		if err != nil {
			return err
		}
		if !slices.Equal(namesOf(heads), namesOf(after)) {
			continue
		}
		if err := x.objects(ctx, kinds[kindHead].folder, heads); err != nil {
			return err
		}
		return x.rings(ctx)
	}
	return fmt.Errorf("%w: it was written to %d times while it was copied", ErrLocked, copyRounds)
}

func namesOf(infos []cloud.Info) (names []string) {
	for _, i := range infos {
		names = append(names, i.Name)
	}
	slices.Sort(names)
	return names
}

func (x *copier) list(ctx context.Context, store cloud.Store, folder string) (all []cloud.Info, err error) {
	err = store.List(ctx, folder, func(info cloud.Info) error {
		all = append(all, info)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	return all, nil
}

// rings copies what is left of retired rings, which tells who has an old key so, and then the rings.
func (x *copier) rings(ctx context.Context) error {
	retired, err := x.list(ctx, x.from, retiredFolder)
	if err != nil {
		return err
	}
	if err := x.objects(ctx, retiredFolder, retired); err != nil {
		return err
	}
	return x.folders(ctx, kindRing)
}

// folders copies what lies in the folders of some kinds. All are listed first, so that the total is known from the start.
func (x *copier) folders(ctx context.Context, of ...kind) error {
	listed := make([][]cloud.Info, len(of))
	x.c.totalBytes.Store(x.c.bytes.Load())
	for i, k := range of {
		all, err := x.list(ctx, x.from, kinds[k].folder)
		if err != nil {
			return err
		}
		listed[i] = all
		for _, info := range all {
			x.c.totalBytes.Add(info.Size)
		}
	}
	for i, k := range of {
		if err := x.objects(ctx, kinds[k].folder, listed[i]); err != nil {
			return err
		}
	}
	return nil
}

// objects copies listed objects of one folder, several at a time.
func (x *copier) objects(ctx context.Context, folder string, listed []cloud.Info) error {
	there, err := x.list(ctx, x.to, folder)
	if err != nil {
		return err
	}
	have := make(map[string]cloud.Info, len(there))
	for _, info := range there {
		have[info.Name] = info
	}
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(x.parallel())
	for _, info := range listed {
		if copying.Err() != nil {
			break
		}
		if its, ok := have[info.Name]; ok {
			x.present(info, its)
			continue
		}
		group.Go(guarded(func() error { return x.object(copying, info) }))
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// parallel is how many objects are under way, each in memory as a whole.
func (x *copier) parallel() int {
	return min(4, max(2, cloud.TraitsOf(x.from).Parallel, cloud.TraitsOf(x.to).Parallel))
}

// present passes over an object that is at the destination.
func (x *copier) present(info, its cloud.Info) {
	x.c.bytes.Add(info.Size)
	x.c.files.Add(1)
	x.mu.Lock()
	x.distinct = x.distinct || !info.ModTime.Equal(its.ModTime)
	x.mu.Unlock()
	if its.Size != info.Size {
		x.problem(damage(info.Name, "size", "it has %d bytes at the source and %d at the destination: one of the two is damaged", info.Size, its.Size))
		return
	}
	x.mu.Lock()
	x.res.Present++
	x.mu.Unlock()
}

func (x *copier) problem(err error) {
	var d *DamageError
	errors.As(err, &d)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.res.Problems = append(x.res.Problems, Problem{Path: d.Object, What: "was not copied: " + d.What, Err: err})
}

// object copies one object.
func (x *copier) object(ctx context.Context, info cloud.Info) error {
	b, err := x.fetch(ctx, info)
	if errors.Is(err, ErrDamaged) {
		x.problem(err)
		return nil
	}
	if err != nil {
		return err
	}
	err = x.to.Put(ctx, info.Name, bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, cloud.ErrExist) { // another copy was faster, or ours whose answer was lost
		return fmt.Errorf("storing %s: %w", info.Name, err)
	}
	x.c.bytes.Add(info.Size)
	x.c.files.Add(1)
	x.c.uploaded.Add(info.Size)
	x.mu.Lock()
	x.res.Objects++
	x.res.Bytes += info.Size
	x.mu.Unlock()
	return nil
}

// fetch reads an object whole and checks what can be checked.
func (x *copier) fetch(ctx context.Context, info cloud.Info) ([]byte, error) {
	limit := int64(stubSize)
	k, _, id, err := splitName(info.Name)
	retired := strings.HasPrefix(info.Name, retiredFolder)
	switch {
	case err == nil:
		limit = kinds[k].limit
	case !retired:
		return nil, damage(info.Name, "swapped", "the name is not that of an object")
	}
	b, err := getAll(ctx, x.from, info.Name, limit)
	if err != nil || retired {
		return b, err
	}
	if int64(len(b)) != info.Size {
		return nil, damage(info.Name, "size", "it has %d bytes and is listed with %d", len(b), info.Size)
	}
	if k == kindRing {
		_, err = checkRing(info.Name, b)
		return b, err
	}
	if len(b) < minObjectSize {
		return nil, damage(info.Name, "header", "only %d bytes", len(b))
	}
	h, err := parseHeader(info.Name, b)
	if err == nil {
		err = h.check(info.Name, k, x.repo, id)
	}
	return b, err
}
