package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/key"
)

// searchTime is how long a typing slip is looked for. One wrong digit is found at
// once; all pairs of them are 453,600 tries, one or two seconds where nothing else
// runs.
const searchTime = 4 * time.Second

// Key gives the key of the profile. The caller wipes it.
func (c *Client) Key() (*key.Key, error) {
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	if cfg.Rotating {
		c.warn("a change of the key was interrupted: this may be the old one; run any backup to finish the change")
	}
	return c.loadKey(cfg, currentKey)
}

// FindSlip looks for the typing slip that turns d into the key of the backup at
// a destination ("" for the profile's).
func (c *Client) FindSlip(ctx context.Context, destination string, d key.Digits) (*key.Slip, bool) {
	store, err := c.storeOf(ctx, destination)
	if err != nil {
		return nil, false
	}
	defer release(store)
	check, err := backup.KeyCheck(ctx, store)
	if err != nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	return key.FindSlip(ctx, d, check)
}

func (c *Client) storeOf(ctx context.Context, destination string) (cloud.Store, error) {
	if destination == "" {
		cfg, err := c.Config()
		if err != nil {
			return nil, err
		}
		destination = cfg.Cloud
	}
	return c.reach(ctx, destination, false)
}

// CheckKey says whether k opens the backup at a destination ("" for the
// profile's): nil when it does, else a WrongKeyError.
func (c *Client) CheckKey(ctx context.Context, destination string, k *key.Key) error {
	store, err := c.storeOf(ctx, destination)
	if err != nil {
		return err
	}
	defer release(store)
	defer c.patiently(store)()
	check, err := backup.KeyCheck(ctx, store)
	if err != nil {
		return err
	}
	if !opens(check, k) {
		return whyNot(ctx, store, k)
	}
	if destination != "" {
		return nil
	}
	return c.noting(true, func(s *State) { s.KeyChecked = c.now().UTC() })
}

func opens(check key.Check, k *key.Key) (ok bool) {
	k.Use(func(secret *[key.Size]byte) { ok = check(secret) })
	return ok
}

// whyNot has the reason from opening: the key was replaced, or is another's.
func whyNot(ctx context.Context, store cloud.Store, k *key.Key) error {
	repo, err := backup.Open(ctx, store, k, backup.Options{})
	if err == nil {
		repo.Close() // replaced and put back at this moment; it does open
	}
	return err
}

// Holds says whether k is the key this device has.
func (c *Client) Holds(k *key.Key) bool {
	cfg, err := c.Config()
	if err != nil {
		return false
	}
	mine, err := c.loadKey(cfg, currentKey)
	if err != nil {
		return false
	}
	defer mine.Wipe()
	return mine.Equal(k)
}

// Keep makes k, which CheckKey found right, the key of the profile: after it was
// changed from another device, or lost from the keyring of this one. where is
// InKeyring, InFile, or "": the keyring if there is one.
func (c *Client) Keep(k *key.Key, where string) error {
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	unlock, err := c.lock("key check")
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.dropNext(cfg, k); err != nil {
		return err
	}
	if err := c.chooseKeyStore(cfg, where, k); err != nil {
		return err
	}
	return c.writeConfig(cfg)
}

// dropNext gives up a rotation that was interrupted, when the person brings a key
// that is not the next one: finishing it later would replace the key she means.
func (c *Client) dropNext(cfg *Config, k *key.Key) error {
	if !cfg.Rotating {
		return nil
	}
	next, err := c.loadKey(cfg, nextKey)
	if err == nil {
		defer next.Wipe()
		if next.Equal(k) {
			return nil
		}
	}
	cfg.Rotating = false
	return c.removeKey(cfg, nextKey)
}

// Rotate makes a new key, hands it to the person through deliver, and rewrites the
// key ring. Interrupted after deliver, the next command that changes something
// finishes it.
func (c *Client) Rotate(ctx context.Context, deliver func(*key.Key) error) error {
	return c.change(ctx, "key rotate", func() error {
		cfg, err := c.Config()
		if err != nil {
			return err
		}
		// The cloud first: nobody should write down digits that a missing disk
		// makes worthless a moment later.
		if err := c.visit(ctx, nil, func(*visit) error { return nil }); err != nil {
			return err
		}
		if c.BehindPassword() {
			return ErrPasswordSet // the vault would keep the old key
		}
		k, err := key.Generate()
		if err != nil {
			return err
		}
		defer k.Wipe()
		if err := c.saveKey(cfg, nextKey, k); err != nil {
			return err
		}
		if err := deliver(k); err != nil {
			return errors.Join(err, c.removeKey(cfg, nextKey))
		}
		cfg.Rotating = true
		if err := c.writeConfig(cfg); err != nil {
			return err
		}
		if err := c.finishRotation(ctx); err != nil {
			return err
		}
		if cfg.Left != "" {
			c.warn("the backup that the last move left behind still opens with the key before: %s", cfg.Left)
		}
		return nil
	})
}

// finishRotation takes up a rotation wherever it stands: the ring rewritten or
// not, the new key promoted or not. The profile is locked.
func (c *Client) finishRotation(ctx context.Context) error {
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	k, err := c.loadKey(cfg, nextKey)
	if errors.Is(err, ErrKeyMissing) {
		// Promoted and forgotten; only the mark in the configuration was left.
		cfg.Rotating = false
		return c.writeConfig(cfg)
	}
	if err != nil {
		return err
	}
	defer k.Wipe()
	if err := c.rewriteRing(ctx, k); err != nil {
		return err
	}
	if err := c.saveKey(cfg, currentKey, k); err != nil {
		return err
	}
	cfg.Rotating = false
	if err := c.writeConfig(cfg); err != nil {
		return err
	}
	return c.removeKey(cfg, nextKey)
}

// rewriteRing sees to it that k, the next key, opens the repository, and the
// one before no longer does.
func (c *Client) rewriteRing(ctx context.Context, k *key.Key) error {
	return c.visit(ctx, nil, func(v *visit) error {
		finish := func() error { return v.repo.Rotate(ctx, k) }
		if v.key == nextKey {
			finish = func() error { return v.repo.FinishRotation(ctx) }
		}
		if err := finish(); err != nil {
			return fmt.Errorf("rewriting the key ring: %w", err)
		}
		return nil
	})
}
