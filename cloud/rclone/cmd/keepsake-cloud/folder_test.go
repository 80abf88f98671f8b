//go:build !windows

package main

import (
	"bytes"
	"io"
	"testing"

	"keepsake.example/cloud/dir"
	"keepsake.example/cloud/rclone"
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
