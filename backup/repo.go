package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/key"
)

// Options says how a repository is opened. The zero value reads.
type Options struct {
	CacheDir string // a folder for copies of small encrypted objects, made if absent; may be deleted at any time; "" for none
	Device   string // 32 hexadecimal digits that name this device in locks and heads; "" for a new one
	// Repository is the id that the repository must have, "" for any. One K can open several: without it, a cloud folder that was swapped
	// for that of another repository would look like an older state, or like none at all on a device without a mark.
	Repository string
	Known      Mark             // the newest state this device has seen; zero on a new device
	Progress   func(Progress)   // may be nil; called by one goroutine at a time, at most 20 times a second
	Now        func() time.Time // nil for time.Now
	// Deferred says that the next call is Backup, Prune or Rotate, which read the repository's state anew once their lock is there: Open then does no more than
	// it needs for that, which spares requests. Damage, Snapshots and Find know nothing before.
	Deferred bool
	// Expected says that another device may have written a snapshot just now, and that it is wanted: none shown then means, on a store that lags, to look
	// again until that cannot be lag.
	Expected bool
	// OlderState goes on with the state before when the newest head is damaged. What was backed up since is not seen.
	OlderState bool
}

// A Repo is an open repository. Its methods are called by one goroutine at a time.
type Repo struct {
	store  cloud.Store
	opts   Options
	device ID
	cache  cache
	ring   *ring

	parallel int           // requests at a time
	remote   bool          // a request costs more than the bytes next to those wanted
	lag      time.Duration // see lag.go
	since    time.Time     // when the heads were looked for: what they name is older
	held     *lock         // by the run under way
	scratch  string        // the cache, if it is one for this Repo alone

	rings     map[string][]byte // those that were read, whole
	badRings  []brokenRing      // beside the one in use
	heads     []*head           // one for each branch, the newest first; two or more after a lost race; none in a new repository
	state     head              // what they hold together
	older     []string
	lostHeads []*DamageError // of other branches, perhaps
	givenUp   []string       // heads above them that cannot be read, with Options.OlderState
	looked    bool           // at the heads
	loaded    bool           // what the heads name was read to the end
	snapshots []*Snapshot    // oldest first
	damage    []*DamageError
	index     packIndex
	reclaimed bool // a lock of another device was taken over
	fresh     bool // read everything from the cloud, nothing from the cache
}

// Create makes a new repository in store, whose key ring k wraps, and returns its id. It fails with ErrRepositoryExists if there is one.
func Create(ctx context.Context, store cloud.Store, k *key.Key, now time.Time) (string, error) {
	if _, err := ringNames(ctx, store); err == nil {
		return "", ErrRepositoryExists
	} else if !errors.Is(err, ErrNoRepository) {
		return "", err
	}
	g := newRing(now)
	defer g.wipe()
	if err := g.put(ctx, store, k); err != nil {
		return "", err
	}
	if err := g.putSpare(ctx, store, k); err != nil {
		return "", err
	}
	return g.repo.String(), nil
}

// Open opens the repository in store with k.
//
// Errors: ErrNoRepository; ErrWrongKey; ErrOtherRepository; ErrRolledBack; ErrDamaged when the newest head is damaged, or a key ring and no other fits k (damage
// elsewhere is kept for Verify and does not stop what it does not touch); ErrUnsupported; what the store returns.
func Open(ctx context.Context, store cloud.Store, k *key.Key, o Options) (*Repo, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := cloud.TraitsOf(store)
	r := &Repo{store: store, opts: o, cache: cache{o.CacheDir}, device: newID(), parallel: cmp.Or(t.Parallel, 2), remote: t != cloud.Traits{}, lag: t.Lag}
	if o.Device != "" {
		id, err := parseID(o.Device)
		if err != nil {
			return nil, err
		}
		r.device = id
	}
	if err := r.makeCache(); err != nil {
		return nil, err
	}
	if err := r.open(ctx, k); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// open finds the key ring and, unless that is to wait, reads what the heads name. The ring that was used last is asked for by name meanwhile.
func (r *Repo) open(ctx context.Context, k *key.Key) error {
	rings, heads := kinds[kindRing].folder, kinds[kindHead].folder
	if r.opts.Deferred {
		r.guessRing(ctx)
		if r.ring, _, _ = newestRing(k, r.rings, nil); r.ring != nil {
			return r.expected()
		}
	}
	var list listing
	err := together(func() (err error) {
		list, err = listFolders(ctx, r.store, rings, heads)
		return err
	}, func() error {
		if !r.opts.Deferred {
			r.guessRing(ctx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for a repository: %w", err)
	}
	names := namesIn(list[rings])
	for name := range r.rings {
		if r.lag > 0 && !slices.Contains(names, name) {
			names = append(names, name) // it is there, but not shown yet
		}
	}
	if len(names) == 0 {
		if names, err = ringNames(ctx, r.store); err != nil {
			return err
		}
	}
	if g, _, _ := newestRing(k, r.rings, nil); g != nil {
		names = g.withoutSpare(names) // which would tell nothing
		g.wipe()
	}
	if err := r.findRing(ctx, k, names); err != nil {
		return err
	}
	r.keepHint()
	if err := r.expected(); err != nil || r.opts.Deferred {
		return err
	}
	return r.loadFrom(ctx, list[heads])
}

// expected fails if the repository is not the one that Options name.
func (r *Repo) expected() error {
	if want := r.opts.Repository; want != "" && want != r.ID() {
		return fmt.Errorf("%w: %.8s instead of %.8s", ErrOtherRepository, r.ID(), want)
	}
	return nil
}

// makeCache makes the folder for the cache. Far away, a Repo without one gets one for itself: the list of files is read several times, and
// tables are looked up for each pack.
func (r *Repo) makeCache() (err error) {
	switch {
	case r.cache.dir != "":
		err = os.MkdirAll(r.cache.dir, 0o700)
	case r.remote:
		r.scratch, err = os.MkdirTemp("", "keepsake-")
		r.cache.dir = r.scratch
	}
	if err != nil {
		return fmt.Errorf("%w: making the cache folder: %w", ErrLocal, err)
	}
	return nil
}

// Close wipes the keys. The repository is not to be used after.
func (r *Repo) Close() error {
	r.ring.wipe()
	if r.scratch != "" {
		os.RemoveAll(r.scratch)
	}
	return nil
}

// readers is how many packs are read at a time.
func (r *Repo) readers() int {
	if r.remote {
		return max(r.parallel, 1)
	}
	return max(readWorkers, runtime.GOMAXPROCS(0))
}

// width is how many small requests are made at a time.
func (r *Repo) width() int { return max(r.parallel, 2) }

// Format prints the id and nothing else: fmt would look into the key ring.
func (r *Repo) Format(f fmt.State, _ rune) { io.WriteString(f, "backup.Repo("+r.ID()+")") }

// ID is the repository's id, 32 hexadecimal digits, the same for ever.
func (r *Repo) ID() string { return r.ring.repo.String() }

// Mark is the newest state seen, for the caller to keep. It is zero while there is no backup. Of branches that are not merged yet it
// stays with the one this device knows: the other's head alone would not give away that this device's own was taken away.
func (r *Repo) Mark() Mark {
	if len(r.heads) == 0 {
		if !r.looked {
			return r.opts.Known
		}
		return Mark{}
	}
	if slices.ContainsFunc(r.heads, func(h *head) bool { return h.mark() == r.opts.Known }) {
		return r.opts.Known
	}
	return r.heads[0].mark()
}

// Damage lists what was found damaged or missing on opening.
func (r *Repo) Damage() (all []*DamageError) {
	for _, b := range r.badRings {
		all = append(all, b.damage)
	}
	return append(all, r.damage...)
}

// load reads what the newest head names.
func (r *Repo) load(ctx context.Context) error {
	list, err := listFolder(ctx, r.store, kinds[kindHead].folder)
	if err != nil {
		return fmt.Errorf("listing heads: %w", err)
	}
	return r.loadFrom(ctx, list)
}

// loadFrom is load with the heads listed already.
func (r *Repo) loadFrom(ctx context.Context, shown []cloud.Info) error {
	if err := r.findHeads(ctx, shown); err != nil {
		return err
	}
	return r.loadContents(ctx)
}

// loadContents reads the indexes and snapshots of the newest heads.
func (r *Repo) loadContents(ctx context.Context) error {
	r.loaded, r.snapshots, r.damage = false, nil, slices.Clone(r.lostHeads)
	if err := r.loadIndexes(ctx, r.state.indexes); err != nil {
		return err
	}
	ids := r.state.snapshots
	err := inOrder(ctx, len(ids), r.width(), func(ctx context.Context, i int) (*Snapshot, error) {
		return r.readSnapshot(ctx, ids[i])
	}, func(_ int, s *Snapshot, err error) error {
		if err == nil {
			r.snapshots = append(r.snapshots, s)
		}
		return r.tolerate(err)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(r.snapshots, bySeq)
	r.loaded = true
	return nil
}

func (r *Repo) readSnapshot(ctx context.Context, id ID) (*Snapshot, error) {
	s := &Snapshot{id: id, ID: id.String()}
	payload, err := r.readSmall(ctx, kindSnapshot, id, objectName(kindSnapshot, id))
	if err == nil && s.unmarshal(payload) != nil {
		err = damage(objectName(kindSnapshot, id), "payload", "not a snapshot")
	}
	return s, err
}

// whole reads again what an earlier call failed to read to its end: with half of it, prune would forget the rest.
func (r *Repo) whole(ctx context.Context) error {
	if r.loaded {
		return nil
	}
	return r.load(ctx)
}

// tolerate keeps damage for later and passes on every other error.
func (r *Repo) tolerate(err error) error {
	var d *DamageError
	if errors.As(err, &d) {
		r.damage = append(r.damage, d)
		return nil
	}
	return err
}

// readHead reads the head of a name that splitName accepts.
func (r *Repo) readHead(ctx context.Context, name string) (*head, error) {
	_, seq, id, err := splitName(name)
	if err != nil {
		return nil, err
	}
	payload, err := r.readSmall(ctx, kindHead, id, name)
	if err != nil {
		return nil, err
	}
	h := &head{id: id}
	if h.unmarshal(payload) != nil || h.seq != seq {
		return nil, damage(name, "payload", "not the head its name says")
	}
	return h, nil
}

// caches says of which kinds the device keeps copies. The newest head, nearby, is read each time, so that damage to it is seen at once; far
// away that is a request for each run, and Verify sees it.
func (r *Repo) caches(k kind) bool {
	return k == kindSnapshot || k == kindIndex || (k == kindHead && r.remote)
}

// readSmall fetches and opens a small object by its name.
func (r *Repo) readSmall(ctx context.Context, k kind, id ID, name string) ([]byte, error) {
	cached := r.caches(k)
	if cached && !r.fresh {
		if object := r.cache.get(name, kinds[k].limit); object != nil {
			if payload, err := r.openObject(name, k, id, object); err == nil {
				return payload, nil
			}
			r.cache.drop(name)
		}
	}
	get := r.get
	if k == kindHead || k == kindLock {
		get = r.store.Get // those that look for them look again
	}
	object, err := readAll(ctx, get, name, kinds[k].limit)
	if err != nil {
		return nil, err
	}
	payload, err := r.openObject(name, k, id, object)
	if r.remote && errors.Is(err, ErrDamaged) {
		// A proxy that announced fewer bytes than there are has cut it, perhaps, or a bit turned on the way. Damaged is what is so twice.
		if object, err = readAll(ctx, get, name, kinds[k].limit); err != nil {
			return nil, err
		}
		payload, err = r.openObject(name, k, id, object)
	}
	if err == nil && cached {
		r.cache.put(name, object)
	}
	return payload, err
}

// openObject applies the checks of spec §2 to a whole small object, in the order given there.
func (r *Repo) openObject(name string, k kind, id ID, object []byte) ([]byte, error) {
	if len(object) < minObjectSize {
		return nil, damage(name, "header", "only %d bytes", len(object))
	}
	h, err := parseHeader(name, object)
	if err != nil {
		return nil, err
	}
	secret, err := r.keyFor(name, h, k, id)
	if err != nil {
		return nil, err
	}
	return openSmall(name, secret, object)
}

// keyFor checks a header and finds the key it names.
func (r *Repo) keyFor(name string, h header, k kind, id ID) (*[32]byte, error) {
	if err := h.check(name, k, r.ring.repo, id); err != nil {
		return nil, err
	}
	secret := r.ring.key(h.key)
	if secret == nil {
		return nil, damage(name, "key", "sealed under data key %d, which the key ring does not have: the ring is older than the object", h.key)
	}
	return secret, nil
}

// writeSmall seals and stores a small object.
func (r *Repo) writeSmall(ctx context.Context, k kind, id ID, name string, payload []byte) error {
	return r.storeSmall(k, id, name, payload, func(object []byte) error { return putBytes(ctx, r.store, name, object) })
}

// storeSmall is writeSmall with the way to store it.
func (r *Repo) storeSmall(k kind, id ID, name string, payload []byte, put func(object []byte) error) error {
	h := header{kind: k, key: r.ring.newest(), repo: r.ring.repo, id: id}
	object := sealSmall(h, r.ring.key(h.key), payload)
	if int64(len(object)) > kinds[k].limit {
		return fmt.Errorf("backup: the %s is too large (%d bytes)", kinds[k].name, len(object))
	}
	if err := put(object); err != nil {
		return fmt.Errorf("storing the %s: %w", kinds[k].name, err)
	}
	if r.caches(k) {
		r.cache.put(name, object)
	}
	return nil
}

// getAll fetches an object of at most limit bytes.
func getAll(ctx context.Context, store cloud.Store, name string, limit int64) ([]byte, error) {
	return readAll(ctx, store.Get, name, limit)
}

// readAll is getAll with the way to get it.
func readAll(ctx context.Context, get func(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error), name string, limit int64) ([]byte, error) {
	body, err := get(ctx, name, 0, -1)
	if errors.Is(err, cloud.ErrNotExist) {
		return nil, damage(name, "missing", "it is not in the cloud any more")
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer body.Close()
	object, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(object)) > limit {
		return nil, damage(name, "header", "larger than the %d bytes it may have", limit)
	}
	return object, nil
}
