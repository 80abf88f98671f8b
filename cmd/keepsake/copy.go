package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

func (a *app) copyCommand() *cobra.Command {
	var o client.CopyOptions
	cmd := &cobra.Command{
		Use:   "copy --to DEST",
		Short: "clone the backup to a second cloud",
		Long: `Clones the backup to another destination, as it is: encrypted, all snapshots, the
same digits or password. Nothing is decrypted, so that no key is needed: with
--cloud anybody who can read a backup's objects can copy them.

What the other place has already is not sent again: run it once a week, and only
what is new goes there. Nothing there is ever replaced or deleted: what is damaged
or deleted at the first cloud later stays whole at the second. What you prune at
the first is not listed at the second any more either, once you copy again, and
only fills room there. To keep old snapshots, copy to another place now and then.

On the device that makes the backup a newest state that does not open is not
copied, and the copy is opened afterwards, with the key that is here. With --cloud
nobody can tell: what somebody planted at the first is copied, and to restore from
the copy takes --older-state then.`,
		Example: `  keepsake copy --to /media/second-disk/chats-backup
  keepsake copy --to gdrive:Chats
  keepsake copy --cloud s3://old-bucket/chats --to s3://new-bucket/chats`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.copy(cmd.Context(), o) },
	}
	flag(cmd, "to", &o.To)
	flag(cmd, "cloud", &o.From)
	a.transferFlags(cmd, true)
	return cmd
}

type copyJSON struct {
	Repository string        `json:"repository"`
	To         string        `json:"to"`
	Objects    int           `json:"objects"`
	Bytes      int64         `json:"bytes"`
	Present    int           `json:"present"`
	Seconds    float64       `json:"seconds"`
	Problems   []problemJSON `json:"problems"`
	Left       string        `json:"left_behind,omitempty"`
}

func (a *app) copy(ctx context.Context, o client.CopyOptions) error {
	if o.To == "" {
		return usage("--to is missing", "say where the copy shall lie: --to DEST")
	}
	r, err := a.client().Copy(ctx, o)
	return a.tellCopy(r, o.To, "", err)
}

// tellCopy says what was copied, also when not all could be.
func (a *app) tellCopy(r *backup.CopyResult, to, left string, err error) error {
	if r != nil && errors.Is(err, client.ErrNewestState) {
		return &failure{
			cli.Damaged, plain(err),
			"what is there can be restored all the same: keepsake restore TARGET --cloud DEST --older-state. For a copy without it choose an empty place",
		}
	}
	if r == nil || err != nil && len(r.Problems) == 0 {
		return err
	}
	j := copyJSON{r.Repository, to, r.Objects, r.Bytes, r.Present, r.Duration.Seconds(), problemsJSON(r.Problems), left}
	if e := a.emit(j, func(w io.Writer) { writeCopy(w, r, to) }); e != nil {
		return e
	}
	a.list(r.Problems)
	return err
}

func writeCopy(w io.Writer, r *backup.CopyResult, to string) {
	fmt.Fprintf(w, "Copied %s, %s, to %s in %s", cli.Plural(r.Objects, "object", "objects"), cli.Size(r.Bytes), cli.Name(to), cli.Duration(r.Duration))
	if r.Present > 0 {
		fmt.Fprintf(w, "; %s there already", cli.Plural(r.Present, "was", "were"))
	}
	fmt.Fprintln(w, ".")
}

type moveFlags struct {
	to           string
	delete, keep bool
	yes          bool
}

func (a *app) moveCommand() *cobra.Command {
	var f moveFlags
	cmd := &cobra.Command{
		Use:   "move (--to DEST | --delete-old | --keep-old)",
		Short: "change to another cloud",
		Long: `Moves the backup to another cloud, in two steps.

With --to the backup is copied to DEST, opened and checked there, and only then
does this device go on with it. Interrupted, nothing has changed, and the next run
goes on. The backup at the old place stays.

With --delete-old that one is deleted, for good, after what another device may have
written there since was brought over. Before that, read the new one once:
keepsake verify --read-data. With --keep-old it stays where it is.

Other devices that make this backup are told by you: keepsake move --to DEST there
too. It copies nothing twice.`,
		Example: `  keepsake move --to gdrive:Chats
  keepsake verify --read-data
  keepsake move --delete-old`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.move(cmd.Context(), f) },
	}
	flag(cmd, "to", &f.to)
	a.transferFlags(cmd, true)
	flag(cmd, "delete-old", &f.delete)
	flag(cmd, "keep-old", &f.keep)
	flag(cmd, "yes", &f.yes)
	return cmd
}

func (a *app) move(ctx context.Context, f moveFlags) error {
	chosen := 0
	for _, given := range []bool{f.to != "", f.delete, f.keep} {
		if given {
			chosen++
		}
	}
	switch {
	case chosen != 1:
		return usage("move does one of three things", "keepsake move --to DEST; then keepsake move --delete-old, or keepsake move --keep-old")
	case f.delete:
		return a.deleteLeft(ctx, f)
	case f.keep:
		return a.keepLeft()
	}
	c := a.client()
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	r, err := c.Move(ctx, f.to)
	if err != nil {
		return a.tellCopy(r, f.to, "", err)
	}
	if err := a.tellCopy(r, f.to, cfg.Cloud, nil); err != nil {
		return err
	}
	a.msg.Note("this device goes on with %s; the backup at %s is still there", cli.Name(f.to), cli.Name(cfg.Cloud))
	a.msg.Hint("read the new one with: keepsake verify --read-data; then delete the old one with: keepsake move --delete-old")
	return nil
}

func (a *app) deleteLeft(ctx context.Context, f moveFlags) error {
	if !f.yes && !a.asks() {
		return usage("this deletes the backup at the old place for good, and there is nobody to ask", "go ahead with --yes")
	}
	objects, bytes, err := a.client().DeleteLeft(ctx, func(left string, verified bool) error {
		if f.yes {
			return nil
		}
		return a.confirmLeft(ctx, left, verified)
	})
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"objects_deleted": objects, "bytes_deleted": bytes}, func(w io.Writer) {
		fmt.Fprintf(w, "The backup at the old place is deleted: %s, %s.\n", cli.Plural(objects, "object", "objects"), cli.Size(bytes))
	})
}

func (a *app) confirmLeft(ctx context.Context, left string, verified bool) error {
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("The backup at %s will be deleted for good. All snapshots there are at the new place.\n", cli.Name(left))
	if verified {
		t.Print("All data at the new place were read since the move, and are whole.\n")
	} else {
		t.Print("The data at the new place were NOT all read since the move: keepsake verify --read-data does that.\n")
	}
	ok, err := t.Confirm(ctx, "Delete the backup at the old place?")
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

func (a *app) keepLeft() error {
	left, err := a.client().ForgetLeft()
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"kept": left}, func(w io.Writer) {
		fmt.Fprintf(w, "The backup at %s stays there. It opens with the key it had when you moved.\n", cli.Name(left))
	})
}
