package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/lib/oauthutil"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
)

const driveText = `Keepsake will ask Google for access to files that it makes itself, and to nothing else
in your Drive. Deleting its folder in the Drive deletes the backups. Another client id does
not see them: write yours down with the digits.

`

const allFilesText = `Keepsake will ask Google for access to your whole Drive. Only backups that were made under
another client id need that: to restore them, or to copy them to a place of their own.

`

const appDataText = `Keepsake will ask Google for a hidden folder of its own, and for nothing else in your Drive.
Nobody can delete it by mistake among other files. But Google deletes all of it when the
app is disconnected from the account, at once and without a trash; and it belongs to the
client id: with another client id it is another folder.

`

const clientText = `Google counts requests for each client id, and asks who is asking. rclone's shared client id is
being retired during 2026: with it, backups may stop from one day to the next. To make your
own takes ten minutes and costs nothing: see doc/clouds.md, "A client id of your own".

`

// drive signs in to Google Drive.
func (f *flow) drive(ctx context.Context) error {
	f.options["scope"] = "drive.file"
	text := driveText
	switch {
	case f.AppData:
		f.options["scope"], text = "drive.appfolder", appDataText
	case f.AllFiles:
		f.options["scope"], text = "drive", allFilesText
	}
	f.Tell(text)
	if err := f.askClient(ctx); err != nil {
		return err
	}
	return f.browser(ctx)
}

// askClient asks for a client id of the person's own, unless it was given, or the
// shared one was chosen.
func (f *flow) askClient(ctx context.Context) (err error) {
	if f.ClientID != "" || f.SharedClientID {
		return nil
	}
	f.Tell(clientText)
	if f.ClientID, err = f.Ask(ctx, "Your client id (empty for rclone's shared one): "); err != nil {
		return err
	}
	if f.ClientID == "" {
		return nil
	}
	f.ClientSecret, err = f.AskSecret(ctx, "Its client secret: ")
	return err
}

// onedrive signs in to OneDrive, without the right to search the sites of an
// organisation, which many do not give.
func (f *flow) onedrive(ctx context.Context) error {
	f.options["access_scopes"] = "Files.Read Files.ReadWrite Files.Read.All Files.ReadWrite.All offline_access"
	return f.browser(ctx)
}

const page = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Keepsake</title></head>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto">
{{ if .OK }}<h1>Signed in</h1><p>You can close this page and go back to Keepsake.</p>
{{ else }}<h1>Not signed in</h1><p>{{ .Name }}</p>{{ if .Description }}<p>{{ .Description }}</p>{{ end }}
<p>Nothing was changed. Go back to Keepsake to try again.</p>{{ end }}
</body></html>
`

// browserWait is how long a person has for the provider's page: finding a
// password takes a while, and a window that was closed is not told to us.
const browserWait = 15 * time.Minute

// errSlow is no answer in that time.
var errSlow = fmt.Errorf("%w: no answer came from the browser within %v", ErrUnanswered, browserWait)

// openURL is rclone's one way to open a browser, for all of a process.
var openURL sync.Mutex

// browser signs in at the provider's own page: rclone listens on loopback
// (127.0.0.1:53682) for the answer, which the browser is redirected to.
func (f *flow) browser(ctx context.Context) error {
	if f.ClientID != "" {
		f.options["client_id"], f.options["client_secret"] = f.ClientID, f.ClientSecret.reveal()
		if f.ClientSecret.Empty() {
			delete(f.options, "client_secret")
		}
		f.ClientSecret.Wipe()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, browserWait, errSlow)
	defer cancel()
	openURL.Lock()
	defer openURL.Unlock()
	before := oauthutil.OpenURL
	defer func() { oauthutil.OpenURL = before }()
	answers := configmap.Simple{
		"config_template": page, "config_refresh_token": "true", "config_is_local": "true",
		"config_shared_client_id": "true", "config_change_team_drive": "false",
		"config_type": "onedrive", "config_drive_ok": "true",
	}
	var err error
	if f.Headless {
		err = f.headless(ctx, answers)
	} else {
		oauthutil.OpenURL = f.show
		err = f.configure(ctx, answers)
	}
	if err != nil {
		return err
	}
	return f.tryToken(ctx)
}

// show opens the browser. That it cannot is no error: the person can.
func (f *flow) show(address string) error {
	f.Tell("Your browser opens to sign in. If it does not, open this address in a browser of this\ncomputer; if it has none, press Ctrl-C and add --headless.\n\n  " + address + "\n\nWaiting for the answer. What is said here counts, not the browser's last page.\n")
	if err := f.Browse(address); err != nil {
		f.Tell("The browser could not be opened: " + err.Error() + "\n")
	}
	return nil
}

// tryToken sees whether the token just given is good: for the scopes asked for
// and for the interface (which a client id of one's own may not have switched on).
func (f *flow) tryToken(ctx context.Context) error {
	c, err := f.config()
	if err != nil {
		return err
	}
	if err := rclone.Probe(ctx, c); err != nil {
		return fmt.Errorf("the provider gave access, and does not let it be used: %w", err)
	}
	f.tried = true
	return nil
}

// signInError gives what went wrong in rclone's flows a kind. They have texts
// only: the lines quoted are of rclone 1.76.0.
func signInError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := err.Error()
	for _, row := range signInTexts {
		if strings.Contains(text, row.part) {
			return fmt.Errorf("%w%s", row.is, row.more)
		}
	}
	err = rclone.Classify(ctx, "", err)
	if errors.Is(err, cloud.ErrDenied) {
		return wrongSecret(err)
	}
	return err
}

var signInTexts = []struct {
	part string
	is   error
	more string
}{
	// lib/oauthutil: AuthResult.Error, of what the provider's redirect says.
	{"No code returned by remote server: access_denied", ErrRefused, ": consent was not given"},
	{"No code returned by remote server", ErrRefused, ": the provider's page ended without a code"},
	{"Auth state doesn't match", ErrRefused, ": the answer belongs to another sign-in"},
	{"failed to start auth webserver", ErrBusy, ": port 53682 of this computer is in use, perhaps by another sign-in"},
	// golang.org/x/oauth2: RetrieveError, of the exchange of the code.
	{"invalid_client", ErrWrongSecret, ": the client id or its secret is wrong"},
	{"unauthorized_client", ErrWrongSecret, ": the client id may not do this"},
	{"invalid_grant", ErrWrongSecret, ": the code was used before, or is too old"},
	// backend/iclouddrive/api.
	{"-20209", ErrRefused, ": Apple has locked this account; unlock it at iforgot.apple.com"},
	{"-20101", ErrWrongSecret, ": the Apple ID or its password is wrong"},
	// rclone says so of 403, which is not what a wrong password gets (401, -20101):
	// the account is locked (-20209) or no longer in use (-20751).
	{"sign in failed: incorrect username or password", ErrRefused, ": Apple has locked this account, or closed it; see iforgot.apple.com"},
	{"validate2FACode failed", errCode, ""},
	{"validateSMSCode", errCode, ""},
}
