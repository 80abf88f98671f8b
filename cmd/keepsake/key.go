package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
)

const keyHelp = `The key of a backup is 64 hexadecimal digits, shown in 16 groups of four. Whoever
has them and the cloud folder can read the backup; whoever loses them loses the
backup. They are made on this device and sent nowhere.

Write them on paper and keep the paper apart from the device. Case, blanks and
dashes do not matter when you type them. A slip of the pen or of a finger
is found for you: "digit 17 should be c".

  keepsake key check    type them, to be sure that the paper is right
  keepsake key show     see them again, while this device still has them
  keepsake key rotate   replace them, when somebody else may have seen them

Never put the digits on a command line: other programs can see it, and the shell
keeps it. Use the prompt, or --key-file.`

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "show, check or replace the 64 digits",
		Long:  keyHelp,
		Args:  cobra.ArbitraryArgs,
		RunE:  runParent,
	}
	cmd.AddCommand(a.keyShowCommand(), a.keyCheckCommand(), a.keyRotateCommand())
	return cmd
}

func (a *app) keyShowCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show the 64 digits that this device keeps",
		Long: `Shows the 64 digits on the terminal, after confirmation, and erases them. They are
never written to standard output, unless --key-out - asks for it; --key-out FILE
writes them to a new file that only you can read.`,
		Example: `  keepsake key show
  keepsake key show --key-out chats.key`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyShow(cmd.Context(), out) },
	}
	flag(cmd, "key-out", &out)
	return cmd
}

func (a *app) keyShow(ctx context.Context, out string) error {
	d := delivery{out: out}
	if err := d.check(a); err != nil {
		return err
	}
	if out == "" && (!a.asks() || !cli.IsTerminal(a.out)) {
		return usage("key show shows the digits on a terminal only", "to have them in a file: keepsake key show --key-out FILE")
	}
	k, err := a.client().Key()
	if err != nil {
		return err
	}
	defer k.Wipe()
	if out != "" {
		if err := a.writeKey(k, out); err != nil || out == "-" {
			return err
		}
		return a.emit(map[string]string{"key_out": out}, func(io.Writer) {})
	}
	return a.showOnTerminal(ctx, k)
}

func (a *app) showOnTerminal(ctx context.Context, k *key.Key) error {
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("Whoever sees the 64 digits can read your backup. Look round you first.\n")
	answer, err := t.Ask(ctx, "To see them, type show: ")
	if err != nil {
		return err
	}
	if answer != "show" {
		return errDeclined
	}
	return showKey(ctx, t, k, "The 64 digits of this backup\n", "\n", "Press Enter to erase them. ")
}

type keyCheckFlags struct {
	placeFlags
	store    bool
	keyStore string
}

func (a *app) keyCheckCommand() *cobra.Command {
	var f keyCheckFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "find out whether your 64 digits are right",
		Long: `Asks for the 64 digits and says whether they open the backup; if not quite, which
digit is wrong. Do it now and then: a paper that is wrong or lost is noticed while
this device can still show the digits.

With --store the digits, once found right, are kept on this device: after they
were replaced from another device, or lost from the keyring of this one.`,
		Example: `  keepsake key check
  keepsake key check --key-file chats.key
  keepsake key check --store`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyCheck(cmd.Context(), f) },
	}
	f.add(cmd)
	flag(cmd, "store", &f.store)
	flag(cmd, "key-store", &f.keyStore)
	return cmd
}

func (a *app) keyCheck(ctx context.Context, f keyCheckFlags) error {
	if f.store && f.cloud != "" {
		return usage("--store keeps the key of this device's own backup, not of another one", "leave out --cloud")
	}
	if err := checkKeyStore(f.keyStore); err != nil {
		return err
	}
	c := a.client()
	if f.cloud == "" {
		if _, err := c.Config(); err != nil {
			return err
		}
	}
	k, err := a.readKey(ctx, c, keyInput{f.keyFile, f.cloud})
	if err != nil {
		return err
	}
	defer k.Wipe()
	if f.store {
		if err := c.Keep(k, f.keyStore); err != nil {
			return err
		}
	}
	held := f.cloud == "" && c.Holds(k)
	result := map[string]any{"right": true, "on_this_device": held, "stored": f.store}
	return a.emit(result, func(w io.Writer) {
		fmt.Fprintln(w, "The 64 digits are right: they open this backup.")
		if f.cloud == "" && !held {
			fmt.Fprintln(w, "This device holds other digits. To keep these: keepsake key check --store")
		}
	})
}

func (a *app) keyRotateCommand() *cobra.Command {
	var d delivery
	cmd := &cobra.Command{
		Use:   "rotate (--key | --key-out FILE)",
		Short: "replace the 64 digits by new ones",
		Long: `Makes new 64 digits, for when somebody may have seen the old ones. Only the key ring
is rewritten, a few hundred bytes; nothing is uploaded again. The new digits are
shown and asked for, or written to a file, before the old ones stop working.

Who has the old digits and a copy of the cloud folder from before can still read
what was backed up until now; what comes after is closed to him. Other devices
that share this backup need the new digits: keepsake key check --store. A copy that
keepsake copy made opens with the old digits until it is run again.`,
		Example: `  keepsake key rotate --key
  keepsake key rotate --key-out new.key`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.keyRotate(cmd.Context(), d) },
	}
	flag(cmd, "key", &d.show)
	flag(cmd, "key-out", &d.out)
	return cmd
}

func (a *app) keyRotate(ctx context.Context, d delivery) error {
	if !d.show && d.out == "" {
		if !a.asks() {
			return usage("where shall the new digits go?", "at a terminal: keepsake key rotate --key; in a script: --key-out FILE")
		}
		d.show = true
	}
	if err := d.check(a); err != nil {
		return err
	}
	if err := a.client().Rotate(ctx, func(k *key.Key) error { return a.deliver(ctx, k, d) }); err != nil {
		return err
	}
	if d.out == "-" {
		return nil
	}
	return a.emit(map[string]any{"rotated": true}, func(w io.Writer) {
		fmt.Fprintln(w, "The new digits hold now; the old ones no longer open this backup.")
		fmt.Fprintln(w, "A second place (keepsake copy) opens with the old ones until you copy again: keep the old paper until then.")
	})
}

// unfinished says whether a profile is there whose set-up was interrupted.
func unfinished(err error) bool { return errors.Is(err, client.ErrUnfinished) }
