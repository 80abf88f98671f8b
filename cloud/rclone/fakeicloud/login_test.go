package fakeicloud_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/account"
	"keepsake.example/cloud/rclone/fakeicloud"
)

// ada answers the questions of a sign-in; each answer is looked up when it is
// asked for.
type ada struct {
	t       *testing.T
	network func()
	answers []func() string
	told    strings.Builder
}

func (a *ada) Tell(text string)      { a.told.WriteString(text) }
func (a *ada) Browse(s string) error { a.t.Errorf("it browsed to %s", s); return nil }

func (a *ada) Ask(_ context.Context, question string) (string, error) {
	a.told.WriteString(question)
	a.network() // Login has set rclone's network to what the environment says
	if len(a.answers) == 0 {
		return "", errors.New("nobody there")
	}
	answer := a.answers[0]
	a.answers = a.answers[1:]
	return answer(), nil
}

func (a *ada) AskSecret(ctx context.Context, question string) (account.Secret, error) {
	answer, err := a.Ask(ctx, question)
	return account.NewSecret([]byte(answer)), err
}

func (a *ada) Confirm(context.Context, string) (bool, error) { return true, nil }

func say(text string) func() string { return func() string { return text } }

func login(t *testing.T, s *fakeicloud.Server, all *account.Accounts, answers ...func() string) (*ada, error) {
	t.Helper()
	to, err := account.ParseLogin("icloud")
	if err != nil {
		t.Fatal(err)
	}
	a := &ada{t: t, answers: answers, network: func() { lead(s) }}
	_, err = all.Login(t.Context(), account.Request{Destination: to, User: person, Kept: account.InFile}, a)
	if err != nil && strings.Contains(err.Error()+a.told.String(), password) {
		t.Error("the password is told")
	}
	return a, err
}

func openAccount(t *testing.T, s *fakeicloud.Server, all *account.Accounts) (*rclone.Store, error) {
	t.Helper()
	d, err := cloud.ParseDestination("icloud:Keepsake")
	if err != nil {
		t.Fatal(err)
	}
	c, err := all.Config(t.Context(), d)
	if err != nil {
		return nil, err
	}
	c.Create, c.Network = true, rclone.Network{Proxy: s.Proxy(), CAs: []string{s.CA()}}
	st, err := rclone.Open(t.Context(), c)
	if err == nil {
		t.Cleanup(func() { st.Close() })
	}
	return st, err
}

// TestLogin signs in as people do, with a text message and a code mistyped,
// and again when thirty days have passed.
func TestLogin(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, Phones: []string{"+1 555 0123"}})
	dir := t.TempDir()
	all := account.Open(dir, nil)
	code, text := func() string { return s.Code(person) }, func() string { return s.Text(person) }
	if _, err := login(t, s, all, say(password), say("12345x"), code); err != nil {
		t.Fatal(err)
	}
	st, err := openAccount(t, s, all)
	if err != nil {
		t.Fatal(err)
	}
	store(t, st, "data/a", 100)
	s.EndTrust()
	if _, err := openAccount(t, s, all); !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), "keepsake cloud login icloud") {
		t.Errorf("after thirty days: %v", err)
	}
	if _, err := login(t, s, all, say(password), say("sms"), text); err != nil {
		t.Fatal(err)
	}
	if st, err = openAccount(t, s, all); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stat(t.Context(), "data/a"); err != nil {
		t.Error(err)
	}
	wantPrivate(t, dir)
}

// wantPrivate: nobody else can read what is kept, and the password is not in
// it as it is.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if info.Mode().Perm()&0o077 != 0 || strings.Contains(string(text), password) {
			t.Errorf("%s has mode %v, or the password in it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLoginRefused: what is said, and that nothing is kept.
func TestLoginRefused(t *testing.T) {
	s := start(t)
	all := account.Open(t.TempDir(), nil)
	s.Lock(person, true)
	a, err := login(t, s, all, say(password), say(password), say(password))
	if !errors.Is(err, account.ErrRefused) || !strings.Contains(err.Error(), "iforgot.apple.com") {
		t.Errorf("a locked account: %v; want what to do", err)
	}
	if len(a.answers) != 2 {
		t.Errorf("a locked account was tried %d times", 3-len(a.answers))
	}
	s.Lock(person, false)
	if _, err = login(t, s, all, say("wrong"), say("wrong"), say("wrong")); !errors.Is(err, account.ErrWrongSecret) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err = login(t, s, all, say(password)); err == nil {
		t.Error("it signed in without a code")
	}
	if left, err := all.List(); err != nil || len(left) != 0 {
		t.Errorf("kept %v, %v", left, err)
	}
}
