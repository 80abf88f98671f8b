package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

	badRings  []brokenRing // beside the one in use
	heads     []*head      // one for each branch, the newest first; two or more after a lost race; none in a new repository
	state     head         // what they hold together
	older     []string
	lostHeads []*DamageError // of other branches, perhaps
	givenUp   []string       // heads above them that cannot be read, with Options.OlderState
	loaded    bool           // what the heads name was read to the end
	snapshots []*Snapshot    // oldest first
	damage    []*DamageError
	index     packIndex
	reclaimed bool // a lock of another device was taken over
	fresh     bool // read everything from the cloud, nothing from the cache
}

// Create makes a new repository in store, whose key ring k wraps, and returns its id. It fails with ErrRepositoryExists if there is one.
func Create(ctx context.Context, store cloud.Store, k *key.Key, now time.Time) (string, error) {
	names, err := listNames(ctx, store, kinds[kindRing].folder)
	if err != nil {
		return "", fmt.Errorf("looking for a repository: %w", err)
	}
	if len(names) > 0 {
		return "", ErrRepositoryExists
	}
	g := newRing(now)
	defer g.wipe()
	if err := putBytes(ctx, store, g.name(), g.seal(k)); err != nil {
		return "", fmt.Errorf("storing the key ring: %w", err)
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
	r := &Repo{store: store, opts: o, cache: cache{o.CacheDir}, device: newID()}
	if o.Device != "" {
		id, err := parseID(o.Device)
		if err != nil {
			return nil, err
		}
		r.device = id
	}
	if o.CacheDir != "" {
		if err := os.MkdirAll(o.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("%w: making the cache folder: %w", ErrLocal, err)
		}
	}
	var err error
	if r.ring, r.badRings, err = findRing(ctx, store, k); err != nil {
		return nil, err
	}
	if o.Repository != "" && o.Repository != r.ID() {
		err = fmt.Errorf("%w: %.8s instead of %.8s", ErrOtherRepository, r.ID(), o.Repository)
	} else {
		err = r.load(ctx)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close wipes the keys. The repository is not to be used after.
func (r *Repo) Close() error {
	r.ring.wipe()
	return nil
}

// Format prints the id and nothing else: fmt would look into the key ring.
func (r *Repo) Format(f fmt.State, _ rune) { io.WriteString(f, "backup.Repo("+r.ID()+")") }

// ID is the repository's id, 32 hexadecimal digits, the same for ever.
func (r *Repo) ID() string { return r.ring.repo.String() }

// Mark is the newest state seen, for the caller to keep. It is zero while there is no backup. Of branches that are not merged yet it
// stays with the one this device knows: the other's head alone would not give away that this device's own was taken away.
func (r *Repo) Mark() Mark {
	if len(r.heads) == 0 {
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
	if err := r.loadHeads(ctx); err != nil {
		return err
	}
	if err := checkRollback(r.opts.Known, r.heads); err != nil && !r.opts.OlderState {
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
	for _, id := range r.state.snapshots {
		s := &Snapshot{id: id, ID: id.String()}
		payload, err := r.readSmall(ctx, kindSnapshot, id, objectName(kindSnapshot, id))
		if err == nil && s.unmarshal(payload) != nil {
			err = damage(objectName(kindSnapshot, id), "payload", "not a snapshot")
		}
		if err := r.tolerate(err); err != nil {
			return err
		}
		if err == nil {
			r.snapshots = append(r.snapshots, s)
		}
	}
	slices.SortFunc(r.snapshots, bySeq)
	r.loaded = true
	return nil
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

// readSmall fetches and opens a small object by its name.
func (r *Repo) readSmall(ctx context.Context, k kind, id ID, name string) ([]byte, error) {
	cached := k == kindSnapshot || k == kindIndex
	if cached && !r.fresh {
		if object := r.cache.get(name, kinds[k].limit); object != nil {
			if payload, err := r.openObject(name, k, id, object); err == nil {
				return payload, nil
			}
			r.cache.drop(name)
		}
	}
	object, err := getAll(ctx, r.store, name, kinds[k].limit)
	if err != nil {
		return nil, err
	}
	payload, err := r.openObject(name, k, id, object)
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
	h := header{kind: k, key: r.ring.newest(), repo: r.ring.repo, id: id}
	object := sealSmall(h, r.ring.key(h.key), payload)
	if int64(len(object)) > kinds[k].limit {
		return fmt.Errorf("backup: the %s is too large (%d bytes)", kinds[k].name, len(object))
	}
	if err := putBytes(ctx, r.store, name, object); err != nil {
		return fmt.Errorf("storing the %s: %w", kinds[k].name, err)
	}
	if k == kindSnapshot || k == kindIndex {
		r.cache.put(name, object)
	}
	return nil
}

func listNames(ctx context.Context, store cloud.Store, prefix string) (names []string, err error) {
	err = store.List(ctx, prefix, func(info cloud.Info) error {
		names = append(names, info.Name)
		return nil
	})
	slices.Sort(names)
	return names, err
}

func putBytes(ctx context.Context, store cloud.Store, name string, object []byte) error {
	return store.Put(ctx, name, bytes.NewReader(object), int64(len(object)))
}

// getAll fetches an object of at most limit bytes.
func getAll(ctx context.Context, store cloud.Store, name string, limit int64) ([]byte, error) {
	body, err := store.Get(ctx, name, 0, -1)
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
