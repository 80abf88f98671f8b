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

// What a copy left behind that was killed goes with the next one; the token of one that runs is put again.
func TestTokenLeftBehind(t *testing.T) {
	p := newPhone(t)
	p.history()
	p.backup(backup.BackupOptions{})
	to, path := newDir(t)
	left := "token-" + strings.Repeat("0", 32)
	must(t, to.Put(t.Context(), left, strings.NewReader("x"), 1))
	copyTo(t, p, to)
	if tokens, _ := filepath.Glob(filepath.Join(path, "token-*")); len(tokens) > 0 {
		t.Errorf("after the next copy there is %v", tokens)
	}
	alias, err := dir.Open(path)
	must(t, err)
	// Its own token is swept away by another copy before it looks for it: it is not deceived.
	if _, err := backup.Copy(t.Context(), &sweeping{alias, path, 2}, to, backup.CopyOptions{}); !errors.Is(err, backup.ErrSamePlace) {
		t.Errorf("a copy to itself, its token swept away: %v", err)
	}
	if _, err := backup.Copy(t.Context(), &sweeping{p.store, path, 100}, to, backup.CopyOptions{}); !errors.Is(err, backup.ErrLocked) {
		t.Errorf("its token always swept away: %v", err)
	}
}

// sweeping is a store during whose lookups another copy sweeps the destination, so many times.
type sweeping struct {
	cloud.Store
	path  string
	times int
}

func (s *sweeping) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if s.times--; s.times >= 0 && strings.HasPrefix(name, "token-") {
		if err := os.Remove(filepath.Join(s.path, name)); err != nil {
			return cloud.Info{}, err
		}
	}
	return s.Store.Stat(ctx, name)
}

// unseen does not show yet what lies in no folder.
type unseen struct{ cloud.Store }

func (u unseen) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if !strings.Contains(name, "/") {
		return cloud.Info{}, cloud.ErrNotExist
	}
	return u.Store.Stat(ctx, name)
}
