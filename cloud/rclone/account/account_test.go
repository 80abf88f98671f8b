package account_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/account"
)

var keys = map[string]string{"access_key_id": "AKIA", "secret_access_key": "very secret"}

// What is kept comes back, by the keyring or by the file; only what is no secret is to be read.
func TestKept(t *testing.T) {
	for _, tt := range []struct {
		want, kept string
		ring       account.Keyring
	}{
		{"", account.InKeyring, newRing()},
		{account.InKeyring, account.InKeyring, newRing()},
		{account.InFile, account.InFile, newRing()},
		{"", account.InFile, nil},
		{"", account.InFile, &ring{err: errRing}},
		{"", account.InFile, &ring{items: map[string]string{}, answer: strings.Repeat("00", 32)}},
	} {
		dir := filepath.Join(t.TempDir(), "clouds")
		a := account.Open(dir, tt.ring)
		imported(t, a, "s3", tt.want, keys)
		if got := options(t, a, "s3", "access_key_id", "secret_access_key", "region"); !cmp.Equal(got, keys) {
			t.Errorf("%q: %s", tt.want, cmp.Diff(keys, got))
		}
		path, text := textOf(t, dir)
		if shown := bytes.Contains(text, []byte("very secret")); shown != (tt.kept == account.InFile) {
			t.Errorf("%q: the file shows the secret: %v", tt.want, shown)
		}
		for p, mode := range map[string]os.FileMode{path: 0o600, dir: 0o700 | os.ModeDir} {
			if info, err := os.Stat(p); err != nil || info.Mode() != mode {
				t.Errorf("%s is %v, %v", p, info.Mode(), err)
			}
		}
		all, err := a.List()
		if err != nil || len(all) != 1 || all[0].Kept != tt.kept || all[0].Login != "s3" || all[0].Err != nil || all[0].File != path {
			t.Errorf("%q: %+v, %v", tt.want, all, err)
		}
	}
	for _, r := range []account.Keyring{nil, &ring{err: errRing}} {
		err := account.Open(t.TempDir(), r).Import(t.Context(), destination(t, "s3"), account.InKeyring, keys)
		if r == nil && !errors.Is(err, account.ErrKeyring) || err == nil {
			t.Errorf("kept in a keyring that is not there: %v", err)
		}
	}
}

// What is sealed for one login opens for no other, though the key is the same.
func TestSealedForItsLogin(t *testing.T) {
	dir := t.TempDir()
	a := account.Open(dir, newRing())
	imported(t, a, "gdrive", "", keys)
	path, text := textOf(t, dir)
	imported(t, a, "gdrive@work", account.InFile, keys)
	text, err := account.Relabel(text, "gdrive@work")
	if err != nil {
		t.Fatal(err)
	}
	all, _ := a.List()
	for _, i := range all {
		if i.File != path {
			write(t, i.File, text)
		}
	}
	if _, err := a.Config(t.Context(), destination(t, "gdrive@work")); !errors.Is(err, account.ErrDamaged) {
		t.Error(err)
	}
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each provider's accounts are apart.
func TestAccountsAreApart(t *testing.T) {
	dir := t.TempDir()
	a := account.Open(dir, newRing())
	logins := []string{"gdrive", "gdrive@work", "s3", "s3+https://a.example", "s3+https://a.example:444", "webdav+https://a.example", "sftp://u@a.example", "sftp://v@a.example"}
	for _, l := range logins {
		imported(t, a, l, "", map[string]string{"user": l})
	}
	for _, l := range logins {
		if got := options(t, a, l, "user"); got["user"] != l {
			t.Errorf("%s has the options of %s", l, got["user"])
		}
	}
	if all, err := a.List(); err != nil || len(all) != len(logins) {
		t.Errorf("%d, %v", len(all), err)
	}
	for _, none := range []string{"gdrive@home:x", "icloud:", "s3+https://b.example/x", "sftp://a.example/"} {
		d, err := cloud.ParseDestination(none)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Config(t.Context(), d); !errors.Is(err, account.ErrNotLoggedIn) || !errors.Is(err, cloud.ErrDenied) {
			t.Errorf("%s: %v", none, err)
		}
	}
}

// After a sign-in anew, and after signing out, the key of the one before is destroyed.
func TestRemove(t *testing.T) {
	dir, r := t.TempDir(), newRing()
	a := account.Open(dir, r)
	imported(t, a, "gdrive", "", keys)
	before := fmt.Sprint(r.items)
	imported(t, a, "gdrive", "", keys)
	if len(r.items) != 1 || fmt.Sprint(r.items) == before {
		t.Errorf("%d keys, the same as before: %v", len(r.items), fmt.Sprint(r.items) == before)
	}
	path, text := textOf(t, dir)
	if err := a.Remove(t.Context(), "gdrive"); err != nil || len(r.items) != 0 || a.Has("gdrive") {
		t.Errorf("%v, %d keys", err, len(r.items))
	}
	if err := a.Remove(t.Context(), "gdrive"); !errors.Is(err, account.ErrNotLoggedIn) {
		t.Error(err)
	}
	// A copy of the file opens nothing any more.
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Config(t.Context(), destination(t, "gdrive")); !errors.Is(err, account.ErrKeyMissing) {
		t.Error(err)
	}
	// A keyring that is locked does not keep a person signed in.
	r.err = account.ErrKeyring
	if err := a.Remove(t.Context(), "gdrive"); !errors.Is(err, account.ErrKeyring) || a.Has("gdrive") {
		t.Error(err)
	}
}

// A sign-in that cannot be used is told apart.
func TestUnusable(t *testing.T) {
	dir, r := t.TempDir(), newRing()
	a := account.Open(dir, r)
	config := func() error {
		_, err := a.Config(t.Context(), destination(t, "gdrive"))
		return err
	}
	imported(t, a, "gdrive", "", keys)
	r.err = account.ErrKeyring
	if err := config(); !errors.Is(err, account.ErrKeyring) {
		t.Error(err)
	}
	r.err, r.answer = nil, strings.Repeat("00", 32)
	if err := config(); !errors.Is(err, account.ErrDamaged) {
		t.Error(err)
	}
	r.answer = "zz"
	if err := config(); !errors.Is(err, account.ErrKeyMissing) {
		t.Error(err)
	}
	imported(t, a, "gdrive", account.InFile, keys)
	path, text := textOf(t, dir)
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := config(); !errors.Is(err, account.ErrExposed) {
		t.Error(err)
	}
	os.Chmod(path, 0o600)
	os.WriteFile(path, append(text, make([]byte, account.MaxFile)...), 0o600)
	if err := config(); !errors.Is(err, account.ErrDamaged) {
		t.Error(err)
	}
	// The file of one account under the name of another.
	os.WriteFile(path, text, 0o600)
	other := account.Open(t.TempDir(), r)
	imported(t, other, "icloud", account.InFile, keys)
	all, _ := other.List()
	os.WriteFile(all[0].File, text, 0o600)
	if _, err := other.Config(t.Context(), destination(t, "icloud")); !errors.Is(err, account.ErrDamaged) {
		t.Error(err)
	}
}

// No printer shows a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	a := account.Open(t.TempDir(), nil)
	imported(t, a, "s3", "", keys)
	c, err := a.Config(t.Context(), destination(t, "s3"))
	if err != nil {
		t.Fatal(err)
	}
	s := account.NewSecret([]byte("very secret"))
	request := account.Request{Secret: s, ClientSecret: s}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "config", c.Mapper, "request", request)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "config", c.Mapper, "request", request)
	marshalled, err := json.Marshal([]any{s, request, c.Mapper})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{s, request, c, c.Mapper, &s, []any{s, c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
			fmt.Fprintf(&log, verb, v)
		}
	}
	text := log.String() + string(marshalled)
	for _, secret := range []string{"very secret", fmt.Sprintf("%x", "very secret"), fmt.Sprint([]byte("very secret"))} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
	s.Wipe()
	s.Wipe()
	if !request.Secret.Empty() {
		t.Error("a copy of a wiped secret holds it")
	}
}

// Where a destination is, in rclone's words.
func TestPlaces(t *testing.T) {
	a := account.Open(t.TempDir(), nil)
	for _, tt := range []struct{ dest, root, url string }{
		{"gdrive:Keep sake/x", "Keep sake/x", ""},
		{"s3://bucket/prefix", "bucket/prefix", ""},
		{"sftp://u@h/abs/x", "/abs/x", ""},
		{"sftp://u@h/~/x", "x", ""},
		{"webdav+https://h/a/b%20c", "a/b c", "https://h/"},
		{"webdav+http://127.0.0.1:81/", "", "http://127.0.0.1:81/"},
		{"webdav+https://h/remote.php/dav/files/ada/Keep/x", "Keep/x", "https://h/remote.php/dav/files/ada"},
		{"webdav+https://h/cloud/remote.php/dav/files/a%20b", "", "https://h/cloud/remote.php/dav/files/a%20b"},
	} {
		d, err := cloud.ParseDestination(tt.dest)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Import(t.Context(), d, "", keys); err != nil {
			t.Fatal(err)
		}
		c, err := a.Config(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		url, _ := c.Mapper.Get("url")
		if c.Root != tt.root || url != tt.url || c.Login != d.Login() || c.Create {
			t.Errorf("%s: root %q, url %q, %s", tt.dest, c.Root, url, c.Login)
		}
	}
	if c, err := a.Config(t.Context(), cloud.Destination{Kind: cloud.KindPath, Path: "/x"}); err != nil || c.Backend != "local" || c.Root != "/x" {
		t.Errorf("%+v, %v", c, err)
	}
}

// What can be written behind "login".
func TestParseLogin(t *testing.T) {
	for text, want := range map[string]string{
		"gdrive": "gdrive", "gdrive@work": "gdrive@work", "gdrive:Folder": "gdrive", "icloud": "icloud", "dropbox": "dropbox",
		"onedrive": "onedrive", "b2": "b2", "b2:bucket/x": "b2", "s3": "s3", "s3@two": "s3@two", "s3://bucket": "s3",
		"s3+https://Host.example": "s3+https://host.example", "s3+https://host/bucket": "s3+https://host",
		"webdav+https://host": "webdav+https://host", "sftp://me@host": "sftp://me@host", "sftp://host:2222/x": "sftp://host:2222",
	} {
		d, err := account.ParseLogin(text)
		if err != nil || d.Login() != want {
			t.Errorf("%s: %q, %v", text, d.Login(), err)
		}
	}
	for _, text := range []string{"", "x", "/tmp/x", "./gdrive", "gdrive@", "GDRIVE@a b", "rclone:x:", "myremote:x", "ftp://x", "s3+http://example.org"} {
		if d, err := account.ParseLogin(text); err == nil {
			t.Errorf("%q is %+v", text, d)
		}
	}
}

// What a person pastes who signs in elsewhere.
func TestPastes(t *testing.T) {
	for text, want := range map[string]bool{
		"http://127.0.0.1:53682/?state=a&code=b&scope=c": true, "http://localhost:53682/?code=b&state=a": true,
		"http://127.0.0.1:53682/?state=a&error=access_denied": true,
		"http://127.0.0.1:53682/?state=a":                     false, "https://accounts.google.com/o/oauth2/auth?state=a&client_id=b": false,
		"": false, "4/0Adeu5BW": false, "%zz": false,
	} {
		if _, ok := account.AnswerIn(text); ok != want {
			t.Errorf("%q is an answer: %v", text, ok)
		}
	}
	for text, want := range map[string]bool{
		`{"access_token":"a","expiry":"2026-01-01T00:00:00Z"}`: true, "{": false, "eyJ0b2tlbiI6IntcImFjY2Vzc190b2tlblwiOlwiYVwifSJ9": true,
		"": false, "nonsense": false, "http://127.0.0.1:53682/?state=a&code=b": false,
	} {
		if account.IsBlob(text) != want {
			t.Errorf("%q is a token: %v", text, !want)
		}
	}
}
