package account

import (
	"errors"
	"fmt"
	"time"

	"github.com/zalando/go-keyring"
)

// A Keyring keeps small secrets for the user who is signed in.
type Keyring interface {
	// Get gives a secret; ErrKeyMissing when there is none.
	Get(service, user string) (string, error)
	// Set keeps a secret, in place of the one before.
	Set(service, user, secret string) error
	// Delete forgets a secret; ErrKeyMissing when there is none.
	Delete(service, user string) error
}

// SystemKeyring is the one of the system: Keychain on macOS, Credential
// Manager on Windows, the Secret Service (GNOME Keyring, KWallet) elsewhere. A
// call that is not answered within 30 seconds fails: a desktop that asks a
// person who is not there must not hold up a nightly backup for ever.
func SystemKeyring() Keyring { return systemKeyring{} }

type systemKeyring struct{}

const (
	keyringService = "keepsake-cloud"
	keyringWait    = 30 * time.Second
)

func (systemKeyring) Get(service, user string) (string, error) {
	return await(func() (string, error) { return keyring.Get(service, user) })
}

func (systemKeyring) Set(service, user, secret string) error {
	_, err := await(func() (string, error) { return "", keyring.Set(service, user, secret) })
	return err
}

func (systemKeyring) Delete(service, user string) error {
	_, err := await(func() (string, error) { return "", keyring.Delete(service, user) })
	return err
}

// await runs f for keyringWait at most. A panic of the D-Bus library is an
// error too: it must not end a program that can do without a keyring.
func await(f func() (string, error)) (string, error) {
	type answer struct {
		secret string
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if r := recover(); r != nil {
				a = answer{err: fmt.Errorf("panic: %v", r)}
			}
			got <- a
		}()
		a.secret, a.err = f()
	}()
	select {
	case a := <-got:
		return a.secret, keyringError(a.err)
	case <-time.After(keyringWait):
		return "", fmt.Errorf("%w: no answer", ErrKeyring)
	}
}

func keyringError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return ErrKeyMissing
	}
	return fmt.Errorf("%w: %w", ErrKeyring, err)
}
