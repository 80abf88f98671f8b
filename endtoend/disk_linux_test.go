package endtoend_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"keepsake.example/internal/mounttest"
)

// fill takes all room that is left on the disk of a folder.
func fill(t *testing.T, folder string) (file string) {
	t.Helper()
	file = filepath.Join(folder, "filler")
	f := must(os.Create(file))
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return file
}

// The disk of the vault is full. What needs room is not counted, which the client is
// told; nothing that was counted is lost; and with room it goes on by itself.
func TestVaultsDiskIsFull(t *testing.T) {
	t.Parallel()
	if !mounttest.Mounts(t, programsVar+"="+programs) {
		return
	}
	s := prepared(t)
	state := s.path("vaultd", "state")
	image := t.TempDir()
	check(t, os.CopyFS(image, os.DirFS(state)))
	check(t, syscall.Mount("tmpfs", state, "tmpfs", 0, "size=6m"))
	t.Cleanup(func() { syscall.Unmount(state, syscall.MNT_DETACH) })
	check(t, os.CopyFS(state, os.DirFS(image)))
	s.startAll(t)
	owner, thief := victim(t, s, "ann")
	thief.guess(owner, "sofa number one").wants(11, `"left": 9`)

	// Log files have their full length from the start, so that a full disk stops
	// nothing before the next file.
	filler := fill(t, state)
	thief.guess(owner, "sofa number two").wants(11, `"left": 8`)
	code, out := oneShot(t, "vaultd", "checkpoint", "--admin", s.vault.admin)
	if code != 10 || !bytes.Contains([]byte(out), []byte("no space left on device")) || !bytes.Contains([]byte(out), []byte("hint: make room")) {
		t.Errorf("a checkpoint without room ended with %d\n%s", code, out)
	}
	check(t, os.Remove(filler))
	s.command(t, "vaultd", "checkpoint", "--admin", s.vault.admin)

	filler = fill(t, state) // and the next entry needs a new file
	thief.guess(owner, "sofa number three").wants(14, "nothing is counted twice")
	owner.wantLeft(8)
	if !bytes.Contains(s.vault.log.Bytes(), []byte("no room for the log on the disk")) {
		t.Errorf("the log of vaultd does not say that the disk is full:\n%s", s.vault.log.Bytes())
	}
	check(t, os.Remove(filler))
	thief.guess(owner, "sofa number three").wants(11, `"left": 7`)
	owner.wantLeft(7)
	await(t, "the log of vaultd to say that there is room again", func() bool {
		return bytes.Contains(s.vault.log.Bytes(), []byte("there is room again"))
	})

	// Nor does it start without room, since a start writes.
	filler = fill(t, state)
	s.vault.end(syscall.SIGKILL)
	s.refusesToRun(t, 10, "make room on the disk")
	check(t, os.Remove(filler))
	s.startVault(t)
	owner.wantLeft(7)
}
