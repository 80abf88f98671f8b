package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keepsake.example/backup"
)

// BackupOptions say how to take a snapshot.
type BackupOptions struct {
	Exclude    []string // besides those of the profile
	DryRun     bool     // only say what would be done
	Reread     bool     // read files again that look unchanged
	AllowEmpty bool     // back up a folder that became empty
}

// Backup takes a snapshot of the chat folder. It is a BusyError at once when
// another command holds the profile.
func (c *Client) Backup(ctx context.Context, o BackupOptions) (result *backup.BackupResult, err error) {
	err = c.change(ctx, "backup", func() error {
		return c.visitIn(ctx, nil, manner{deferred: !o.DryRun}, func(v *visit) (err error) {
			result, err = v.repo.Backup(ctx, backup.BackupOptions{
				Source:     v.cfg.Source,
				Exclude:    cleanPatterns(slices.Concat(v.cfg.Exclude, o.Exclude)),
				DryRun:     o.DryRun,
				Reread:     o.Reread,
				Distrust:   v.state.distrusted(),
				AllowEmpty: o.AllowEmpty,
			})
			if err != nil {
				return newestState(err)
			}
			c.tellLinks(ctx, v.cfg.Source, result.Snapshot)
			if o.DryRun {
				return nil
			}
			return c.noteBackup(result)
		})
	})
	return result, err
}

// distrusted lists what the last Verify found damaged: a new snapshot that builds upon it could not be restored.
func (s *State) distrusted() []string {
	if s.LastVerify == nil {
		return nil
	}
	return s.LastVerify.Objects
}

func (c *Client) noteBackup(r *backup.BackupResult) error {
	last := &LastBackup{
		Time:     r.Snapshot.Time.UTC(),
		Snapshot: r.Snapshot.ID,
		Files:    r.Snapshot.Files,
		Bytes:    r.Snapshot.Bytes,
		Problems: len(r.Problems),
	}
	return c.updateState(func(s *State) { s.LastBackup = last })
}

// RestoreOptions say what to get back.
type RestoreOptions struct {
	At               *Place    // nil: the backup of the profile
	Snapshot         string    // an id, the start of one, or "" for the newest
	Time             time.Time // not zero: the newest at or before it
	Target           string
	Include, Exclude []string
	IntoNonEmpty     bool
	// Chosen is told which snapshot it is before anything is written, and may
	// stop the restore by an error; may be nil. On a new device
	// only the person can tell that the cloud offers an old one.
	Chosen func(backup.Snapshot) error
}

// Restore writes a snapshot into a folder. Interrupted, the next one with the same
// target continues.
func (c *Client) Restore(ctx context.Context, o RestoreOptions) (result *backup.RestoreResult, err error) {
	err = c.visitIn(ctx, o.At, manner{expected: true, reads: true}, func(v *visit) error {
		if err := c.checkTarget(v, o); err != nil {
			return err
		}
		snapshot, err := v.repo.Find(o.Snapshot, o.Time)
		if err != nil {
			return err
		}
		if o.Chosen != nil {
			if err := o.Chosen(snapshot); err != nil {
				return err
			}
		}
		result, err = v.repo.Restore(ctx, backup.RestoreOptions{
			Snapshot:     snapshot.ID,
			Target:       o.Target,
			Include:      cleanPatterns(o.Include),
			Exclude:      cleanPatterns(o.Exclude),
			IntoNonEmpty: o.IntoNonEmpty,
		})
		if err == nil && o.Snapshot == "" && o.Time.IsZero() {
			c.lookBack(ctx, v.repo)
		}
		return err
	})
	return result, err
}

// lookBack says so if a newer snapshot has come while the newest one was restored.
// It is a courtesy: that it cannot look is no failure of a restore that is done.
func (c *Client) lookBack(ctx context.Context, repo *backup.Repo) {
	if newer, err := repo.Overtaken(ctx); err == nil && newer {
		c.warn("another device has finished a backup meanwhile, or just before: restore once more, into another folder or with --into-non-empty, for what is new in it")
	}
}

func (c *Client) checkTarget(v *visit, o RestoreOptions) error {
	destination := ""
	if v.cfg != nil {
		destination = v.cfg.Cloud
	} else {
		destination = o.At.Cloud
	}
	return apart(folder{name: "target", path: o.Target}, cloudFolder("cloud folder", destination))
}

// Snapshots lists what can be restored, oldest first.
func (c *Client) Snapshots(ctx context.Context, at *Place) (list []backup.Snapshot, err error) {
	err = c.visitIn(ctx, at, manner{reads: true}, func(v *visit) error {
		list = v.repo.Snapshots()
		if n := len(v.repo.Damage()); n > 0 {
			if _, err := v.repo.Find("", time.Time{}); len(list) == 0 && errors.Is(err, backup.ErrDamaged) {
				return err // or it would look as if nothing had ever been backed up
			}
			c.warn("%d damaged or missing objects: the list may be incomplete; see what is affected with: keepsake verify", n)
		}
		return nil
	})
	return list, err
}

// Verify checks the backup; readData is the part of the data to read, 0 to 1.
// Damage is in the result, not in the error.
func (c *Client) Verify(ctx context.Context, at *Place, readData float64) (result *backup.VerifyResult, err error) {
	err = c.visitIn(ctx, at, manner{reads: true}, func(v *visit) (err error) {
		result, err = v.repo.Verify(ctx, backup.VerifyOptions{ReadData: readData})
		if err != nil || v.cfg == nil {
			return newestState(err)
		}
		last := &LastVerify{Time: c.now().UTC(), ReadData: readData, Damage: len(result.Damage)}
		return c.noting(true, func(s *State) {
			last.Objects = damaged(result, s.LastVerify)
			s.LastVerify = last
		})
	})
	return result, err
}

// damaged names what a verification found damaged, and before it what earlier ones did, unless this one read every byte.
func damaged(r *backup.VerifyResult, before *LastVerify) (names []string) {
	for _, d := range r.Damage {
		names = append(names, d.Object)
	}
	if before != nil && r.PacksRead < r.Packs {
		names = append(names, before.Objects...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return names[:min(len(names), maxNoted)]
}

// PruneOptions say which snapshots stay.
type PruneOptions struct {
	Keep          backup.Policy
	Remove        []string // as in [backup.PruneOptions], like the next
	MaxUnused     float64
	ForgetDamaged bool
	DryRun        bool
	// Confirm is told what would go before it goes, and may stop the prune by an
	// error; may be nil. It is not asked in a dry run.
	Confirm func(*backup.PruneResult) error
}

// Prune removes old snapshots and what only they need. A policy that keeps nothing,
// where none is named, is ErrNothingKept.
func (c *Client) Prune(ctx context.Context, o PruneOptions) (result *backup.PruneResult, err error) {
	if o.Keep.Empty() && len(o.Remove) == 0 {
		return nil, ErrNothingKept
	}
	err = c.change(ctx, "prune", func() error {
		return c.visit(ctx, nil, func(v *visit) (err error) {
			options := backup.PruneOptions{Keep: o.Keep, Remove: o.Remove, MaxUnused: o.MaxUnused, ForgetDamaged: o.ForgetDamaged, DryRun: true}
			if result, err = v.repo.Prune(ctx, options); err != nil || o.DryRun {
				return err
			}
			if o.Confirm != nil {
				if err := o.Confirm(result); err != nil {
					return err
				}
			}
			// Another device may have backed up while the person thought: what was shown goes, and nothing else.
			options.DryRun, options.Only = false, []string{}
			for _, s := range result.Removed {
				options.Only = append(options.Only, s.ID)
			}
			result, err = v.repo.Prune(ctx, options)
			return err
		})
	})
	return result, err
}

// Status is what is known about the backup of the profile.
type Status struct {
	Config    Config
	State     State
	KeyError  error // why the key is not to be had; nil when it is there
	Snapshots []backup.Snapshot
	Usage     backup.Usage
	Damage    []*backup.DamageError // found on opening; Verify looks further
	Unsafe    []string              // choices that cost safety, one sentence each
}

// Status looks at the profile and, if it can, at the cloud. Together with an error
// of the cloud it gives what the profile alone says.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	cfg, err := c.Config()
	if err != nil {
		return nil, err
	}
	state, err := c.readState()
	if err != nil {
		return nil, err
	}
	st := &Status{Config: *cfg, State: *state, Unsafe: c.unsafe(cfg)}
	k, err := c.loadKey(cfg, currentKey)
	if err != nil {
		st.KeyError = err
		return st, err
	}
	k.Wipe()
	err = c.visitIn(ctx, nil, manner{reads: true, state: state}, func(v *visit) (err error) {
		st.Snapshots, st.Damage = v.repo.Snapshots(), v.repo.Damage()
		st.Usage, err = v.repo.Usage(ctx)
		return err
	})
	return st, err
}

// DisableOptions say what to do with the backups.
type DisableOptions struct {
	Delete bool // delete the backups in the cloud too
	// Confirm is told what will be lost and stops by an error; must not be nil
	// when Delete is set.
	Confirm func(Loss) error
	// Vault is how to reach the vault, to delete the record there; nil leaves it.
	Vault *Access
}

// Loss is what deleting the backups takes away.
type Loss struct {
	Config    Config
	Snapshots []backup.Snapshot // nil when the repository did not open
	OpenError error             // why it did not
}

// DisableResult says what was deleted in the cloud.
type DisableResult struct {
	Objects int
	Bytes   int64
	// RecordDeleted says that the key is no longer at the vault; RecordError why
	// the record there may be left: its password gives the key as before.
	RecordDeleted bool
	RecordError   error
}

// Disable turns backup off on this device. The key is forgotten last: an
// interrupted Disable can be run again.
func (c *Client) Disable(ctx context.Context, o DisableOptions) (*DisableResult, error) {
	cfg, err := c.readConfig()
	if err != nil {
		return nil, err
	}
	unlock, err := c.lock("disable")
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch {
	case cfg.Left != "" && o.Delete:
		return nil, &LeftError{cfg.Left} // or it would be there for good, and nobody would know
	case cfg.Left != "":
		c.warn("the backup that the last move left behind stays too: %s", cfg.Left)
	}
	result := &DisableResult{}
	if o.Delete && !cfg.Pending {
		if result, err = c.destroy(ctx, cfg, o.Confirm); err != nil {
			return result, err
		}
	}
	if o.Vault != nil && c.BehindPassword() {
		// With a record left behind the profile is forgotten all the same: the person
		// wants the key off this device.
		result.RecordError = c.DeleteRecord(ctx, *o.Vault)
		result.RecordDeleted = result.RecordError == nil
		if err := ctx.Err(); err != nil {
			return result, context.Cause(ctx)
		}
	}
	return result, c.forget(cfg)
}

// destroy deletes the repository. It needs no key: a person who lost it must be
// able to take the backups away all the same.
func (c *Client) destroy(ctx context.Context, cfg *Config, confirm func(Loss) error) (*DisableResult, error) {
	loss := Loss{Config: *cfg}
	loss.Snapshots, loss.OpenError = c.Snapshots(ctx, nil)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if errors.Is(loss.OpenError, backup.ErrOtherRepository) {
		return nil, loss.OpenError // not ours to delete
	}
	if err := confirm(loss); err != nil {
		return nil, err
	}
	store, err := c.reach(ctx, cfg.Cloud, false)
	if err != nil {
		return nil, err
	}
	defer release(store)
	r := &DisableResult{}
	r.Objects, r.Bytes, err = backup.Destroy(ctx, store)
	if err != nil && !errors.Is(err, backup.ErrNoRepository) {
		return r, fmt.Errorf("deleting the backups: %w", err)
	}
	return r, nil
}
