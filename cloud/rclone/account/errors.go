package account

import (
	"errors"

	"keepsake.example/cloud"
)

// kind is a sentinel that is also one of package cloud's kinds of errors, so
// that a store which cannot be opened for want of a sign-in is denied access.
type kind struct {
	text string
	is   error
}

func (k *kind) Error() string { return k.text }
func (k *kind) Unwrap() error { return k.is }

// Errors of this package.
var (
	// ErrNotLoggedIn means that there is no account for the destination.
	ErrNotLoggedIn error = &kind{"account: not signed in", cloud.ErrDenied}
	// ErrDamaged means that what is kept of an account cannot be read.
	ErrDamaged error = &kind{"account: what is kept of this sign-in is damaged", cloud.ErrDenied}
	// ErrExposed means that others of this device can read the file of an
	// account that is not sealed by the keyring.
	ErrExposed error = &kind{"account: others can read the file of this sign-in", cloud.ErrDenied}
	// ErrKeyring means that there is no system keyring, or that it does not
	// open.
	ErrKeyring error = &kind{"account: the system keyring does not answer", cloud.ErrDenied}
	// ErrKeyMissing means that the keyring does not have the secret.
	ErrKeyMissing error = &kind{"account: the system keyring no longer has the key of this sign-in", cloud.ErrDenied}
	// ErrRefused means that the person, or the provider, said no to the
	// sign-in: consent not given.
	ErrRefused error = &kind{"account: the sign-in was refused", cloud.ErrDenied}
	// ErrWrongSecret means that the provider does not take the password, key
	// or code.
	ErrWrongSecret error = &kind{"account: the provider does not accept this password, key or code", cloud.ErrDenied}
	// errCode is the one of a second factor.
	errCode error = &kind{"account: the code is wrong or too old", ErrWrongSecret}
	// ErrHostKey means that a server shows another key than the one known.
	ErrHostKey error = &kind{"account: the server shows another host key than the one this device knows", cloud.ErrDenied}
	// ErrBusy means that another process is using the account for too long.
	ErrBusy = errors.New("account: another process is holding this sign-in")
	// ErrUnanswered means that a question was not answered as it must be to go
	// on.
	ErrUnanswered = errors.New("account: not confirmed or not answered, nothing was changed")
	// ErrUnknownProvider means that there is no way to sign in to such a
	// destination: a folder, an rclone remote, a kind this version does not
	// know.
	ErrUnknownProvider = errors.New("account: there is nothing to sign in to")
)
