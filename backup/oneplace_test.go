package backup_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

// A copy to the place where the backup lies, by another name of it, is none; who believed in it deletes the only one.
func TestCopyToItself(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	to, path := newDir(t)
	copyTo(t, p, to)
	if left, _ := filepath.Glob(filepath.Join(path, "token-*")); len(left) > 0 {
		t.Errorf("a copy leaves %v", left)
	}
	alias := filepath.Join(t.TempDir(), "alias")
	must(t, os.Symlink(path, alias))
	again, err := dir.Open(alias)
	must(t, err)
	before := tree(t, path)
	if _, err := backup.Copy(t.Context(), again, to, backup.CopyOptions{}); !errors.Is(err, backup.ErrSamePlace) {
		t.Errorf("a copy to itself: %v", err)
	}
	same(t, before, tree(t, path))
	// The same where looking by name is so late that the token is not seen.
	if _, err := backup.Copy(t.Context(), unseen{again}, to, backup.CopyOptions{Certain: true}); !errors.Is(err, backup.ErrSamePlace) {
		t.Errorf("a copy to itself, seen late: %v", err)
	}
	if _, err := backup.Copy(t.Context(), unseen{p.store}, to, backup.CopyOptions{Certain: true}); err != nil {
		t.Errorf("a copy to another place: %v", err)
	}
}

// unseen does not show yet what lies in no folder.
type unseen struct{ cloud.Store }

func (u unseen) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if !strings.Contains(name, "/") {
		return cloud.Info{}, cloud.ErrNotExist
	}
	return u.Store.Stat(ctx, name)
}
