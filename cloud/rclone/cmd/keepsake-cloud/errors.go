package main

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/account"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

// An explanation says for one kind of error how the command ends and what the
// person can do. LOGIN in a hint stands for what was signed in to.
type explanation struct {
	is   error
	exit cli.Exit
	hint string
}

// explanations are tried in this order.
var explanations = []explanation{
	{errInterrupted, cli.Interrupted, ""},
	{context.Canceled, cli.Interrupted, ""},
	{cli.ErrInterrupted, cli.Interrupted, ""},
	{cli.ErrNoTerminal, cli.Usage, "run this at a terminal, or give the answer with a flag: keepsake-cloud help login"},

	{account.ErrUnknownProvider, cli.Usage, "one signs in to: gdrive, icloud, dropbox, onedrive, b2, s3, s3+https://HOST, webdav+https://HOST, sftp://USER@HOST. A folder needs no sign-in, and a remote of rclone has its own: rclone config"},
	{account.ErrUnanswered, cli.Usage, ""},
	{account.ErrBusy, cli.Busy, "wait until it has ended, and try again"},
	{account.ErrNotLoggedIn, cli.Login, "sign in with: keepsake cloud login LOGIN"},
	{account.ErrHostKey, cli.Login, "somebody may be between you and the server. If its owner says that the key was changed, remove the old one (ssh-keygen -R HOST) and sign in again: keepsake cloud login LOGIN"},
	{account.ErrWrongSecret, cli.Login, "try again: keepsake cloud login LOGIN"},
	{account.ErrRefused, cli.Login, "nothing was changed. To try again: keepsake cloud login LOGIN"},
	{account.ErrKeyMissing, cli.Login, "sign in again: keepsake cloud login LOGIN"},
	{account.ErrKeyring, cli.Login, "unlock the keyring (a desktop does at login), or keep the sign-in in a file: keepsake cloud login LOGIN --store file"},
	{account.ErrExposed, cli.Login, "chmod 600 that file; if somebody may have read it, take the access back at the provider and sign in again: keepsake cloud login LOGIN"},
	{account.ErrDamaged, cli.Damaged, "sign in again: keepsake cloud login LOGIN"},

	{cloud.ErrUnreachable, cli.Unreachable, "is the network up, the name of the server right? Try again then"},
	{cloud.ErrThrottled, cli.Unreachable, "try again later"},
	{cloud.ErrFull, cli.NoRoom, "make room in the cloud"},
	{cloud.ErrDenied, cli.Login, "if access was taken back or has expired, sign in again: keepsake cloud login LOGIN"},
	{cloud.ErrNotExist, cli.NotFound, ""},
	{fs.ErrPermission, cli.NoRoom, "check the permissions of that file or folder"},
	{fs.ErrNotExist, cli.NotFound, ""},
}

// explain turns any error into a failure.
func (a *app) explain(err error) *command.Failure {
	if e, ok := errors.AsType[*cloud.DestinationError](err); ok {
		return &command.Failure{Exit: exit(cli.Usage), Message: plain(err), Hint: e.Hint}
	}
	for _, e := range explanations {
		if errors.Is(err, e.is) {
			hint := e.hint
			if strings.Contains(err.Error(), "keepsake cloud login") {
				hint = "" // has been said
			}
			if strings.Contains(err.Error(), "this device's clock is") {
				hint = "compare the two with a clock you trust, and set right the one that is wrong; the sign-in is in order"
			}
			if a.login == "" && strings.Contains(hint, "LOGIN") {
				hint = strings.ReplaceAll(hint, "LOGIN", "DEST")
			}
			return &command.Failure{Exit: exit(e.exit), Message: plain(err), Hint: strings.ReplaceAll(hint, "LOGIN", cli.Name(a.login))}
		}
	}
	return &command.Failure{Exit: exit(cli.Failed), Message: plain(err)}
}

// plain drops the names of packages from an error's text, and says once what
// layers repeat.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"account: ", "cloud/rclone: ", "cloud: "} {
		text = strings.ReplaceAll(text, prefix, "")
	}
	if errors.Is(err, account.ErrWrongSecret) {
		text = strings.Replace(text, "access denied: ", "", 1) // has been said
	}
	if errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled) || errors.Is(err, cli.ErrInterrupted) {
		return "interrupted, nothing was changed"
	}
	return text
}
