package backup_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/backup"
)

// The main promise: what is backed up comes back, byte for byte, on a device that has only the key; and earlier snapshots too.
func TestBackupAndRestore(t *testing.T) {
	p := newPhone(t)
	p.history()
	day1 := tree(t, p.chats)
	first := p.backup(backup.BackupOptions{})
	if len(first.Problems) > 0 || first.Snapshot.New != first.Snapshot.Files {
		t.Fatalf("first backup: %+v", first)
	}
	p.nextDay(1)
	must(t, os.Remove(filepath.Join(p.chats, "Notes/text.txt")))
	day2 := tree(t, p.chats)
	second := p.backup(backup.BackupOptions{})
	if s := second.Snapshot; s.New != 1 || s.Changed != 1 || s.Removed != 1 {
		t.Fatalf("second backup: new %d changed %d removed %d, want 1 each", s.New, s.Changed, s.Removed)
	}
	if second.BytesUploaded > first.BytesUploaded/5 {
		t.Errorf("second backup uploaded %d bytes, the first %d", second.BytesUploaded, first.BytesUploaded)
	}
	same(t, day2, tree(t, p.restore("latest")))
	same(t, day1, tree(t, p.restore(first.Snapshot.ID)))
	if v := p.verify(1); len(v.Damage) > 0 || v.Orphans > 0 || v.PacksRead != v.Packs {
		t.Errorf("verify: %+v", v)
	}
}

// A backup of what has not changed reads and stores no contents.
func TestNothingChanged(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	if res := p.backup(backup.BackupOptions{}); !res.NothingNew || res.BytesNew != 0 {
		t.Errorf("read again, because written a moment ago, but the same: %+v", res)
	}
	time.Sleep(2100 * time.Millisecond) // only now can a database's times be trusted
	p.backup(backup.BackupOptions{})
	res := p.backup(backup.BackupOptions{})
	if !res.NothingNew || res.BytesNew != 0 || res.Objects != 0 || res.BytesRead != 0 {
		t.Errorf("%+v", res)
	}
}

// Blocks stored as they are and compressed ones lie in one pack and are read in one stream: one must not be decompressed over the other.
func TestMixedBlocks(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{3}))
	for i := range 12 {
		p.write(fmt.Sprintf("%02d-a.jpg", i), random(rnd, 700_000))
		p.write(fmt.Sprintf("%02d-b.txt", i), []byte(hex.EncodeToString(random(rnd, 90_000))))
	}
	want := tree(t, p.chats)
	p.backup(backup.BackupOptions{})
	same(t, want, tree(t, p.restore("latest")))
	if v := p.verify(1); len(v.Damage) > 0 {
		t.Error(v.Damage)
	}
}
