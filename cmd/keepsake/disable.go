package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/internal/cli"
)

type disableFlags struct {
	keep, delete bool
	confirm      string
	keepRecord   bool
	delivery     delivery
	access       accessFlags
}

func (a *app) disableCommand() *cobra.Command {
	var f disableFlags
	cmd := &cobra.Command{
		Use:   "disable (--keep-backups | --delete-backups)",
		Short: "turn backup off; keep or delete the backups",
		Long: `Turns backup off on this device: the key and the settings are removed from it. The
chat folder is not touched.

With --keep-backups the backups stay in the cloud, and open with the 64 digits
only: be sure that you have them (keepsake key check). A key that is behind a
password is deleted in the vault too: then you are given the digits first, by --key
or --key-out; or the vault goes on keeping it with --keep-record.

With --delete-backups they are deleted for good, once you have confirmed what will
be lost: by typing it at the terminal, or by --confirm with the token that the first
run prints.
At a terminal, with neither flag, you are asked.`,
		Example: `  keepsake disable
  keepsake disable --keep-backups
  keepsake disable --keep-backups --key-out chats.key
  keepsake disable --delete-backups --confirm 0a1b2c3d`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.disable(cmd.Context(), f) },
	}
	flag(cmd, "keep-backups", &f.keep)
	flag(cmd, "delete-backups", &f.delete)
	flag(cmd, "confirm", &f.confirm)
	flag(cmd, "keep-record", &f.keepRecord)
	flag(cmd, "key", &f.delivery.show)
	flag(cmd, "key-out", &f.delivery.out)
	f.access.addKnown(cmd)
	return cmd
}

func (a *app) disable(ctx context.Context, f disableFlags) error {
	c := a.client()
	cfg, err := c.Config()
	if err != nil && !unfinished(err) {
		return err
	}
	switch {
	case f.keep && f.delete:
		return usage("--keep-backups and --delete-backups exclude each other", "choose one of them")
	case !f.keep && !f.delete && !a.asks():
		return usage("keep the backups or delete them?", "say --keep-backups or --delete-backups")
	case !f.keep && !f.delete:
		if err := a.askDisable(ctx, &f); err != nil {
			return err
		}
	}
	vault, err := a.leaveVault(ctx, c, f)
	if err != nil {
		return err
	}
	behind := c.BehindPassword()
	r, err := c.Disable(ctx, client.DisableOptions{
		Delete:  f.delete,
		Confirm: func(l client.Loss) error { return a.confirmLoss(ctx, l, f.confirm) },
		Vault:   vault,
	})
	if err != nil {
		return err
	}
	if r.RecordError != nil {
		a.tellRecordLeft(r.RecordError, f)
	}
	a.tellTimerLeft(c)
	a.tellLoginLeft(cfg)
	result := map[string]any{"backups_deleted": f.delete, "objects_deleted": r.Objects, "bytes_deleted": r.Bytes, "record_deleted": r.RecordDeleted}
	return a.emit(result, func(w io.Writer) {
		switch {
		case f.delete:
			fmt.Fprintf(w, "The backups are deleted: %s, %s.\n", cli.Plural(r.Objects, "object", "objects"), cli.Size(r.Bytes))
		case behind && !r.RecordDeleted:
			fmt.Fprintln(w, "The backups stay in the cloud. They open with the password, and with the 64 digits.")
		default:
			fmt.Fprintln(w, "The backups stay in the cloud. They open with the 64 digits only.")
		}
		if r.RecordDeleted {
			fmt.Fprintln(w, "The key is deleted in the vault: the password opens nothing any more.")
		}
		fmt.Fprintln(w, "Backup is off on this device, and the key is removed from it.")
	})
}

// tellLoginLeft says that the sign-in to the cloud is not the profile's: others may use it.
func (a *app) tellLoginLeft(cfg *client.Config) {
	if cfg == nil {
		return
	}
	if d, err := cloud.ParseDestination(cfg.Cloud); err == nil && d.Login() != "" {
		a.msg.Note("the sign-in to the cloud stays on this device; to forget it: keepsake cloud logout %s", cli.Name(d.Login()))
	}
}

// leaveVault sees to it that the person has the digits before the vault forgets the
// key, and says how to reach the vault; nil leaves the key there.
func (a *app) leaveVault(ctx context.Context, c *client.Client, f disableFlags) (*client.Access, error) {
	if !c.BehindPassword() || f.keepRecord {
		return nil, nil
	}
	if !f.delete {
		if err := a.deliveryOf(&f.delivery); err != nil {
			return nil, usage("the key is behind a password, and is deleted in the vault: the kept backups need the 64 digits then", "have them written first: --key, or --key-out FILE; or leave the key in the vault: --keep-record")
		}
		k, err := c.Key()
		if err != nil {
			return nil, err
		}
		defer k.Wipe()
		if err := a.deliver(ctx, k, f.delivery); err != nil {
			return nil, err
		}
	}
	o, err := a.access(ctx, c, f.access)
	return &o, err
}

// tellRecordLeft says what it means that the vault still has the key.
func (a *app) tellRecordLeft(err error, f disableFlags) {
	a.msg.Warning("the key could not be deleted in the vault, or it is not known whether it was: %s", explain(err).message)
	if f.delete {
		a.msg.Hint("it is the key of backups that are deleted; whoever kept a copy of them needs the password still, and has ten attempts")
		return
	}
	a.msg.Hint("whoever knows the password, and has the cloud folder, can open the backups; a new device that restores with the password can delete the key there")
}

func (a *app) askDisable(ctx context.Context, f *disableFlags) error {
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("Backup on this device will be turned off, and the key removed from it.\n")
	answer, err := t.Ask(ctx, "What about the backups in the cloud? Type keep or delete: ")
	if err != nil {
		return err
	}
	f.keep, f.delete = answer == "keep", answer == "delete"
	if !f.keep && !f.delete {
		return errDeclined
	}
	return nil
}

// token stands for what is going to be lost: another snapshot makes another
// token, so that one printed last month confirms nothing today.
func token(l client.Loss) string {
	h := sha256.New()
	fmt.Fprintf(h, "keepsake disable %s", l.Config.Repository)
	for _, s := range l.Snapshots {
		fmt.Fprintf(h, " %s", s.ID)
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

func (a *app) confirmLoss(ctx context.Context, l client.Loss, given string) error {
	want := token(l)
	if given == want {
		return nil
	}
	loss := describeLoss(l)
	if given == "" && a.asks() {
		return a.typeToken(ctx, loss, want)
	}
	message := loss + "; not confirmed, nothing was changed"
	if given != "" {
		message = "the token does not fit what would be lost now: " + message
	}
	return usage(message, "to go ahead: keepsake disable --delete-backups --confirm "+want)
}

func (a *app) typeToken(ctx context.Context, loss, want string) error {
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("%s.\n", loss)
	answer, err := t.Ask(ctx, "To delete them, type "+want+": ")
	if err == nil && answer != want {
		err = errDeclined
	}
	return err
}

func describeLoss(l client.Loss) string {
	where := cli.Name(l.Config.Cloud)
	if l.OpenError != nil {
		return fmt.Sprintf("all backups in %s will be deleted for good; they cannot be listed (%s)", where, plain(l.OpenError))
	}
	if len(l.Snapshots) == 0 {
		return "the backup in " + where + ", which has no snapshot yet, will be deleted for good"
	}
	first, last := l.Snapshots[0], l.Snapshots[len(l.Snapshots)-1]
	return fmt.Sprintf("%s in %s, from %s to %s, will be deleted for good",
		cli.Plural(len(l.Snapshots), "snapshot", "snapshots"), where, cli.Time(first.Time), cli.Time(last.Time))
}
