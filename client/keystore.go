package client

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/zalando/go-keyring"

	"keepsake.example/backup"
	"keepsake.example/internal/durable"
	"keepsake.example/key"
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

// SystemKeyring is the one of the system: Keychain on macOS, Credential Manager on
// Windows, the Secret Service (GNOME Keyring, KWallet) elsewhere. A call that is
// not answered within 30 seconds fails: a desktop that asks a person who is
// not there must not hold up a nightly backup for ever.
func SystemKeyring() Keyring { return systemKeyring{} }

type systemKeyring struct{}

const (
	keyringService = "keepsake"
	keyringWait    = 30 * time.Second
)

func (systemKeyring) Get(service, user string) (secret string, err error) {
	type answer struct {
		secret string
		err    error
	}
	got := make(chan answer, 1)
	go func() {
		var a answer
		a.err = backup.Guard(func() (err error) {
			a.secret, err = keyring.Get(service, user)
			return err
		})
		got <- a
	}()
	select {
	case a := <-got:
		return a.secret, keyringError(a.err)
	case <-time.After(keyringWait):
		return "", fmt.Errorf("%w: no answer", ErrKeyring)
	}
}

func (systemKeyring) Set(service, user, secret string) error {
	return await(func() error { return keyring.Set(service, user, secret) })
}

func (systemKeyring) Delete(service, user string) error {
	return await(func() error { return keyring.Delete(service, user) })
}

func await(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- backup.Guard(f) }()
	select {
	case err := <-done:
		return keyringError(err)
	case <-time.After(keyringWait):
		return fmt.Errorf("%w: no answer", ErrKeyring)
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

// A slot is one of the two keys a profile can hold.
type slot string

const (
	currentKey slot = "key"
	nextKey    slot = "key.new" // while a rotation is under way
)

// saveKey keeps k where cfg says.
func (c *Client) saveKey(cfg *Config, s slot, k *key.Key) error {
	text := make([]byte, 0, 2*key.Size+1)
	k.Use(func(b *[key.Size]byte) { text = hex.AppendEncode(text, b[:]) })
	defer clear(text)
	if cfg.KeyStore == InKeyring {
		if c.s.Keyring == nil {
			return ErrKeyring
		}
		// The copy in the string cannot be wiped; the keyring takes no other.
		return c.s.Keyring.Set(keyringService, cfg.Device+" "+string(s), string(text))
	}
	if err := durable.WriteFile(c.path(string(s)), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keeping the key: %w", err)
	}
	return nil
}

// loadKey gives the key in a slot; ErrKeyMissing when there is none.
func (c *Client) loadKey(cfg *Config, s slot) (*key.Key, error) {
	text, err := c.loadKeyText(cfg, s)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	k, err := key.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: what is kept in its place is damaged", ErrKeyMissing)
	}
	return k, nil
}

func (c *Client) loadKeyText(cfg *Config, s slot) ([]byte, error) {
	if cfg.KeyStore == InKeyring {
		if c.s.Keyring == nil {
			return nil, ErrKeyring
		}
		text, err := c.s.Keyring.Get(keyringService, cfg.Device+" "+string(s))
		return []byte(text), err
	}
	text, err := readLimited(c.path(string(s)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrKeyMissing
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	return text, nil
}

// removeKey forgets the key in a slot; none there is no error.
func (c *Client) removeKey(cfg *Config, s slot) error {
	var err error
	if cfg.KeyStore == InKeyring {
		if c.s.Keyring == nil {
			return ErrKeyring
		}
		err = c.s.Keyring.Delete(keyringService, cfg.Device+" "+string(s))
	} else {
		err = os.Remove(c.path(string(s)))
	}
	if err == nil || errors.Is(err, ErrKeyMissing) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("forgetting the key: %w", err)
}

// chooseKeyStore keeps k in the keyring when it can be had back from there, else
// in a file. want is InKeyring, InFile, or "" to take the keyring if there is one.
func (c *Client) chooseKeyStore(cfg *Config, want string, k *key.Key) error {
	if want != InFile && c.s.Keyring != nil {
		cfg.KeyStore = InKeyring
		err := c.tryKeyring(cfg, k)
		if err == nil || want == InKeyring {
			return err
		}
	} else if want == InKeyring {
		return ErrKeyring
	}
	cfg.KeyStore = InFile
	return c.saveKey(cfg, currentKey, k)
}

func (c *Client) tryKeyring(cfg *Config, k *key.Key) error {
	if err := c.saveKey(cfg, currentKey, k); err != nil {
		return err
	}
	back, err := c.loadKey(cfg, currentKey)
	if err != nil {
		return err
	}
	defer back.Wipe()
	if !back.Equal(k) {
		return fmt.Errorf("%w: it gave back something else", ErrKeyring)
	}
	return nil
}
