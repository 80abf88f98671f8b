// Package account keeps how to sign in to a person's clouds, and walks through
// the sign-in. No OAuth or other sign-in protocol is written here: the flows are
// rclone's own (fs.BackendConfig), asked and answered in words for people.
//
// An account is a file in one folder, of mode 0600, written by internal/durable:
// a reader sees the old one or the new one. With a system keyring the secrets
// in the file are sealed by a key that the keyring keeps, one for each sign-in: a
// token that is refreshed every hour does not touch the keyring, no keyring's
// limit on sizes matters, and signing out destroys the key, and so every copy of
// the file. Without a keyring they are in the file as they are.
//
// Files are read whenever rclone asks for a token, and are changed under a lock
// between processes, so that of two which find a token expired only one
// refreshes it, and no refresh token is lost to a provider that gives a new one
// each time (RFC 6749 section 6): see [Mapper].
//
// Nothing that is kept here opens a backup: a cloud holds ciphertext. Who has
// it can read names and sizes, and can delete.
package account

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/internal/durable"
)

// Accounts are the sign-ins kept in one folder. Its methods may be called
// concurrently, by several processes too.
type Accounts struct {
	dir  string
	ring Keyring
	// Warn is told what the person should know though the work goes on: a
	// refreshed token that could not be kept. nil for nobody. Set it before use.
	Warn func(text string)

	lease time.Duration // leaseTime, but in a test that is in a hurry
}

// Open gives the accounts of the folder dir, which is made when the first is
// saved. ring may be nil for none.
func Open(dir string, ring Keyring) *Accounts {
	return &Accounts{dir: dir, ring: ring, lease: leaseTime}
}

// Info says what is known of an account without its secrets.
type Info struct {
	Login   string    `json:"login"` // "gdrive@work", see cloud.Destination.Login
	Backend string    `json:"backend,omitempty"`
	Since   time.Time `json:"since"`             // when it was signed in
	Changed time.Time `json:"changed"`           // when the file was written last: a token refreshed
	Kept    string    `json:"kept"`              // InKeyring or InFile
	File    string    `json:"file"`              // path
	Err     error     `json:"-"`                 // why it cannot be used, as far as can be seen without the keyring
	Problem string    `json:"problem,omitempty"` // the text of Err
}

func (a *Accounts) path(login string) string { return filepath.Join(a.dir, fileName(login)) }

// List gives the accounts, ordered by name. It does not ask the keyring.
func (a *Accounts) List() ([]Info, error) {
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: listing: %w", err)
	}
	var all []Info
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), durable.TempPrefix) {
			all = append(all, a.info(filepath.Join(a.dir, e.Name())))
		}
	}
	slices.SortFunc(all, func(x, y Info) int { return strings.Compare(x.Login, y.Login) })
	return all, nil
}

func (a *Accounts) info(path string) Info {
	i := Info{File: path, Login: strings.TrimSuffix(filepath.Base(path), ".json")}
	f, changed, err := read(path)
	if f != nil {
		i.Login, i.Backend, i.Since, i.Kept = f.Login, f.Backend, f.Since, f.Kept
	}
	i.Changed = changed.UTC().Truncate(time.Second)
	if i.Err = err; err != nil {
		i.Problem = err.Error()
	}
	return i
}

// Has says whether there is an account for the login.
func (a *Accounts) Has(login string) bool {
	_, err := os.Lstat(a.path(login))
	return err == nil
}

// read reads a file. With ErrExposed it gives the file too: its owner may want to
// know what lay open.
func read(path string) (*file, time.Time, error) {
	r, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, ErrNotLoggedIn
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("account: reading: %w", err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("account: reading: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, info.ModTime(), fmt.Errorf("account: reading: %w", err)
	}
	defer clear(text)
	f, err := decode(text)
	if err == nil && filepath.Base(path) != fileName(f.Login) {
		err = fmt.Errorf("%w: it is the file of %s", ErrDamaged, f.Login)
	}
	if err == nil && f.Kept == InFile && readableByOthers(info) {
		err = fmt.Errorf("%w: %s", ErrExposed, path)
	}
	return f, info.ModTime(), err
}

// An entry is an account with its secrets.
type entry struct {
	file
	options map[string]string
	key     []byte
}

// load reads an account. key is that of the keyring when it is known already.
func (a *Accounts) load(login string, key []byte) (*entry, error) {
	f, _, err := read(a.path(login))
	if err != nil {
		return nil, err
	}
	if f.Kept == InKeyring && key == nil {
		if key, err = a.keyOf(f.Key); err != nil {
			return nil, err
		}
	}
	options, err := f.open(key)
	if err != nil {
		return nil, err
	}
	return &entry{file: *f, options: options, key: key}, nil
}

func (a *Accounts) keyOf(name string) ([]byte, error) {
	if a.ring == nil {
		return nil, fmt.Errorf("%w: there is none", ErrKeyring)
	}
	text, err := a.ring.Get(keyringService, name)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%w: what it has is damaged", ErrKeyMissing)
	}
	return key, nil
}

// store writes an account. The lock must be held.
func (a *Accounts) store(e *entry) error {
	f := e.file
	f.Options, f.Sealed = nil, nil
	if err := f.seal(e.options, e.key); err != nil {
		return err
	}
	text, err := f.encode()
	if err != nil {
		return err
	}
	defer clear(text)
	if err := durable.WriteFile(a.path(e.Login), text, 0o600); err != nil {
		return fmt.Errorf("account: writing: %w", err)
	}
	return nil
}

// save keeps a new sign-in, in place of one there was. kept is InKeyring, InFile,
// or "" to take the keyring if there is one. It gives where it is kept.
func (a *Accounts) save(ctx context.Context, login, backend, kept string, options map[string]string) (string, error) {
	unlock, err := a.lock(ctx, login)
	if err != nil {
		return "", err
	}
	defer unlock()
	before, _, _ := read(a.path(login))
	e := &entry{file: file{Login: login, Backend: backend, Since: time.Now().UTC().Truncate(time.Second)}, options: options}
	if err := a.chooseKept(e, kept); err != nil {
		return "", err
	}
	if err := a.store(e); err != nil {
		return "", err
	}
	if before != nil && before.Kept == InKeyring && a.ring != nil {
		// The key opens only the file that is gone: nothing is lost when it stays.
		a.ring.Delete(keyringService, before.Key)
	}
	return e.Kept, nil
}

// chooseKept puts a key into the keyring and gets it back from there, else
// chooses the file. The key has a name of its own, so that a crash between here
// and the writing of the file leaves the sign-in before usable.
func (a *Accounts) chooseKept(e *entry, kept string) error {
	if kept == InFile {
		e.Kept = InFile
		return nil
	}
	e.Kept, e.Key, e.key = InKeyring, e.Login+" "+rand.Text(), newKey()
	err := a.tryKeyring(e)
	if err == nil {
		return nil
	}
	if kept == InKeyring {
		return err
	}
	e.Kept, e.Key, e.key = InFile, "", nil
	return nil
}

func (a *Accounts) tryKeyring(e *entry) error {
	if a.ring == nil {
		return fmt.Errorf("%w: there is none", ErrKeyring)
	}
	if err := a.ring.Set(keyringService, e.Key, hex.EncodeToString(e.key)); err != nil {
		return err
	}
	back, err := a.keyOf(e.Key)
	if err == nil && string(back) != string(e.key) { // no secret of another is compared
		err = fmt.Errorf("%w: it gave back something else", ErrKeyring)
	}
	return err
}

// Remove forgets an account, also one that is damaged: ErrNotLoggedIn when there
// is none. When the keyring cannot be asked, the file is gone nevertheless, and the
// error is ErrKeyring: what the keyring still has opens nothing.
func (a *Accounts) Remove(ctx context.Context, login string) error {
	if !a.Has(login) {
		return ErrNotLoggedIn
	}
	unlock, err := a.lock(ctx, login)
	if err != nil {
		return err
	}
	defer unlock()
	f, _, _ := read(a.path(login))
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		return fmt.Errorf("account: removing: %w", err)
	}
	defer root.Close()
	if err := durable.Remove(root, fileName(login)); err != nil {
		return fmt.Errorf("account: removing: %w", err)
	}
	if f == nil || f.Kept != InKeyring {
		return nil
	}
	if a.ring == nil {
		return fmt.Errorf("%w: there is none", ErrKeyring)
	}
	if err := a.ring.Delete(keyringService, f.Key); err != nil && !errors.Is(err, ErrKeyMissing) {
		return err
	}
	return nil
}

// Import keeps options as the account of a destination, without asking the
// provider: for tests, and for programs that have signed in by themselves.
// Options are rclone's own, by its own names, passwords obscured as rclone does
// it; InFile or InKeyring or "" says where.
func (a *Accounts) Import(ctx context.Context, d cloud.Destination, kept string, options map[string]string) error {
	p, ok := providerOf(d.Kind)
	if !ok {
		return ErrUnknownProvider
	}
	_, err := a.save(ctx, d.Login(), p.backend, kept, options)
	return err
}
