package rclone_test

import (
	"bytes"
	"path/filepath"
	"syscall"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/internal/mounttest"
)

// A folder on a full disk is full, by rclone's own word for it too: it asks for all the room before it writes.
func TestFolderWithoutRoom(t *testing.T) {
	if !mounttest.Mounts(t) {
		return
	}
	at := local(t)
	if err := syscall.Mount("none", at.Folder, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	disk := at.Folder
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	at.Root, at.Folder = filepath.Join(at.Root, "keepsake"), filepath.Join(at.Folder, "keepsake")
	s := create(t, at)
	put(t, s, "data/aa", []byte("a"))
	big := make([]byte, 2<<20)
	wantKind(t, "Put", s.Put(t.Context(), "data/bb", bytes.NewReader(big), int64(len(big))), cloud.ErrFull)
}
