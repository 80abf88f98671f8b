package client

import (
	"context"
	"errors"
	"fmt"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
)

// EnableOptions say what to back up to where.
type EnableOptions struct {
	Source   string // the chat folder
	Cloud    string // the destination
	Exclude  []string
	KeyStore string // InKeyring, InFile, or "": the keyring if there is one
	// Join opens the repository that is at the destination already, as after a
	// restore on a new phone. nil makes a new repository with a new key.
	Join *key.Key
	// Joining is told the newest snapshot of the repository to join, if there is one,
	// before anything is kept, and may stop by an error; may be nil. It may be of
	// another folder than Source.
	Joining func(newest backup.Snapshot) error
	// Checked says that the person has shown to have the digits: typed them, or
	// gave them in a file of hers.
	Checked bool
	// Deliver hands a new key to the person, and returns nil when she has it:
	// typed back, or in a file that is on the disk. Only then is the
	// repository made. It must not keep the key.
	Deliver func(*key.Key) error
}

// EnableResult says what Enable did.
type EnableResult struct {
	Config    Config
	Joined    bool
	Resumed   bool // an Enable that was interrupted after Deliver was finished
	Snapshots int  // in the repository joined
}

// Enable sets the profile up. Interrupted before Deliver returned, it has changed
// nothing that counts; after it, the next Enable with the same folders goes on
// with the key that was delivered.
func (c *Client) Enable(ctx context.Context, o EnableOptions) (*EnableResult, error) {
	where, err := place(o.Cloud)
	if err != nil {
		return nil, err
	}
	o.Source, o.Cloud = absolute(o.Source), where
	if err := c.checkFolders(o.Source, o.Cloud); err != nil {
		return nil, err
	}
	if err := c.makeProfile(); err != nil {
		return nil, err
	}
	unlock, err := c.lock("enable")
	if err != nil {
		return nil, err
	}
	defer unlock()
	pending, err := c.pending(o)
	if err != nil {
		return nil, err
	}
	if pending != nil {
		return c.resumeEnable(ctx, pending)
	}
	store, err := c.reach(ctx, o.Cloud, o.Join == nil)
	if err != nil {
		return nil, err
	}
	defer release(store)
	if o.Join != nil {
		return c.join(ctx, o, store)
	}
	return c.enableNew(ctx, o, store)
}

func (c *Client) checkFolders(source, destination string) error {
	if err := checkSource(source); err != nil {
		return err
	}
	if err := apart(cloudFolder("cloud folder", destination), folder{name: "chat folder", path: source}); err != nil {
		return err
	}
	if err := apart(folder{name: "profile", path: c.s.Profile}, folder{name: "chat folder", path: source}); err != nil {
		return err
	}
	return apart(folder{name: "profile", path: c.s.Profile}, cloudFolder("cloud folder", destination))
}

// pending gives the configuration of an Enable that has its key and was
// interrupted; nil when there is none that fits.
func (c *Client) pending(o EnableOptions) (*Config, error) {
	cfg, err := c.readConfig()
	switch {
	case errors.Is(err, ErrNotEnabled):
		return nil, nil
	case err != nil:
		return nil, err
	case !cfg.Pending:
		return nil, fmt.Errorf("%w: %s to %s", ErrEnabled, cfg.Source, cfg.Cloud)
	}
	if o.Join != nil || cfg.Source != o.Source || cfg.Cloud != o.Cloud {
		return nil, nil
	}
	k, err := c.loadKey(cfg, currentKey)
	if errors.Is(err, ErrKeyMissing) {
		return nil, nil
	}
	if err == nil {
		k.Wipe()
	}
	return cfg, err
}

func (c *Client) newConfig(o EnableOptions) *Config {
	return &Config{
		Version: configVersion,
		Created: c.now().UTC(),
		Source:  o.Source,
		Cloud:   o.Cloud,
		Device:  newDevice(),
		Exclude: o.Exclude,
		Pending: true,
	}
}

func (c *Client) enableNew(ctx context.Context, o EnableOptions, store cloud.Store) (*EnableResult, error) {
	stop := c.patiently(store)
	err := noRepository(ctx, store)
	stop()
	if err != nil {
		return nil, err
	}
	k, err := key.Generate()
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	if err := o.Deliver(k); err != nil {
		return nil, err
	}
	cfg := c.newConfig(o)
	if err := c.chooseKeyStore(cfg, o.KeyStore, k); err != nil {
		return nil, err
	}
	// From here on an interrupted Enable is resumed.
	if err := c.writeConfig(cfg); err != nil {
		return nil, err
	}
	return c.createRepository(ctx, cfg, store, k, o.Checked)
}

func noRepository(ctx context.Context, store cloud.Store) error {
	_, err := backup.KeyCheck(ctx, store)
	if err == nil {
		return backup.ErrRepositoryExists
	}
	if !errors.Is(err, backup.ErrNoRepository) {
		return err
	}
	return store.List(ctx, "head/", func(cloud.Info) error { return ErrRingGone })
}

// A searched store is one in which somebody has just looked for a repository for as long as it may hide
// what others wrote. To look as long once more would find no more: what another device puts during the last
// of that time nobody sees, whenever it begins.
type searched struct{ cloud.Store }

func (s searched) Traits() cloud.Traits {
	t := cloud.TraitsOf(s.Store)
	t.Fresh = true
	return t
}

// createRepository makes a repository in a store that was searched for one.
func (c *Client) createRepository(ctx context.Context, cfg *Config, store cloud.Store, k *key.Key, checked bool) (*EnableResult, error) {
	if _, err := backup.Create(ctx, searched{store}, k, c.now()); err != nil {
		return nil, err
	}
	return c.settle(ctx, cfg, store, k, checked)
}

// settle ends every way to enable: it opens the repository with the key,
// which shows that it opens, and completes the profile.
func (c *Client) settle(ctx context.Context, cfg *Config, store cloud.Store, k *key.Key, checked bool) (*EnableResult, error) {
	repo, err := backup.Open(ctx, store, k, c.options(cfg, backup.Mark{}, manner{}))
	if err != nil {
		return nil, newestState(err)
	}
	defer repo.Close()
	// The state first: an enabled profile without one is reported as damaged.
	state := State{Mark: repo.Mark()}
	if checked {
		state.KeyChecked = c.now().UTC()
	}
	if err := c.updateState(func(s *State) { *s = state }); err != nil {
		return nil, err
	}
	cfg.Repository, cfg.Pending = repo.ID(), false
	if err := c.writeConfig(cfg); err != nil {
		return nil, err
	}
	return &EnableResult{Config: *cfg, Snapshots: len(repo.Snapshots())}, nil
}

func (c *Client) resumeEnable(ctx context.Context, cfg *Config) (*EnableResult, error) {
	store, err := c.reach(ctx, cfg.Cloud, true)
	if err != nil {
		return nil, err
	}
	defer release(store)
	k, err := c.loadKey(cfg, currentKey)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	defer c.patiently(store)()
	result, err := c.settle(ctx, cfg, store, k, false)
	switch {
	case errors.Is(err, backup.ErrNoRepository):
		result, err = c.createRepository(ctx, cfg, store, k, false)
	case errors.Is(err, backup.ErrWrongKey):
		// Somebody else was faster at this destination.
		err = backup.ErrRepositoryExists
	}
	if err != nil {
		return nil, err
	}
	result.Resumed = true
	return result, nil
}

// join takes an existing repository for this device's. The key is tried before
// anything is kept.
func (c *Client) join(ctx context.Context, o EnableOptions, store cloud.Store) (*EnableResult, error) {
	defer c.patiently(store)()
	repo, err := backup.Open(ctx, store, o.Join, backup.Options{Now: c.s.Now, OlderState: c.s.OlderState})
	if err != nil {
		return nil, newestState(err)
	}
	list := repo.Snapshots()
	repo.Close()
	if o.Joining != nil && len(list) > 0 {
		if err := o.Joining(list[len(list)-1]); err != nil {
			return nil, err
		}
	}
	cfg := c.newConfig(o)
	if err := c.chooseKeyStore(cfg, o.KeyStore, o.Join); err != nil {
		return nil, err
	}
	if err := c.writeConfig(cfg); err != nil {
		return nil, err
	}
	result, err := c.settle(ctx, cfg, store, o.Join, true)
	if err != nil {
		return nil, err
	}
	result.Joined = true
	return result, nil
}
