package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
)

type enableFlags struct {
	cloud, keyFile, keyStore string
	exclude                  []string
	join, password           bool
	delivery                 delivery
	behind                   passwordFlags // how to reach the vault, with password
}

func (a *app) enableCommand() *cobra.Command {
	var f enableFlags
	cmd := &cobra.Command{
		Use:   "enable DIR --cloud DEST (--key | --password | --join)",
		Short: "set up encrypted backup of a chat folder",
		Long: `Sets up end-to-end encrypted backup of the chat folder DIR to DEST: a folder on
another disk, or a cloud that you signed in to with "keepsake cloud login" (keepsake
help destinations). Nothing is backed up yet; that is what "keepsake backup" does.

With --key the 64 digits are shown once on the terminal, erased, and asked for
again: only when they are known to be on your paper is the backup made. Whoever
loses them loses the backup, and nobody can help. --key-out writes them to a file
instead, for scripts.

With --password --server CARD the key goes behind a password that you choose, into a
vault that destroys it after ten wrong ones. Who loses the password, and has no
digits, has lost the backup: nobody can help. With --key, or --key-out, you get the
digits too, and either opens the backup.

With --join this device goes on with a backup that is at DEST already, as after
the restore on a new phone. Nothing that is there is uploaded again. A second chat
folder is better kept at another DEST, with another --profile.`,
		Example: `  keepsake enable ~/Chats --cloud /media/disk/chats-backup --key
  keepsake enable ~/Chats --cloud gdrive:Keepsake --key
  keepsake enable ~/Chats --cloud /media/disk/chats-backup --key-out ~/chats.key
  keepsake enable ~/Chats --cloud /media/disk/chats-backup --password --server card
  keepsake enable ~/Chats --cloud /media/disk/chats-backup --join`,
		Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.enable(cmd.Context(), args[0], f) },
	}
	flag(cmd, "cloud", &f.cloud)
	flag(cmd, "key", &f.delivery.show)
	flag(cmd, "key-out", &f.delivery.out)
	flag(cmd, "password", &f.password)
	flag(cmd, "password-file", &f.behind.file)
	f.behind.add(cmd)
	flag(cmd, "join", &f.join)
	flag(cmd, "older-state", &a.olderState)
	flag(cmd, "key-file", &f.keyFile)
	flag(cmd, "key-store", &f.keyStore)
	flag(cmd, "exclude", &f.exclude)
	return cmd
}

// check refuses what cannot be. In a set-up that goes on with the key it had
// delivered, the key file is there, and has to be.
func (f enableFlags) check(a *app, goesOn bool) error {
	newKey := f.delivery.show || f.delivery.out != ""
	switch {
	case !f.password && (f.behind.file != "" || f.behind.given()):
		return usage("--server, --password-file and their like go with --password", "protect the backup by a password: --password --server CARD")
	case f.cloud == "":
		return usage("--cloud is missing", "say where the backup shall lie: --cloud DEST, a folder on another disk or a cloud (keepsake help destinations)")
	case f.join && newKey:
		return usage("--join uses the key of the backup that is there, --key and --key-out make a new one", "choose one of them")
	case !f.join && !newKey && !f.password:
		return usage("how shall the backup be protected?", "by 64 digits that you write down: --key, or, in scripts: --key-out FILE; by a password: --password --server CARD")
	case a.olderState && !f.join:
		return usage("--older-state is about a backup that is there", "to go on with it: --join --older-state")
	case f.keyFile != "" && !f.join:
		return usage("--key-file gives the key of a backup that is there", "to go on with it: --join --key-file FILE")
	}
	if err := errors.Join(checkKeyStore(f.keyStore), checkPatterns(f.exclude)); err != nil || goesOn {
		return err
	}
	return f.delivery.check(a)
}

func checkKeyStore(where string) error {
	switch where {
	case "", client.InKeyring, client.InFile:
		return nil
	}
	return usage(fmt.Sprintf("--key-store %q: the key can be kept in keyring or file", where), "")
}

// checkPatterns refuses here what would otherwise fail every backup to come.
func checkPatterns(patterns []string) error {
	for _, p := range patterns {
		clean := strings.Trim(path.Clean(p), "/")
		if _, err := path.Match(clean, ""); err != nil || clean == "" || clean == "." {
			return &backup.PatternError{Pattern: p}
		}
	}
	return nil
}

func (a *app) enable(ctx context.Context, dir string, f enableFlags) error {
	c := a.client()
	_, err := c.Config()
	if err := f.check(a, unfinished(err)); err != nil {
		return err
	}
	o := client.EnableOptions{
		Source: dir, Cloud: f.cloud, Exclude: f.exclude, KeyStore: f.keyStore, Checked: f.delivery.shows(a),
		Deliver: func(k *key.Key) error { return a.deliverNew(ctx, c, k, f) },
	}
	if f.join {
		k, err := a.joinKey(ctx, c, f)
		if err != nil {
			return err
		}
		defer k.Wipe()
		o.Join = k
		o.Joining = func(newest backup.Snapshot) error { return a.confirmJoin(ctx, newest, dir) }
	}
	r, err := c.Enable(ctx, o)
	if err != nil {
		return err
	}
	if f.delivery.out == "-" {
		a.writeEnabled(a.err, r) // standard output holds the digits alone
		return nil
	}
	return a.emitEnabled(r)
}

// confirmJoin asks when the backup that is there is of another folder: a restore takes the newest
// snapshot of all, and would bring back the one or the other.
func (a *app) confirmJoin(ctx context.Context, newest backup.Snapshot, dir string) error {
	mine, err := filepath.Abs(dir)
	if err != nil || filepath.Base(mine) == newest.Source {
		return nil
	}
	what := fmt.Sprintf("the newest snapshot there, of %s, is of a folder %s, not %s", cli.Time(newest.Time), cli.Name(newest.Source), cli.Name(filepath.Base(mine)))
	const why = "a second chat folder is better kept at another --cloud, with another --profile"
	if !a.asks() {
		a.msg.Warning("%s; %s", what, why)
		return nil
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("Look: %s.\nIf that is its old name, go on; if not: %s.\n", what, why)
	ok, err := t.Confirm(ctx, "Go on with that backup?")
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

// joinKey gets the key of a backup that is there.
func (a *app) joinKey(ctx context.Context, c *client.Client, f enableFlags) (*key.Key, error) {
	if !f.password {
		return a.readKey(ctx, c, keyInput{f.keyFile, f.cloud})
	}
	f.behind.secrets = f.keyStore
	r, err := a.recoverKey(ctx, c, f.behind, client.RecoverOptions{Enroll: true})
	if err != nil {
		return nil, err
	}
	return r.Key, nil
}

// deliverNew returns when the person has the new key for good: on paper, in a file,
// behind a password, or several of them. The password comes last: up to it nothing is
// outside this device.
func (a *app) deliverNew(ctx context.Context, c *client.Client, k *key.Key, f enableFlags) error {
	if !f.password {
		return a.deliver(ctx, k, f.delivery)
	}
	f.behind.secrets = f.keyStore
	o, err := a.access(ctx, c, f.behind.accessFlags)
	if err != nil {
		return err
	}
	p, err := a.newPassword(ctx, f.behind.file, handleOf(c, o))
	if err != nil {
		return err
	}
	defer p.Wipe()
	if err := a.offerDigits(ctx, k, f.delivery); err != nil {
		return err
	}
	done, err := c.Protect(ctx, o, k, p, client.ProtectOptions{})
	if err != nil {
		return err
	}
	a.warnInsecure(done.Insecure)
	return nil
}

// offerDigits gives the person the digits too, if she wants them.
func (a *app) offerDigits(ctx context.Context, k *key.Key, d delivery) error {
	if d.show || d.out != "" {
		return a.deliver(ctx, k, d)
	}
	if !a.asks() {
		a.msg.Note("%s", noHelp)
		return nil
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("%s", offerText)
	yes, err := t.Confirm(ctx, "See the 64 digits now, to write them down?")
	if err != nil || !yes {
		return err
	}
	return teach(ctx, t, k)
}

const offerText = `
Whoever loses the password has lost the backup: nobody can help, not the server, not
the cloud and not the makers of Keepsake. There is one thing that helps: the 64 digits
of the key, on paper. They open the backup as well.

`

func (a *app) emitEnabled(r *client.EnableResult) error {
	result := map[string]any{
		"profile": a.profile, "source": r.Config.Source, "cloud": r.Config.Cloud, "repository": r.Config.Repository,
		"key_store": r.Config.KeyStore, "joined": r.Joined, "resumed": r.Resumed, "snapshots": r.Snapshots, "behind_password": a.client().BehindPassword(),
	}
	return a.emit(result, func(w io.Writer) { a.writeEnabled(w, r) })
}

func (a *app) writeEnabled(w io.Writer, r *client.EnableResult) {
	if r.Resumed {
		fmt.Fprintln(w, "Went on with the set-up that was interrupted: the key is the one you have from then.")
	}
	if r.Joined {
		fmt.Fprintf(w, "This device goes on with the backup that is there, of %s.\n", cli.Plural(r.Snapshots, "snapshot", "snapshots"))
	}
	fmt.Fprintf(w, "Backup of %s to %s is set up.\n", cli.Name(r.Config.Source), cli.Name(r.Config.Cloud))
	fmt.Fprintf(w, "This device keeps the key in %s.\n", keyPlace(r.Config, a.profile))
	if a.client().BehindPassword() {
		fmt.Fprintln(w, "The vault keeps it behind your password.", noHelp)
	}
	fmt.Fprintln(w, "Take the first snapshot with: keepsake backup")
}

func keyPlace(cfg client.Config, profile string) string {
	if cfg.KeyStore == client.InKeyring {
		return "the system keyring"
	}
	return "a file that only you can read, in " + cli.Name(profile)
}
