package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

// accessFlags are how the vault is reached and the person let in. What is not given
// is as the profile remembers it.
type accessFlags struct {
	server, handle, codeFile, tokenFile string
	acceptInsecure                      bool
	secrets                             string // where a new device keeps its secrets, as --key-store
}

// add adds the flags of a command that may meet the server for the first time.
func (f *accessFlags) add(cmd *cobra.Command) {
	flag(cmd, "server", &f.server)
	flag(cmd, "handle", &f.handle)
	flag(cmd, "code-file", &f.codeFile)
	flag(cmd, "token-file", &f.tokenFile)
	flag(cmd, "accept-insecure-vault", &f.acceptInsecure)
}

// addKnown adds those of a command for which the profile knows the server.
func (f *accessFlags) addKnown(cmd *cobra.Command) { flag(cmd, "code-file", &f.codeFile) }

func (f *accessFlags) given() bool { return *f != accessFlags{} }

const hintServer = "give the card that comes with the application or from the operator: --server FILE"

// access makes what the client needs. A new device has to say which server it is, and
// who the person is there.
func (a *app) access(ctx context.Context, c *client.Client, f accessFlags) (client.Access, error) {
	if f.handle != "" && f.tokenFile != "" {
		return client.Access{}, usage("--handle logs in at the server's own issuer, --token-file brings tokens of another one", "choose one of them")
	}
	o := client.Access{Handle: f.handle, TokenFile: f.tokenFile, AcceptInsecure: f.acceptInsecure, Code: a.code(f), Secrets: f.secrets}
	if cfg, err := c.Config(); err == nil {
		o.Secrets = cfg.KeyStore // beside the key
	}
	known, err := c.VaultState()
	if err != nil && !errors.Is(err, client.ErrNoVault) {
		return o, err
	}
	if f.server != "" {
		if o.Server, err = readServer(f.server); err != nil {
			return o, err
		}
	} else if known == nil {
		return o, usage("which vault? --server is missing", hintServer)
	}
	if f.handle == "" && f.tokenFile == "" && (known == nil || known.Handle == "" && known.TokenFile == "") {
		server := o.Server
		if server == nil {
			server = known.Server
		}
		o.Handle, err = a.askHandle(ctx, server)
	}
	return o, err
}

// readServer reads a server card: a file, or URL#FLEET.
func readServer(text string) (*client.Server, error) {
	if address, id, ok := strings.Cut(text, "#"); ok && strings.HasPrefix(address, "https://") {
		return client.NewServer(address, id, "")
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return nil, fmt.Errorf("reading the server card: %w", err)
	}
	return client.ParseServer(data)
}

func (a *app) askHandle(ctx context.Context, s *client.Server) (string, error) {
	if !a.asks() {
		return "", usage("who are you at "+s.Host()+"? --handle is missing", "give the name you have there, an address of mail usually: --handle NAME")
	}
	t, err := a.terminal()
	if err != nil {
		return "", err
	}
	defer t.Close()
	handle, err := t.Ask(ctx, "Your name at "+s.Host()+", an address of mail usually: ")
	if err == nil && handle == "" {
		err = errDeclined
	}
	return handle, err
}

// code gets the one-time code: from a file, or from the person. nil stands for nobody
// to ask.
func (a *app) code(f accessFlags) func(context.Context, string) (string, error) {
	switch {
	case f.codeFile != "":
		return func(context.Context, string) (string, error) {
			text, err := a.readSmall(f.codeFile, "the code")
			return strings.TrimSpace(string(text)), err
		}
	case !a.asks():
		return nil
	}
	return func(ctx context.Context, handle string) (string, error) {
		t, err := a.terminal()
		if err != nil {
			return "", err
		}
		defer t.Close()
		t.Print("A code is on its way to %s.\n", cli.Name(handle))
		code, err := t.Ask(ctx, "Type the code: ")
		if err == nil && code == "" {
			err = errDeclined
		}
		return code, err
	}
}

func (a *app) loginCommand() *cobra.Command {
	var f accessFlags
	cmd := &cobra.Command{
		Use:   "login",
		Short: "log in at the server of the vault",
		Long: `Logs in at the server through which the vault is reached. A code is sent to you, and
asked for; after that this device stays logged in. Other commands ask by
themselves when they need it: this one is for scripts, and for a new account.

What is not given is as this device remembers it. The card of the server names the
vault that is to be trusted, by its fleet id; take it from the application or the
operator, never from the server itself. Operators with an issuer of their own let
their program keep the tokens in --token-file, {"chatd": "...", "vault": "..."}.`,
		Example: `  keepsake login --server card.json --handle alice@mail.example
  keepsake login --server https://chat.example#4f2a... --token-file tokens.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), f) },
	}
	f.add(cmd)
	return cmd
}

func (a *app) login(ctx context.Context, f accessFlags) error {
	c := a.client()
	o, err := a.access(ctx, c, f)
	if err != nil {
		return err
	}
	st, err := c.Login(ctx, o)
	if err != nil {
		return err
	}
	return a.emit(map[string]any{"server": st.Server.URL, "handle": st.Handle}, func(w io.Writer) {
		fmt.Fprintf(w, "Logged in at %s%s.\n", st.Server.Host(), as(st))
	})
}

func as(st *client.VaultState) string {
	if st.Handle == "" {
		return ""
	}
	return " as " + cli.Name(st.Handle)
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "forget the login at the server of the vault",
		Long: `Forgets the login. The backup goes on: it does not need the vault. The next command
that does asks for a code again. What the vault keeps stays.`,
		Example: `  keepsake logout`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			had, err := a.client().Logout()
			if err != nil {
				return err
			}
			return a.emit(map[string]bool{"was_logged_in": had}, func(w io.Writer) {
				fmt.Fprintln(w, map[bool]string{true: "Logged out.", false: "Nobody was logged in."}[had])
			})
		},
	}
}
