package client_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// errCrash is what a step gives when the process is to be thought dead.
var errCrash = errors.New("crash")

// world is a device, a keyring and a cloud that can be made to crash at any step
// that leaves the process.
type world struct {
	t        *testing.T
	profile  string
	chats    string
	cloud    string
	keyring  map[string]string
	warnings []string

	mu    sync.Mutex
	steps int
	crash int  // the step to crash at; -1 for none
	after bool // crash after the step had its effect
}

func newWorld(t *testing.T) *world {
	t.Helper()
	d := t.TempDir()
	w := &world{t: t, profile: filepath.Join(d, "profile"), chats: filepath.Join(d, "chats"), cloud: filepath.Join(d, "cloud"), keyring: map[string]string{}, crash: -1}
	if err := os.Mkdir(w.chats, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("a.txt", "hello")
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.chats, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) client() *client.Client { return client.New(w.settings()) }

// older is the client of a person who goes on with an older state of the cloud.
func (w *world) older() *client.Client {
	s := w.settings()
	s.OlderState = true
	return client.New(s)
}

func (w *world) settings() client.Settings {
	return client.Settings{
		Profile: w.profile,
		Keyring: w,
		OpenCloud: func(_ context.Context, destination string, create bool) (cloud.Store, error) {
			open := dir.Open
			if create {
				open = dir.Create
			}
			s, err := open(destination)
			return crashing{s, w}, err
		},
		Warn: func(text string) { w.warnings = append(w.warnings, text) },
	}
}

// step runs one step, unless the process dies before or after it. Once dead, it
// does nothing any more.
func (w *world) step(f func() error) error {
	w.mu.Lock()
	n := w.steps
	w.steps++
	dead, dying := w.crash >= 0 && n > w.crash, n == w.crash
	w.mu.Unlock()
	if dead || dying && !w.after {
		return errCrash
	}
	err := f()
	if dying {
		return errCrash
	}
	return err
}

func (w *world) crashAt(n int, after bool) { w.steps, w.crash, w.after = 0, n, after }
func (w *world) heal()                     { w.crash = -1 }

func (w *world) Get(service, user string) (secret string, err error) {
	err = w.step(func() error {
		s, ok := w.keyring[user]
		if !ok {
			return client.ErrKeyMissing
		}
		secret = s
		return nil
	})
	return secret, err
}

func (w *world) Set(service, user, secret string) error {
	return w.step(func() error { w.keyring[user] = secret; return nil })
}

func (w *world) Delete(service, user string) error {
	return w.step(func() error { delete(w.keyring, user); return nil })
}

type crashing struct {
	cloud.Store
	w *world
}

func (c crashing) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	return c.w.step(func() error { return c.Store.Put(ctx, name, body, size) })
}

func (c crashing) Delete(ctx context.Context, name string) error {
	return c.w.step(func() error { return c.Store.Delete(ctx, name) })
}

// opens says whether k opens the backup, as a new phone would find it.
func (w *world) opens(k *key.Key) bool {
	w.t.Helper()
	s, err := dir.Open(w.cloud)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := backup.Open(context.Background(), s, k, backup.Options{})
	if err == nil {
		r.Close()
	} else if !errors.Is(err, backup.ErrWrongKey) && !errors.Is(err, backup.ErrNoRepository) {
		w.t.Fatal(err)
	}
	return err == nil
}

func (w *world) exists() bool {
	w.t.Helper()
	s, err := dir.Open(w.cloud)
	if err != nil {
		return false
	}
	_, err = backup.KeyCheck(context.Background(), s)
	return err == nil
}

// keeper is a person who keeps the keys handed to her.
type keeper struct{ keys []*key.Key }

func (k *keeper) deliver(got *key.Key) error {
	got.Use(func(b *[key.Size]byte) { k.keys = append(k.keys, key.FromBytes(*b)) })
	return nil
}

func (k *keeper) last() *key.Key { return k.keys[len(k.keys)-1] }

func (w *world) enable(k *keeper) (*client.EnableResult, error) {
	return w.client().Enable(context.Background(), client.EnableOptions{
		Source: w.chats, Cloud: w.cloud, KeyStore: client.InKeyring, Deliver: k.deliver,
	})
}

func (w *world) mustEnable() *keeper {
	w.t.Helper()
	k := &keeper{}
	if _, err := w.enable(k); err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *world) backup() (*backup.BackupResult, error) {
	return w.client().Backup(context.Background(), client.BackupOptions{})
}
