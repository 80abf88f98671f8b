package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/key"
	"keepsake.example/password"
)

// person is somebody with an account, some devices and a cloud.
type person struct {
	*world
	server *clienttest.Server
	codes  int    // one-time codes that were asked for
	crash  string // the step to crash at
	during func() // happens once, at the step "opened"
}

func newPerson(t *testing.T) *person {
	t.Helper()
	return &person{world: newWorld(t), server: clienttest.New(t)}
}

// onPhone is the person with another phone: nothing of the one before is on it.
func (p *person) onPhone(name string) *person {
	w := &world{t: p.t, profile: filepath.Join(filepath.Dir(p.profile), name), chats: p.chats, cloud: p.cloud, keyring: map[string]string{}, crash: -1}
	return &person{world: w, server: p.server}
}

func (p *person) device() *client.Client {
	c := client.New(client.Settings{
		Profile: p.profile,
		Keyring: p.world,
		Warn:    func(text string) { p.warnings = append(p.warnings, text) },
		Pause:   func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		KDF:     password.Floor,
	})
	c.TestingStep(func(name string) error {
		if happens := p.during; name == "opened" && happens != nil {
			p.during = nil
			happens()
		}
		if name == p.crash {
			return errCrash
		}
		return nil
	})
	return c
}

func (p *person) access() client.Access {
	return client.Access{
		Server: p.server.Card(), Handle: "alice@mail.example",
		Code: func(context.Context, string) (string, error) { p.codes++; return p.server.Code, nil },
	}
}

func typed(text string) *password.Password {
	p, err := password.Prepare([]byte(text))
	if err != nil {
		panic(err)
	}
	return p
}

// enable sets a backup up behind a password and makes one.
func (p *person) enable(text string) {
	p.t.Helper()
	if _, err := p.tryEnable(text); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.device().Backup(ctx, client.BackupOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) tryEnable(text string) (*client.EnableResult, error) {
	c := p.device()
	return c.Enable(ctx, client.EnableOptions{Source: p.chats, Cloud: p.cloud, Deliver: func(k *key.Key) error {
		_, err := c.Protect(ctx, p.access(), k, typed(text), client.ProtectOptions{})
		return err
	}})
}

func (p *person) recover(text string) (*client.Recovery, error) {
	return p.device().Recover(ctx, p.access(), typed(text), client.RecoverOptions{Enroll: true})
}

// restores says whether a password gives, on a new phone, the chats.
func (p *person) restores(text string) bool {
	p.t.Helper()
	phone := p.onPhone("phone-" + text)
	defer os.RemoveAll(phone.profile)
	r, err := phone.recover(text)
	if errors.Is(err, client.ErrWrongPassword) || errors.Is(err, client.ErrNoRecord) || errors.Is(err, client.ErrDestroyed) {
		return false
	}
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Key.Wipe()
	target := filepath.Join(p.t.TempDir(), "chats")
	if _, err := phone.device().Restore(ctx, client.RestoreOptions{At: &client.Place{Cloud: p.cloud, Key: r.Key}, Target: target}); err != nil {
		p.t.Errorf("restoring with %q: %v", text, err)
		return false
	}
	got, err := os.ReadFile(filepath.Join(target, "a.txt"))
	if err != nil || string(got) != "hello" {
		p.t.Errorf("restored %q, %v", got, err)
	}
	return true
}

func (p *person) status() *client.VaultReport {
	p.t.Helper()
	r, err := p.device().VaultStatus(ctx, p.access())
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// wants fails unless err is want.
func wants(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
}

func left(err error) int {
	if e, ok := errors.AsType[*client.WrongPasswordError](err); ok {
		return e.Left
	}
	return -1
}

var ctx = context.Background()
