package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
	"keepsake.example/password"
)

// Settings are what a Client needs from the program round it.
type Settings struct {
	Profile string  // the profile folder, an absolute path
	Keyring Keyring // nil: keys are kept in files
	// OpenCloud reaches a destination, which is an absolute path or what the String of
	// a cloud.Destination gives, and makes it first when create is set. ctx bounds
	// only that. A store that is an io.Closer is closed when the operation ends. nil
	// opens folders, and all else through keepsake-cloud.
	OpenCloud func(ctx context.Context, destination string, create bool) (cloud.Store, error)
	// CloudProgram finds keepsake-cloud; nil: process.Find.
	CloudProgram func() (string, error)
	// LimitUpload is how fast a cloud may be written to, as in process.Options; "" is
	// no limit. A folder has none.
	LimitUpload string
	// OlderState goes on with the newest state of the cloud that can be read, also where it was
	// rolled back or its newest state is damaged. What was backed up since is not seen. Once
	// something was written so, this device takes that for the newest.
	OlderState bool
	// Patience is how long a request to a cloud is tried again while it does not
	// answer, as in retry.Options: 0 means some minutes, and one until it has answered for the first
	// time; a negative one not at all.
	Patience time.Duration
	// Progress is told how far an operation is; may be nil. It is called from
	// other goroutines.
	Progress func(backup.Progress)
	// Warn is told what the person should know though the work goes on; may be
	// nil.
	Warn func(text string)
	// Waiting is told, from another goroutine, when the vault's servers or the cloud have not
	// answered for some seconds, who is asked and for how long; may be nil. Meanwhile nothing
	// else is told.
	Waiting func(text string)
	Now     func() time.Time // nil: time.Now
	// Pause waits between two tries to reach the vault's server; nil: by the clock.
	Pause func(context.Context, time.Duration) error
	KDF   password.Params // of new records at the vault; zero: password.DefaultParams
	step  func(name string) error
	// notice is after what time Waiting is told, haste how long each of several servers is
	// waited for at first; 0: some seconds.
	notice, haste time.Duration
}

// Client runs the operations of one profile. It keeps nothing between two calls
// but its settings, so that what it knows is what the profile says.
type Client struct{ s Settings }

// New makes a client. It touches nothing.
func New(s Settings) *Client {
	c := &Client{s}
	if s.OpenCloud == nil {
		c.s.OpenCloud = c.openCloud
	}
	return c
}

func (c *Client) now() time.Time {
	if c.s.Now != nil {
		return c.s.Now()
	}
	return time.Now()
}

func (c *Client) warn(format string, args ...any) {
	if c.s.Warn != nil {
		c.s.Warn(fmt.Sprintf(format, args...))
	}
}

// A Place reaches a backup without a profile: on a new phone, or from
// another computer. The caller wipes Key.
type Place struct {
	Cloud string
	Key   *key.Key
}

// visit is an open repository.
type visit struct {
	repo  *backup.Repo
	store cloud.Store
	cfg   *Config // nil without a profile
	state *State  // of the profile, as it was
	key   slot    // the key of the profile that opened it
	how   manner
	began backup.Mark // of the state it was opened with
}

// visit opens the repository of the profile, or of at when that is not nil, for f.
func (c *Client) visit(ctx context.Context, at *Place, f func(*visit) error) error {
	return c.visitIn(ctx, at, manner{}, f)
}

// manner is how a repository is opened.
type manner struct {
	deferred bool   // to do nothing but backup.Options.Deferred allows
	expected bool   // for what another device may have backed up just now
	reads    bool   // for a result that does not need the profile to be written
	state    *State // of the profile, where it was read already
}

// visitIn is visit in a manner.
func (c *Client) visitIn(ctx context.Context, at *Place, m manner, f func(*visit) error) error {
	v, err := c.open(ctx, at, m)
	if err != nil {
		return err
	}
	defer release(v.store)
	defer v.repo.Close()
	v.how, v.began = m, v.repo.Mark()
	err = f(v)
	return errors.Join(err, c.leave(v, err))
}

// leave keeps what the visit has seen, also of one that failed: the mark only
// ever names a state that was read or written whole. An older state is not newer for
// having been looked at; by writing upon it the person gives up what came after.
func (c *Client) leave(v *visit, failed error) error {
	now := v.repo.Mark()
	switch {
	case v.cfg == nil:
		return nil
	case !c.s.OlderState:
		return c.noting(v.how.reads, func(s *State) { s.see(now) })
	case failed != nil || v.how.reads || now == v.began:
		return nil
	}
	return c.updateState(func(s *State) { s.Mark = now })
}

// noting is updateState. A command that only reads has its result whether or not this device
// can keep what it has seen: its disk may be full, or read-only.
func (c *Client) noting(reads bool, change func(*State)) error {
	err := c.updateState(change)
	if err != nil && reads {
		c.warn("this device cannot note what it has seen; its disk may be full, or read-only: %v", err)
		return nil
	}
	return err
}

func (c *Client) open(ctx context.Context, at *Place, m manner) (*visit, error) {
	if at != nil {
		return c.openPlace(ctx, at, m)
	}
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	state := m.state
	if state == nil {
		if state, err = c.readState(); err != nil {
			return nil, err
		}
	}
	store, err := c.reach(ctx, cfg.Cloud, false)
	if err != nil {
		return nil, err
	}
	defer c.patiently(store)()
	repo, opener, err := c.openWithKeys(ctx, cfg, store, c.options(cfg, state.Mark, m))
	if err != nil {
		release(store)
		return nil, err
	}
	return &visit{repo: repo, store: store, cfg: cfg, state: state, key: opener}, nil
}

func (c *Client) openPlace(ctx context.Context, at *Place, m manner) (*visit, error) {
	store, err := c.reach(ctx, at.Cloud, false)
	if err != nil {
		return nil, err
	}
	defer c.patiently(store)()
	repo, err := backup.Open(ctx, store, at.Key, backup.Options{Progress: c.s.Progress, Now: c.s.Now, OlderState: c.s.OlderState, Expected: true})
	if err != nil {
		release(store)
		return nil, newestState(err)
	}
	return &visit{repo: repo, store: store}, nil
}

// openWithKeys opens with the key of the profile; while a rotation is under way,
// with the next key if it opens. The next one first: after an
// interruption both may, and it is the one the person has confirmed.
func (c *Client) openWithKeys(ctx context.Context, cfg *Config, store cloud.Store, o backup.Options) (*backup.Repo, slot, error) {
	var next error
	if cfg.Rotating {
		var repo *backup.Repo
		repo, next = c.openWith(ctx, cfg, nextKey, store, o)
		// With a damaged ring in the cloud nobody can say that a key is wrong.
		if !errors.Is(next, backup.ErrWrongKey) && !errors.Is(next, ErrKeyMissing) && !errors.Is(next, backup.ErrDamaged) {
			return repo, nextKey, next
		}
	}
	repo, err := c.openWith(ctx, cfg, currentKey, store, o)
	if errors.Is(err, backup.ErrWrongKey) && errors.Is(next, backup.ErrDamaged) {
		err = next
	}
	return repo, currentKey, err
}

func (c *Client) openWith(ctx context.Context, cfg *Config, s slot, store cloud.Store, o backup.Options) (*backup.Repo, error) {
	k, err := c.loadKey(cfg, s)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	repo, err := backup.Open(ctx, store, k, o)
	return repo, newestState(err)
}

// newestState says of damage that an operation met when it looked at the heads what it is: to
// Verify nothing else is so.
func newestState(err error) error {
	if d, ok := errors.AsType[*backup.DamageError](err); ok && strings.HasPrefix(d.Object, "head/") {
		return fmt.Errorf("%w: %w", ErrNewestState, err)
	}
	return err
}

func (c *Client) options(cfg *Config, known backup.Mark, m manner) backup.Options {
	cache := c.path("cache")
	if m.reads && os.MkdirAll(cache, 0o700) != nil {
		cache = "" // the command does without
	}
	return backup.Options{
		OlderState: c.s.OlderState,
		Deferred:   m.deferred,
		Expected:   m.expected,
		Repository: cfg.Repository, // "" while enable makes it
		CacheDir:   cache,
		Device:     cfg.Device,
		Known:      known,
		Progress:   c.s.Progress,
		Now:        c.s.Now,
	}
}

// change runs f with the profile locked for what, and after an interrupted
// rotation was finished.
func (c *Client) change(ctx context.Context, what string, f func() error) error {
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	unlock, err := c.lock(what)
	if err != nil {
		return err
	}
	defer unlock()
	if cfg.Rotating {
		if err := c.finishRotation(ctx); err != nil {
			return fmt.Errorf("finishing the change of the key that was interrupted: %w", err)
		}
	}
	return f()
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// resolve follows symbolic links of the part of path that exists, so that two
// names of one folder compare equal.
func resolve(path string) string {
	path = absolute(path)
	for rest := ""; ; {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			return filepath.Join(real, rest)
		}
		parent := filepath.Dir(path)
		if parent == path {
			return filepath.Join(path, rest)
		}
		path, rest = parent, filepath.Join(filepath.Base(path), rest)
	}
}

type folder struct {
	name, path string
	network    *cloud.Destination // nil for a path
}

func within(inner, outer string) bool {
	rel, err := filepath.Rel(outer, inner)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func checkSource(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFolder, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s", ErrNotFolder, path)
	}
	return nil
}
