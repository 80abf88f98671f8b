package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// CopyOptions say which backup to clone to where.
type CopyOptions struct {
	From string // a destination, "" for the profile's
	To   string // the other destination; made if there is nothing
}

// Copy clones a backup to another destination, without the key. What is there already is not sent again. Of the
// profile's backup the copy is then opened with the key of this device, if it is there: so a key that was replaced since the
// last copy stops working on the copy too, and the person hears now, and not in need, of a copy that does not open.
func (c *Client) Copy(ctx context.Context, o CopyOptions) (*backup.CopyResult, error) {
	if o.From != "" {
		return c.clone(ctx, o.From, o.To, "", true)
	}
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	if err := apart(cloudFolder("new cloud folder", o.To), folder{name: "chat folder", path: cfg.Source}); err != nil {
		return nil, err
	}
	if err := c.sound(ctx); err != nil {
		return nil, err
	}
	result, err := c.clone(ctx, cfg.Cloud, o.To, cfg.Repository, true)
	if err != nil {
		return result, err
	}
	err = c.tryCopy(ctx, cfg, o.To, false)
	if errors.Is(err, ErrKeyMissing) || errors.Is(err, ErrKeyring) {
		c.warn("the copy was not tried out: %v", err)
		err = nil
	}
	return result, err
}

// sound is ErrNewestState when the newest state of the profile's backup does not open. A head that somebody planted there would
// never go from the copy, where nothing is deleted. All else is the copy's to find out.
func (c *Client) sound(ctx context.Context) error {
	err := c.visitIn(ctx, nil, manner{reads: true}, func(*visit) error { return nil })
	if errors.Is(err, ErrNewestState) {
		return err
	}
	return ctx.Err()
}

// clone copies objects; create says that the new place may be one that is made now. Where it may not, the old one is about to be
// deleted: then the two must be known to be two.
func (c *Client) clone(ctx context.Context, from, to, repository string, create bool) (*backup.CopyResult, error) {
	if err := apart(cloudFolder("cloud folder", from), cloudFolder("new cloud folder", to)); err != nil {
		return nil, err
	}
	if err := apart(folder{name: "profile", path: c.s.Profile}, cloudFolder("new cloud folder", to)); err != nil {
		return nil, err
	}
	source, err := c.reach(ctx, from, false)
	if err != nil {
		return nil, err
	}
	defer release(source)
	defer c.patiently(source)()
	target, err := c.reach(ctx, to, create)
	if err != nil {
		return nil, err
	}
	defer release(target)
	return backup.Copy(ctx, source, target, backup.CopyOptions{Repository: repository, Progress: c.s.Progress, Certain: !create})
}

// tryCopy opens the copy as this device would open its own backup, and finishes a change of the key there. The structure is
// checked when all is to rest on the copy.
func (c *Client) tryCopy(ctx context.Context, cfg *Config, to string, check bool) error {
	store, err := c.reach(ctx, to, false)
	if err != nil {
		return err
	}
	defer release(store)
	state, err := c.readState()
	if err != nil {
		return err
	}
	o := c.options(cfg, state.Mark, manner{})
	o.CacheDir = "" // what is looked at is the copy, not this device's memory of it
	repo, err := c.openWith(ctx, cfg, currentKey, store, o)
	if err != nil {
		return fmt.Errorf("trying the copy: %w", err)
	}
	defer repo.Close()
	if err := repo.FinishRotation(ctx); err != nil {
		return fmt.Errorf("retiring older keys of the copy: %w", err)
	}
	if !check {
		return nil
	}
	v, err := repo.Verify(ctx, backup.VerifyOptions{})
	if err == nil && len(v.Damage) > 0 {
		err = v.Damage[0]
	}
	if err != nil {
		return fmt.Errorf("checking the copy: %w", err)
	}
	return nil
}

// Move makes another destination the profile's: the backup is cloned there, opened and checked, and only then the
// profile changed. Interrupted, nothing has changed, and the next call goes on. The backup that was left stays until DeleteLeft.
func (c *Client) Move(ctx context.Context, to string) (result *backup.CopyResult, err error) {
	if to, err = place(to); err != nil {
		return nil, err
	}
	err = c.change(ctx, "move", func() error {
		cfg, err := c.Config()
		if err != nil {
			return err
		}
		if cfg.Left != "" {
			return &LeftError{cfg.Left}
		}
		if err := c.checkFolders(cfg.Source, to); err != nil {
			return err
		}
		if err := c.sound(ctx); err != nil {
			return err
		}
		if result, err = c.clone(ctx, cfg.Cloud, to, cfg.Repository, true); err != nil {
			return err
		}
		if err := c.tryCopy(ctx, cfg, to, true); err != nil {
			return err
		}
		cfg.Cloud, cfg.Left, cfg.Moved = to, cfg.Cloud, c.now().UTC()
		return c.writeConfig(cfg)
	})
	return result, err
}

// DeleteLeft deletes the backup that the last Move left behind. What another device has written there since then is
// brought over first, and the new place checked: it is not made anew if it is gone. confirm is told where the old
// one is, and whether all data at the new one were read since the move, and stops by an error.
func (c *Client) DeleteLeft(ctx context.Context, confirm func(left string, verified bool) error) (objects int, bytes int64, err error) {
	err = c.change(ctx, "move", func() error {
		cfg, err := c.Config()
		if err != nil {
			return err
		}
		if cfg.Left == "" {
			return ErrNothingLeft
		}
		store, err := c.reach(ctx, cfg.Left, false)
		if err != nil {
			return err
		}
		defer release(store)
		if _, err := c.bringOver(ctx, cfg, store); err != nil {
			return err
		}
		if err := c.tryCopy(ctx, cfg, cfg.Cloud, true); err != nil {
			return err
		}
		if err := confirm(cfg.Left, c.readSince(cfg)); err != nil {
			return err
		}
		if err := c.bringRest(ctx, cfg, store); err != nil {
			return err
		}
		objects, bytes, err = backup.Destroy(ctx, store)
		if err != nil {
			return fmt.Errorf("deleting the backup that was left: %w", err)
		}
		cfg.Left, cfg.Moved = "", time.Time{}
		return c.writeConfig(cfg)
	})
	return objects, bytes, err
}

// bringOver clones what the destination that was left has and the new one lacks, and says how many objects that were. An
// earlier DeleteLeft that was interrupted deletes the ring first: then nothing was written there since.
func (c *Client) bringOver(ctx context.Context, cfg *Config, left cloud.Store) (objects int, err error) {
	if _, err := backup.KeyCheck(ctx, left); errors.Is(err, backup.ErrNoRepository) {
		return 0, nil
	}
	result, err := c.clone(ctx, cfg.Left, cfg.Cloud, cfg.Repository, false)
	if err != nil {
		return 0, err
	}
	return result.Objects, nil
}

// bringRest brings over what came while the person was asked, who may have thought about it for an hour.
func (c *Client) bringRest(ctx context.Context, cfg *Config, left cloud.Store) error {
	objects, err := c.bringOver(ctx, cfg, left)
	if err == nil && objects > 0 {
		err = c.tryCopy(ctx, cfg, cfg.Cloud, true)
	}
	return err
}

// readSince says whether all data of the profile's backup were read since the move, and found whole.
func (c *Client) readSince(cfg *Config) bool {
	state, err := c.readState()
	if err != nil || state.LastVerify == nil {
		return false
	}
	v := state.LastVerify
	return v.ReadData == 1 && v.Damage == 0 && v.Time.After(cfg.Moved)
}

// ForgetLeft leaves the backup that the last Move left behind where it is, for good. It opens with the key it had then.
func (c *Client) ForgetLeft() (left string, err error) {
	err = c.change(context.Background(), "move", func() error {
		cfg, err := c.Config()
		if err != nil {
			return err
		}
		if cfg.Left == "" {
			return ErrNothingLeft
		}
		left = cfg.Left
		cfg.Left, cfg.Moved = "", time.Time{}
		return c.writeConfig(cfg)
	})
	return left, err
}
