package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/config/obscure"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
)

// A Person answers the questions of a sign-in.
type Person interface {
	// Tell shows a text of one line or more.
	Tell(text string)
	// Ask asks for something that may be seen while it is typed.
	Ask(ctx context.Context, question string) (string, error)
	// AskSecret asks for something that must not be seen; it may be longer
	// than a line of a terminal.
	AskSecret(ctx context.Context, question string) (Secret, error)
	// Confirm asks a question of two answers.
	Confirm(ctx context.Context, question string) (bool, error)
	// Browse opens an address in the person's browser.
	Browse(address string) error
}

// A Request says what to sign in to, and how. Only Destination is needed; what is
// left out is asked for, or has a default.
type Request struct {
	Destination cloud.Destination // see ParseLogin
	Kept        string            // InKeyring, InFile, or "" for the keyring if there is one

	Secret       Secret // password, secret key, or passphrase of the key file
	User         string // of WebDAV; the Apple ID; the key's id of S3 and B2
	ClientID     string // of OAuth: the person's own
	ClientSecret Secret
	// SharedClientID says yes to rclone's own client id of Google.
	SharedClientID bool
	Headless       bool // no browser on this computer
	AppData        bool // Google: the hidden folder of the app
	AllFiles       bool // Google: also files made under another client id

	FromEnvironment bool   // S3: credentials from AWS_* or ~/.aws at each use
	Region, Vendor  string // S3, WebDAV
	KeyFile         string // SFTP
	Agent           bool   // SFTP: the SSH agent
	KnownHosts      string // SFTP: path, "" for ~/.ssh/known_hosts
	HostKey         string // SFTP: the fingerprint expected ("SHA256:…"), so that nothing is asked
}

// A Result says what was signed in to.
type Result struct {
	Login string `json:"login"`
	Name  string `json:"provider"`
	Kept  string `json:"kept"`
	File  string `json:"file"`
	// Tried says that the provider has accepted the sign-in; without it only
	// its first use will tell.
	Tried bool `json:"tried"`
}

// flow is one sign-in under way.
type flow struct {
	Request
	Person
	provider Provider
	info     *fs.RegInfo
	options  map[string]string
	tried    bool
}

// Login signs in, and keeps it in place of a sign-in there was. Nothing is
// changed unless it succeeds. Errors are ErrRefused, ErrWrongSecret,
// ErrHostKey, ErrUnanswered, those of the Person, and of package cloud.
func (a *Accounts) Login(ctx context.Context, r Request, p Person) (Result, error) {
	provider, ok := providerOf(r.Destination.Kind)
	if !ok {
		return Result{}, ErrUnknownProvider
	}
	// Else RCLONE_NO_CHECK_CERTIFICATE and RCLONE_DUMP of a person who uses
	// rclone would hold while tokens and passwords are on their way; and
	// rclone's notices, which speak of its own commands, would be seen.
	if err := rclone.Configure(rclone.Network{}); err != nil {
		return Result{}, err
	}
	info, err := fs.Find(provider.backend)
	if err != nil {
		return Result{}, fmt.Errorf("account: %w", err)
	}
	f := &flow{Request: r, Person: p, provider: provider, info: info, options: map[string]string{}}
	if provider.Experimental != "" {
		p.Tell("Experimental: " + provider.Experimental + ".\n")
	}
	if err := provider.login(f, ctx); err != nil {
		return Result{}, err
	}
	login := r.Destination.Login()
	kept, err := a.save(ctx, login, provider.backend, r.Kept, f.options)
	if err != nil {
		return Result{}, err
	}
	return Result{Login: login, Name: provider.Name, Kept: kept, File: a.path(login), Tried: f.tried}, nil
}

// maxTries is how often a password or code may be typed wrongly.
const maxTries = 3

// secret gives what the caller brought along, or asks.
func (f *flow) secret(ctx context.Context, question string) (Secret, error) {
	if !f.Secret.Empty() {
		return f.Secret, nil
	}
	s, err := f.AskSecret(ctx, question)
	if err == nil && s.Empty() {
		err = ErrUnanswered
	}
	return s, err
}

// user likewise.
func (f *flow) user(ctx context.Context, question, preset string) (string, error) {
	if f.User != "" {
		return f.User, nil
	}
	answer, err := f.Ask(ctx, question)
	if err == nil && answer == "" {
		answer = preset
	}
	if err == nil && answer == "" {
		err = ErrUnanswered
	}
	return answer, err
}

// tries asks for the secret and signs in with it, again when it is wrong. take
// puts the secret into the options.
func (f *flow) tries(ctx context.Context, question string, take func(secret string) error) error {
	for try := 1; ; try++ {
		s, err := f.secret(ctx, question)
		if err != nil {
			return err
		}
		if err = take(s.reveal()); err == nil {
			err = f.try(ctx)
		}
		if !errors.Is(err, ErrWrongSecret) || try == maxTries || !f.Secret.Empty() {
			s.Wipe()
			return err
		}
		s.Wipe()
		f.Tell("That is not accepted. Once more:\n")
	}
}

// takePassword puts a secret into an option as rclone keeps passwords: obscured,
// which hides it from a glance at a screen and nothing else.
func (f *flow) takePassword(option string) func(string) error {
	return func(secret string) error {
		text, err := obscure.Obscure(secret)
		if err != nil {
			return fmt.Errorf("account: %w", err)
		}
		f.options[option] = text
		return nil
	}
}

// try asks the provider for the destination with the options there are.
func (f *flow) try(ctx context.Context) error {
	c, err := f.config()
	if err != nil {
		return err
	}
	err = rclone.Probe(ctx, c)
	if f.Destination.Path == "" && isLimited(err) {
		return nil // as it should be; there is no bucket yet to try it with
	}
	f.tried = err == nil
	return wrongSecret(err)
}

// isLimited says that the provider knows who asks, and does not let him list all
// buckets: a key for one bucket only. The texts are S3's code of it and what B2
// says (b2_list_buckets, "unauthorized for application key with capabilities").
func isLimited(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "AccessDenied") || strings.Contains(err.Error(), "application key with capabilities"))
}

// wrongSecret says that a provider who denies access to what was just typed
// does not accept it.
func wrongSecret(err error) error {
	if errors.Is(err, cloud.ErrDenied) {
		return fmt.Errorf("%w: %w", ErrWrongSecret, err)
	}
	return err
}

// config is that of a store, before the account is saved.
func (f *flow) config() (rclone.Config, error) {
	extra, root := place(f.Destination, f.options)
	options := maps.Clone(f.options)
	maps.Copy(options, extra)
	return rclone.Config{Backend: f.provider.backend, Root: root, Options: options, Login: f.Destination.Login()}, nil
}

// configMap is what rclone's flows read from and write to: the answers, then the
// options collected so far, then the defaults. Nothing of rclone's configuration
// file or of its environment variables has a part in it.
func (f *flow) configMap(answers configmap.Simple) *configmap.Map {
	return configmap.New().
		AddGetter(answers, configmap.PriorityNormal).
		AddGetter(configmap.Simple(f.options), configmap.PriorityConfig).
		AddGetter(defaults{f.info}, configmap.PriorityDefault).
		AddSetter(configmap.Simple(f.options))
}

type defaults struct{ info *fs.RegInfo }

// Get gives the default of an option.
func (d defaults) Get(name string) (string, bool) {
	if o := d.info.Options.Get(name); o != nil {
		return o.String(), true
	}
	return "", false
}

// configure walks through rclone's own flow for the back end. answers are given
// without asking.
func (f *flow) configure(ctx context.Context, answers configmap.Simple) error {
	m := f.configMap(answers)
	in := fs.ConfigIn{}
	for wrong := 0; ; {
		out, err := fs.BackendConfig(ctx, remoteName(f.Destination.Login()), m, f.info, answers, in)
		err = signInError(ctx, err)
		var question *fs.Option
		switch {
		case err == nil && (out == nil || out.State == ""):
			return nil
		case err == nil:
			if out.Error != "" {
				f.Tell(out.Error + "\n")
			}
			in.State, question = out.State, out.Option
		case errors.Is(err, errCode) && f.options["_auth_session"] != "" && wrong+1 < maxTries:
			wrong++
			f.Tell("That is not accepted. Once more:\n")
			question = &fs.Option{Name: "config_again", Help: "The code"}
		default:
			return err
		}
		if in.Result, err = f.answer(ctx, question); err != nil {
			return err
		}
	}
}

// remoteName is what package rclone calls the account: the name under which
// iCloud's back end caches a session, which a new sign-in must end.
func remoteName(login string) string { return "keepsake-" + login }
