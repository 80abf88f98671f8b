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
	"keepsake.example/password"
)

const passwordHelp = `With a password, the key of the backup lies in a vault that never sees either: it
answers ten wrong passwords, and then destroys the key for good. On a new phone the
password alone brings everything back.

Who forgets the password, and has no 64 digits, has lost the backup: nobody can help,
not the server and not the makers of this program. Write the digits down too, if you
are not sure of your memory; both open the same backup.

  keepsake password set      put the key behind a password (from digits to password)
  keepsake password change   another password
  keepsake password check    find out whether you still know it; costs no attempt
  keepsake password remove   take it out of the vault (from password to digits)
  keepsake vault status      attempts left, and who tried

Nothing is uploaded again for any of these. Never put a password on a command line:
other programs can see it. Use the prompt, or --password-file.`

func (a *app) passwordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "password",
		Short: "set, change, check or remove the password",
		Long:  passwordHelp,
		Args:  cobra.ArbitraryArgs,
		RunE:  runParent,
	}
	cmd.AddCommand(a.passwordSetCommand(), a.passwordChangeCommand(), a.passwordCheckCommand(), a.passwordRemoveCommand())
	return cmd
}

type passwordFlags struct {
	accessFlags
	file     string
	takeOver bool
	leave    bool
	yes      bool
}

func (a *app) passwordSetCommand() *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:   "set --server FILE",
		Short: "put the key of this backup behind a password",
		Long: `Puts the key that this device keeps behind a password, at the vault of the server
card. The password is asked for twice, and one that is easy to guess is refused with
the reason. Digits that you have stay good beside it; nothing is uploaded again.

Another device's key that is there, of a backup before this one, is not replaced,
unless you say --take-over: that waits some days, in which the other device can stop
it, and is finished by the same command with the same password.

When the operator says that a vault is lost for good, --leave-vault with the card of
the new one puts the key there. The old one is not asked. If it is not lost after
all, it goes on taking attempts at the old password.`,
		Example: `  keepsake password set --server card.json --handle alice@mail.example
  keepsake password set --server card.json --password-file new.txt
  keepsake password set --server new-card.json --leave-vault`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.passwordSet(cmd.Context(), f) },
	}
	f.add(cmd)
	flag(cmd, "password-file", &f.file)
	flag(cmd, "take-over", &f.takeOver)
	flag(cmd, "leave-vault", &f.leave)
	flag(cmd, "yes", &f.yes)
	return cmd
}

func (a *app) passwordSet(ctx context.Context, f passwordFlags) error {
	c := a.client()
	if _, err := c.Config(); err != nil {
		return err
	}
	if st, err := c.VaultState(); err == nil && st.Record != "" && !st.Again {
		if !f.leave {
			return &failure{cli.Failed, "the key of this backup is behind a password already", "for another one: keepsake password change"}
		}
		if err := a.confirmLeave(ctx, st, f); err != nil {
			return err
		}
	}
	return a.putBehind(ctx, c, f)
}

// confirmLeave sees to it that nobody leaves a vault in passing that is not lost.
func (a *app) confirmLeave(ctx context.Context, st *client.VaultState, f passwordFlags) error {
	if f.server == "" {
		return usage("which vault instead? --server is missing", hintServer)
	}
	to, err := readServer(f.server)
	if err != nil {
		return err
	}
	if to.Fleet == st.Server.Fleet {
		return &failure{cli.Failed, "that is the vault which has the key already", "for another password: keepsake password change"}
	}
	left := "the key at " + st.Server.Host() + " is left as it is: if that vault is not lost for good, it goes on taking attempts at the old password"
	switch {
	case f.yes:
		a.msg.Warning("%s", left)
		return nil
	case !a.asks():
		return usage(left+"; not confirmed, nothing was changed", "to go ahead: --yes")
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("%s.\n", left)
	ok, err := t.Confirm(ctx, "Leave it for good?")
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

// putBehind asks for a new password and puts the profile's key behind it.
func (a *app) putBehind(ctx context.Context, c *client.Client, f passwordFlags) error {
	o, err := a.access(ctx, c, f.accessFlags)
	if err != nil {
		return err
	}
	o.Leave = f.leave
	p, err := a.newPassword(ctx, f.file, handleOf(c, o))
	if err != nil {
		return err
	}
	defer p.Wipe()
	done, err := c.SetPassword(ctx, o, p, client.ProtectOptions{TakeOver: f.takeOver})
	if err != nil {
		return err
	}
	result := map[string]any{"password_set": true, "limit": done.Limit, "insecure_vault": done.Insecure}
	return a.emit(result, func(w io.Writer) {
		fmt.Fprintf(w, "The key is behind the password. %s destroy it.\n", cli.Plural(done.Limit, "wrong password", "wrong passwords"))
		fmt.Fprintln(w, noHelp)
		fmt.Fprintln(w, "The 64 digits, if you have them, open the backup too; to see them: keepsake key show")
		a.warnInsecure(done.Insecure)
	})
}

const noHelp = `Whoever loses the password and the 64 digits has lost the backup: nobody can help then.`

func (a *app) warnInsecure(insecure bool) {
	if insecure {
		a.msg.Warning("this vault is insecure by its own word: whoever runs it can undo what it destroys")
	}
}

func handleOf(c *client.Client, o client.Access) string {
	if o.Handle != "" {
		return o.Handle
	}
	if st, err := c.VaultState(); err == nil {
		return st.Handle
	}
	return ""
}

func (a *app) passwordChangeCommand() *cobra.Command {
	var f passwordFlags
	cmd := &cobra.Command{
		Use:   "change",
		Short: "set another password",
		Long: `Sets another password for the key of this backup. The one before is not asked for:
this device keeps the key, and is known to the vault. It holds until the vault has
confirmed the new one; if the line breaks just then, vault status finds out which
of the two holds.`,
		Example: `  keepsake password change
  keepsake password change --password-file new.txt`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			if _, err := c.Config(); err != nil {
				return err
			}
			if !c.BehindPassword() {
				return client.ErrNoPassword
			}
			return a.putBehind(cmd.Context(), c, f)
		},
	}
	f.addKnown(cmd)
	flag(cmd, "password-file", &f.file)
	return cmd
}

func (a *app) passwordCheckCommand() *cobra.Command {
	var f passwordFlags
	var vault bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "find out whether you still know the password",
		Long: `Asks for the password and says whether it is right. This device finds out by itself,
and no attempt is counted. Do it now and then: a password that is forgotten is
noticed while this device can still set another.

With --vault the vault is asked: a wrong password costs one of the attempts there. It
is what makes this device the one that may change the record, after the chats were
restored on another one meanwhile.`,
		Example: `  keepsake password check
  keepsake password check --vault`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.passwordCheck(cmd.Context(), f, vault) },
	}
	f.add(cmd)
	flag(cmd, "password-file", &f.file)
	flag(cmd, "vault", &vault)
	return cmd
}

func (a *app) passwordCheck(ctx context.Context, f passwordFlags, vault bool) error {
	c := a.client()
	if _, err := c.Config(); err != nil {
		return err
	}
	if !vault && f.given() {
		return usage("this device checks the password by itself, and asks no server", "to ask the vault: --vault")
	}
	if !vault {
		return a.remind(ctx, c, f.file)
	}
	o, err := a.access(ctx, c, f.accessFlags)
	if err != nil {
		return err
	}
	p, err := a.enterPassword(ctx, f.file)
	if err != nil {
		return err
	}
	defer p.Wipe()
	r, err := c.TryPassword(ctx, o, p)
	if r != nil {
		a.tellRecovery(r)
	}
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"right": true, "asked_vault": true, "past": pastJSON(r.Past)}, func(w io.Writer) {
		fmt.Fprintln(w, "The password is right: the vault gave the key of this backup.")
	})
}

func (a *app) remind(ctx context.Context, c *client.Client, file string) error {
	if _, err := c.VaultState(); err != nil {
		return err
	}
	p, err := a.enterPassword(ctx, file)
	if err != nil {
		return err
	}
	defer p.Wipe()
	r, err := c.CheckPassword(p)
	if err != nil {
		return err
	}
	if !r.Right {
		return &failure{cli.WrongPassword, "wrong password; nothing was counted: this device checked it by itself", "try again; while this device has the key you can set another: keepsake password change"}
	}
	return a.emit(map[string]any{"right": true, "asked_vault": false, "unsettled": r.Unsettled}, func(w io.Writer) {
		if r.Unsettled {
			fmt.Fprintln(w, "The password is one of the two of a change that was interrupted. Which one holds: keepsake vault status")
			return
		}
		fmt.Fprintln(w, "The password is right.")
	})
}

func (a *app) passwordRemoveCommand() *cobra.Command {
	var f accessFlags
	var d delivery
	cmd := &cobra.Command{
		Use:   "remove (--key | --key-out FILE)",
		Short: "take the key out of the vault; the 64 digits open the backup then",
		Long: `Switches from the password to the 64 digits. The digits are shown and asked for, or
written to a file, first; then the key is deleted at the vault, and the password
opens nothing any more. Nothing is uploaded again.`,
		Example: `  keepsake password remove --key
  keepsake password remove --key-out chats.key`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.passwordRemove(cmd.Context(), f, d) },
	}
	f.addKnown(cmd)
	flag(cmd, "key", &d.show)
	flag(cmd, "key-out", &d.out)
	return cmd
}

func (a *app) passwordRemove(ctx context.Context, f accessFlags, d delivery) error {
	c := a.client()
	if _, err := c.Config(); err != nil {
		return err
	}
	if !c.BehindPassword() {
		return client.ErrNoPassword
	}
	if err := a.deliveryOf(&d); err != nil {
		return err
	}
	o, err := a.access(ctx, c, f)
	if err != nil {
		return err
	}
	err = c.RemovePassword(ctx, o, func(k *key.Key) error { return a.deliver(ctx, k, d) })
	if errors.Is(err, client.ErrNotCounted) {
		a.msg.Warning("you have the digits, but it is not known whether the key was deleted at the vault: the password may open the backup as before. Run this again")
	}
	if err != nil || d.out == "-" {
		return err
	}
	return a.emit(map[string]any{"removed": true}, func(w io.Writer) {
		fmt.Fprintln(w, "The key is deleted at the vault. The 64 digits alone open the backup now.")
	})
}

// deliveryOf chooses the terminal for digits where nothing was said and there is one.
func (a *app) deliveryOf(d *delivery) error {
	if !d.show && d.out == "" {
		if !a.asks() {
			return usage("where shall the 64 digits go?", "at a terminal: --key; in a script: --key-out FILE")
		}
		d.show = true
	}
	return d.check(a)
}

// tellRecovery says what the vault said beside the key.
func (a *app) tellRecovery(r *client.Recovery) {
	a.tellOthers(r.Past)
	if r.Unproved != nil {
		a.msg.Warning("the vault has not confirmed yet that the password was right: attempts stay counted until the next command reaches it (%s)", plain(r.Unproved))
	}
	if r.Renewed {
		a.msg.Note("that was the last attempt: the password was set anew at the vault")
	}
	if r.NotRenewed != nil {
		a.msg.Warning("that was the last attempt, and the vault has destroyed its key: the password opens nothing any more (%s)", plain(r.NotRenewed))
		a.msg.Hint("set it anew from this device: keepsake password change")
	}
}

// tellOthers warns of attempts that were not this device's. On a new phone that is
// every one: the person knows whether he made them.
func (a *app) tellOthers(past []client.Attempt) {
	n := 0
	var last client.Attempt
	for _, p := range past {
		if !p.Mine {
			n, last = n+1, p
		}
	}
	if n == 0 {
		return
	}
	a.msg.Warning("%s at the password from another device since it was last right, the last on %s", cli.Plural(n, "attempt", "attempts"), cli.Time(last.Time))
	a.msg.Hint("if that was not you, somebody is in your account at the server: take it back there, and choose another password: keepsake password change")
}

// recoverKey gets the key by the password. At a terminal a wrong one is asked for
// again while the vault takes attempts at once.
func (a *app) recoverKey(ctx context.Context, c *client.Client, f passwordFlags, o client.RecoverOptions) (*client.Recovery, error) {
	access, err := a.access(ctx, c, f.accessFlags)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		r, err := a.recoverOnce(ctx, c, f.file, access, o)
		if err == nil {
			a.tellRecovery(r)
			return r, nil
		}
		wrong, ok := errors.AsType[*client.WrongPasswordError](err)
		unusable := errors.Is(err, password.ErrUnusable)
		if f.file != "" || !a.asks() || try == maxTries || !unusable && (!ok || wrong.Next.After(a.now())) {
			return nil, err
		}
		a.msg.Error("%s", explain(err).message)
	}
}

func (a *app) recoverOnce(ctx context.Context, c *client.Client, file string, access client.Access, o client.RecoverOptions) (*client.Recovery, error) {
	p, err := a.enterPassword(ctx, file)
	if err != nil {
		return nil, err
	}
	defer p.Wipe()
	return c.Recover(ctx, access, p, o)
}
