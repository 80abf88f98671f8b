//go:build !windows

package main

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/account"
	"keepsake.example/cloud/rclone/servertest"
)

// What lies in a cloud, downloaded by hand, is a store in a folder: the way out when a sign-in is
// lost for good (doc/clouds.md).
func TestDownloadedByHand(t *testing.T) {
	s := servertest.RcloneWebDAV(t)
	store, err := rclone.Open(t.Context(), rclone.Config{Backend: s.Backend, Root: s.Root, Options: s.Options, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	want := []byte("ciphertext")
	if err := store.Put(t.Context(), "data/0a", bytes.NewReader(want), int64(len(want))); err != nil {
		t.Fatal(err)
	}
	folder, err := dir.Open(s.Folder)
	if err != nil {
		t.Fatal(err)
	}
	r, err := folder.Get(t.Context(), "data/0a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

// pocket is a keyring that is open when a sign-in is made, and gone afterwards.
type pocket map[string]string

func (p pocket) Get(service, user string) (string, error) { return p[service+user], nil }
func (p pocket) Set(service, user, secret string) error   { p[service+user] = secret; return nil }
func (p pocket) Delete(service, user string) error        { delete(p, service+user); return nil }

// Who signs out while the keyring is locked is signed out, and hears what stays behind.
func TestLogoutWithoutKeyring(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := account.Open(filepath.Join(w.home, "config", "keepsake", "clouds"), pocket{})
	d := cloud.Destination{Kind: cloud.KindB2, Path: "bucket"}
	if err := a.Import(t.Context(), d, account.InKeyring, map[string]string{"account": "a", "key": "b"}); err != nil {
		t.Fatal(err)
	}
	w.want(w.run("logout", "b2", "--yes"), 16, "signed out of b2, but the key", "hint: unlock")
	if files := w.files(); len(files) != 0 {
		t.Errorf("it kept %v", files)
	}
	w.want(w.run("logout", "b2", "--yes"), 16, "not signed in")
}
