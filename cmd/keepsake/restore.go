package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
)

// placeFlags reach a backup without a profile.
type placeFlags struct{ cloud, keyFile string }

func (p *placeFlags) add(cmd *cobra.Command) {
	flag(cmd, "cloud", &p.cloud)
	flag(cmd, "key-file", &p.keyFile)
}

// place reads the key for --cloud; nil stands for the profile. The caller wipes
// the key.
func (a *app) place(ctx context.Context, c *client.Client, p placeFlags) (*client.Place, error) {
	if p.cloud == "" {
		if p.keyFile != "" {
			return nil, usage("--key-file goes with --cloud", "this device has the key of its own backup; for another one: --cloud DEST --key-file FILE")
		}
		return nil, nil
	}
	k, err := a.readKey(ctx, c, keyInput{p.keyFile, p.cloud})
	if err != nil {
		return nil, err
	}
	return &client.Place{Cloud: p.cloud, Key: k}, nil
}

func wipe(at *client.Place) {
	if at != nil {
		at.Key.Wipe()
	}
}

type restoreFlags struct {
	placeFlags
	password    bool
	behind      passwordFlags
	options     client.RestoreOptions
	at          string
	yes, enable bool
	keyStore    string
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore TARGET",
		Short: "get the chat folder back",
		Long: `Writes a snapshot, the newest one unless told otherwise, into the folder TARGET:
databases first, media after. Interrupted, the same command continues; once there
is a newer snapshot, add --snapshot with the one that was begun. No file ever has
its name before it is whole.

On a new device give --cloud and the 64 digits, or --password --server CARD and
the password: a wrong one costs one of ten attempts. Look at the time and the
folder of the snapshot that is named then: a cloud that hides the newest ones
cannot be told from one that never had them, except by you. With --enable the
device goes on backing up.`,
		Example: `  keepsake restore ~/Chats-again
  keepsake restore ~/Chats --cloud /media/disk/chats-backup --enable
  keepsake restore ~/Chats --cloud gdrive:Keepsake --enable
  keepsake restore ~/Chats --cloud /media/disk/chats-backup --password --server card
  keepsake restore ~/Old --at yesterday --include Databases`,
		Args: exactly("TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.options.Target = args[0]
			return a.restore(cmd.Context(), f)
		},
	}
	f.add(cmd)
	flag(cmd, "password", &f.password)
	flag(cmd, "password-file", &f.behind.file)
	f.behind.add(cmd)
	flag(cmd, "snapshot", &f.options.Snapshot)
	flag(cmd, "at", &f.at)
	flag(cmd, "include", &f.options.Include)
	flag(cmd, "exclude", &f.options.Exclude)
	flag(cmd, "into-non-empty", &f.options.IntoNonEmpty)
	flag(cmd, "older-state", &a.olderState)
	a.transferFlags(cmd, false)
	flag(cmd, "enable", &f.enable)
	flag(cmd, "key-store", &f.keyStore)
	flag(cmd, "yes", &f.yes)
	return cmd
}

func (f *restoreFlags) check(a *app) (err error) {
	if f.enable && f.cloud == "" {
		return usage("--enable sets a new device up, and needs --cloud", "say where the backup lies: --cloud DEST")
	}
	switch {
	case f.enable && len(f.options.Include)+len(f.options.Exclude) > 0:
		return usage("--enable goes on with what was restored, and a part of the chats would be the next backup", "restore all with --enable; or a part without it, into another folder")
	case f.password && f.cloud == "":
		return usage("--password gets the key of a backup on a new device, and needs --cloud", "say where the backup lies: --cloud DEST")
	case f.password && f.keyFile != "":
		return usage("the key comes from --key-file or from --password", "choose one of them")
	case !f.password && (f.behind.file != "" || f.behind.given()):
		return usage("--server, --password-file and their like go with --password", "get the key by the password: --password --server CARD")
	}
	if f.at != "" {
		if f.options.Time, err = parseTime(f.at, a.now()); err != nil {
			return usage("--at: "+err.Error(), `for example: --at 2026-11-20, --at "2026-11-20 18:00", --at yesterday; see: keepsake help times`)
		}
	}
	return checkKeyStore(f.keyStore)
}

func (f *restoreFlags) checkProfile(c *client.Client) error {
	_, err := c.Config()
	switch {
	case f.enable && err == nil:
		return client.ErrEnabled
	case f.cloud == "" && errors.Is(err, client.ErrNotEnabled):
		return &failure{cli.NotFound, plain(err), "on a new device say where the backup lies: keepsake restore TARGET --cloud DEST"}
	}
	return nil
}

func (a *app) restore(ctx context.Context, f restoreFlags) error {
	if err := f.check(a); err != nil {
		return err
	}
	c := a.client()
	if err := f.checkProfile(c); err != nil {
		return err
	}
	at, leave, err := a.restorePlace(ctx, c, f)
	if err != nil {
		return err
	}
	defer wipe(at)
	f.options.At = at
	f.options.Chosen = func(s backup.Snapshot) error {
		return a.announce(ctx, s, deviceOf(c), at != nil && !f.yes)
	}
	r, err := c.Restore(ctx, f.options)
	damaged := errors.Is(err, backup.ErrDamaged) && r != nil
	if err != nil && !damaged {
		return f.explain(err)
	}
	if f.enable {
		if err := a.goOn(ctx, c, f, at.Key); err != nil {
			return err
		}
	}
	if err := leave(); err != nil {
		return err
	}
	if err := a.emitRestored(r, f); !damaged {
		return err
	}
	return damagedRestore(err)
}

// restorePlace gets the key, by digits or by the password. leave takes away what was
// only needed for asking the vault: this device is not going to change the record.
func (a *app) restorePlace(ctx context.Context, c *client.Client, f restoreFlags) (at *client.Place, leave func() error, err error) {
	leave = func() error { return nil }
	if !f.password {
		at, err = a.place(ctx, c, f.placeFlags)
		return at, leave, err
	}
	_, err = c.VaultState()
	stranger := errors.Is(err, client.ErrNoVault) && !f.enable
	f.behind.secrets = f.keyStore
	r, err := a.recoverKey(ctx, c, f.behind, client.RecoverOptions{Enroll: f.enable})
	if err != nil {
		return nil, leave, err
	}
	if stranger && r.Unproved == nil && !r.Renewed && r.NotRenewed == nil {
		leave = c.ForgetVault
	}
	return &client.Place{Cloud: f.cloud, Key: r.Key}, leave, nil
}

// damagedRestore is how a restore ends that got back what damage does not touch.
func damagedRestore(err error) error {
	lines := strings.Split(plain(err), "\n")
	if more := len(lines) - shownProblems; more > 0 {
		lines = append(lines[:shownProblems], "and "+cli.Count(more)+" more")
	}
	return &failure{
		cli.Damaged,
		strings.Join(lines, "\n") + "\nthe files that need what is damaged were not restored; all others were",
		"another snapshot may have them: keepsake snapshots, then restore --snapshot ID into another folder",
	}
}

// announce names the snapshot before anything is written. On a new device only
// the person can tell that it is not the newest one.
func (a *app) announce(ctx context.Context, s backup.Snapshot, mine string, ask bool) error {
	a.progress.Clear()
	a.msg.Note("restoring the snapshot of %s (%s), of %s: %s, %s",
		cli.Time(s.Time), cli.Age(a.now(), s.Time), origin(s, mine), cli.Plural(s.Files, "file", "files"), cli.Size(s.Bytes))
	if !ask || !a.asks() {
		return nil
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("Is that when your last backup was, and of that folder? If it should be newer,\nsomebody may have put an old copy in the cloud.\n")
	ok, err := t.Confirm(ctx, "Restore it?")
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

// goOn sets the new device up with the key at hand.
func (a *app) goOn(ctx context.Context, c *client.Client, f restoreFlags, k *key.Key) error {
	_, err := c.Enable(ctx, client.EnableOptions{Source: f.options.Target, Cloud: f.cloud, KeyStore: f.keyStore, Join: k})
	if err != nil {
		return fmt.Errorf("the chats are restored, but setting this device up failed: %w", err)
	}
	return nil
}

type restoreJSON struct {
	Snapshot  backup.Snapshot `json:"snapshot"`
	Target    string          `json:"target"`
	Files     int             `json:"files"`
	Skipped   int             `json:"skipped"`
	Same      int             `json:"same"`
	Unknown   int             `json:"unknown"`
	Bytes     int64           `json:"bytes"`
	Fetched   int64           `json:"bytes_fetched"`
	Seconds   float64         `json:"seconds"`
	Continued bool            `json:"continued"`
	Enabled   bool            `json:"enabled"`
	Problems  []problemJSON   `json:"problems"`
	Include   []string        `json:"idle_include,omitempty"` // patterns that matched nothing
	Exclude   []string        `json:"idle_exclude,omitempty"`
}

func (a *app) emitRestored(r *backup.RestoreResult, f restoreFlags) error {
	result := restoreJSON{
		r.Snapshot, f.options.Target, r.Files, r.Skipped, r.Same, r.Unknown, r.Bytes, r.BytesFetched, r.Duration.Seconds(), r.Continued,
		f.enable, problemsJSON(r.Problems), r.IdleInclude, r.IdleExclude,
	}
	err := a.emit(result, func(w io.Writer) {
		fmt.Fprintf(w, "Restored %s, %s, to %s in %s.\n",
			cli.Plural(r.Files, "file", "files"), cli.Size(r.Bytes), cli.Name(f.options.Target), cli.Duration(r.Duration))
		if r.Skipped > 0 {
			fmt.Fprintf(w, "%s there already, from a restore that was interrupted.\n", wereThere(r.Skipped))
		}
		if r.Same > 0 {
			fmt.Fprintf(w, "%s there already, the same byte for byte.\n", wereThere(r.Same))
		}
		if r.Unknown > 0 {
			fmt.Fprintf(w, "%s in the damaged part of the list are not known by name.\n", cli.Plural(r.Unknown, "file", "files"))
		}
		if f.enable {
			fmt.Fprintln(w, "This device is set up to go on. Take the next snapshot with: keepsake backup")
		} else if f.cloud != "" {
			fmt.Fprintln(w, "To go on backing up from this device: keepsake enable TARGET --cloud DEST --join")
		}
	})
	if err != nil {
		return err
	}
	if err := a.problems(r.Problems, "restored"); err != nil {
		return err
	}
	return a.unmatched(r, f.options)
}

func wereThere(n int) string {
	if n == 1 {
		return "1 file was"
	}
	return cli.Count(n) + " files were"
}
