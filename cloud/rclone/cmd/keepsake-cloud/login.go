package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/account"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

// login signs in.
func login(a *app, ctx context.Context, o *options) error {
	d, err := account.ParseLogin(o.args[0])
	if err != nil {
		return err
	}
	a.login = d.Login()
	if o.store != "" && o.store != account.InKeyring && o.store != account.InFile {
		return command.Usage("--store is keyring or file", "")
	}
	if o.appData && o.allFiles {
		return command.Usage("--app-data and --all-files exclude each other", "")
	}
	r := account.Request{
		Destination: d, Kept: o.store, User: o.user, ClientID: o.clientID, SharedClientID: o.sharedClient,
		Headless: o.headless, AppData: o.appData, AllFiles: o.allFiles, FromEnvironment: o.environment,
		Region: o.region, Vendor: o.vendor, KeyFile: o.keyFile, Agent: o.agent, KnownHosts: o.knownHosts, HostKey: o.hostKey,
	}
	if r.Secret, err = a.secretFrom(o.secret); err != nil {
		return err
	}
	defer r.Secret.Wipe()
	p := &person{err: a.Err}
	defer p.Close()
	if r.ClientSecret, err = a.clientSecret(ctx, o, p); err != nil {
		return err
	}
	result, err := a.accounts.Login(ctx, r, p)
	if err != nil {
		return err
	}
	return a.Emit(result, func(w io.Writer) { printLogin(w, d, o.store, result) })
}

func printLogin(w io.Writer, d cloud.Destination, wanted string, r account.Result) {
	fmt.Fprintf(w, "Signed in to %s as %s", r.Name, r.Login)
	if !r.Tried {
		fmt.Fprint(w, " (not tried yet)")
	}
	fmt.Fprintln(w, ".")
	how := "which only you can read, as there is no system keyring here that answers"
	switch {
	case r.Kept == account.InKeyring:
		how = "sealed by a key in the system keyring"
	case wanted == account.InFile:
		how = "which only you can read"
	}
	fmt.Fprintf(w, "Kept in %s,\n%s.\n", r.File, how)
	fmt.Fprintf(w, "Try it with: keepsake cloud check %s\n", example(d))
}

// example gives a destination to try, with a place where there is none yet.
func example(d cloud.Destination) string {
	if d.Path == "" || d.Path == "/" {
		d.Path = "Keepsake" // of SFTP: below the user's folder
		if d.Kind == cloud.KindS3 || d.Kind == cloud.KindB2 {
			d.Path = "BUCKET/Keepsake"
		}
	}
	return d.String()
}

// clientSecret reads the secret of the person's own client id, or asks for it.
func (a *app) clientSecret(ctx context.Context, o *options, p *person) (account.Secret, error) {
	if o.clientSecret != "" {
		return a.secretFrom(o.clientSecret)
	}
	if o.clientID == "" {
		return account.Secret{}, nil
	}
	return p.AskSecret(ctx, "The client secret (empty if there is none): ")
}

// maxSecret bounds a secret that comes from a file, in bytes.
const maxSecret = 64 << 10

// secretFrom reads a secret from a file: all of it but one line end.
func (a *app) secretFrom(path string) (account.Secret, error) {
	if path == "" {
		return account.Secret{}, nil
	}
	r := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return account.Secret{}, fmt.Errorf("reading the secret: %w", err)
		}
		defer f.Close()
		r = f
	}
	text, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return account.Secret{}, fmt.Errorf("reading the secret: %w", err)
	}
	if len(text) > maxSecret {
		return account.Secret{}, command.Usage(fmt.Sprintf("the secret is longer than %d bytes", maxSecret), "")
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return account.Secret{}, command.Usage("the file of the secret is empty", "")
	}
	return account.NewSecret(text), nil
}

// list lists the sign-ins.
func list(a *app, _ context.Context, _ *options) error {
	all, err := a.accounts.List()
	if err != nil {
		return err
	}
	result := map[string]any{"logins": append([]account.Info{}, all...)}
	return a.Emit(result, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "No sign-in is kept. Sign in with: keepsake cloud login gdrive")
			return
		}
		table := cli.NewTable("login", "since", "changed", "kept in", "")
		for _, i := range all {
			table.Row(cli.Name(i.Login), cli.Time(i.Since), cli.Time(i.Changed), i.Kept, cli.Name(i.Problem))
		}
		table.Write(w)
	})
}

// logout forgets a sign-in.
func logout(a *app, ctx context.Context, o *options) error {
	a.login = o.args[0]
	name, provider := o.args[0], account.Provider{}
	if d, err := account.ParseLogin(o.args[0]); err == nil {
		name = d.Login()
		provider, _ = account.ProviderOf(d.Kind)
	}
	a.login = name
	if !a.accounts.Has(name) {
		return account.ErrNotLoggedIn
	}
	if err := a.confirmLogout(ctx, o, name); err != nil {
		return err
	}
	err := a.accounts.Remove(ctx, name)
	if errors.Is(err, account.ErrKeyring) && !a.accounts.Has(name) {
		return command.Fail(exit(cli.Login), "signed out of "+cli.Name(name)+", but the key of the sign-in is still in the system keyring, which does not answer: with it a copy of the file could be opened",
			"unlock the keyring, and delete what is called keepsake-cloud in it; or take the access back at the provider")
	}
	if err != nil {
		return err
	}
	return a.Emit(map[string]string{"login": name, "revoke": provider.Revoke}, func(w io.Writer) {
		fmt.Fprintf(w, "Signed out of %s on this device.\n", cli.Name(name))
		if provider.Revoke != "" {
			fmt.Fprintf(w, "To take back the access at the provider too: %s\n", provider.Revoke)
		}
	})
}

func (a *app) confirmLogout(ctx context.Context, o *options, name string) error {
	if o.yes {
		return nil
	}
	p := &person{err: a.Err}
	defer p.Close()
	p.Tell("Backups there stay as they are, and can be neither made nor restored until you sign in again.\n")
	yes, err := p.Confirm(ctx, "Forget the sign-in "+cli.Name(name)+"?")
	if errors.Is(err, cli.ErrNoTerminal) {
		return command.Usage("no terminal to ask at", "to sign out without a question: --yes")
	}
	if err == nil && !yes {
		err = account.ErrUnanswered
	}
	return err
}
