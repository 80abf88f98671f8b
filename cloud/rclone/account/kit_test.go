package account_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/account"
)

// ring is a keyring that can fail.
type ring struct {
	mu     sync.Mutex
	items  map[string]string
	err    error  // of every call
	answer string // in place of what is kept
	asked  int
}

func newRing() *ring { return &ring{items: map[string]string{}} }

func (r *ring) Get(service, user string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.err != nil || r.answer != "" {
		return r.answer, r.err
	}
	v, ok := r.items[service+"/"+user]
	if !ok {
		return "", account.ErrKeyMissing
	}
	return v, nil
}

func (r *ring) Set(service, user, secret string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.items[service+"/"+user] = secret
	}
	return r.err
}

func (r *ring) Delete(service, user string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if _, ok := r.items[service+"/"+user]; !ok {
		return account.ErrKeyMissing
	}
	delete(r.items, service+"/"+user)
	return nil
}

func destination(t testing.TB, text string) cloud.Destination {
	t.Helper()
	d, err := account.ParseLogin(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func imported(t testing.TB, a *account.Accounts, login, kept string, options map[string]string) {
	t.Helper()
	if err := a.Import(t.Context(), destination(t, login), kept, maps.Clone(options)); err != nil {
		t.Fatal(err)
	}
}

// options gives what a store of the destination would be opened with.
func options(t testing.TB, a *account.Accounts, login string, names ...string) map[string]string {
	t.Helper()
	c, err := a.Config(t.Context(), destination(t, login))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range names {
		if v, ok := c.Mapper.Get(name); ok {
			got[name] = v
		}
	}
	return got
}

// textOf gives the one file of an account in dir.
func textOf(t testing.TB, dir string) (path string, text []byte) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	text, err = os.ReadFile(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return all[0], text
}

var errRing = errors.New("no ring")
