package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/client"
)

// Media that were moved to a larger disk, and linked, are not in the backup: at every run that is said, of links that lead out only.
func TestLinksThatLeadOutAreSaid(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	outside := filepath.Join(filepath.Dir(w.chats), "disk2")
	err := errors.Join(
		os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "a.mp4"), nil, 0o600), os.Mkdir(filepath.Join(w.chats, "Media"), 0o700),
		os.Symlink("a.txt", filepath.Join(w.chats, "same")), os.Symlink("Media", filepath.Join(w.chats, "Photos")), os.Symlink("nowhere", filepath.Join(w.chats, "broken")),
	)
	if err != nil {
		t.Fatal(err)
	}
	w.mustBackup()
	if len(w.warnings) != 0 {
		t.Errorf("links within: %q", w.warnings)
	}
	for i, name := range []string{"Media/Videos", "Media/a.mp4"} {
		to := []string{outside, filepath.Join(outside, "a.mp4")}[i]
		if err := os.Symlink(to, filepath.Join(w.chats, name)); err != nil {
			t.Fatal(err)
		}
		want := []string{`the link "Media/Videos" leads out`, `2 links, such as "Media/Videos", lead out`}[i]
		for range 2 {
			w.warnings = nil
			w.mustBackup()
			if len(w.warnings) != 1 || !strings.HasPrefix(w.warnings[0], want) {
				t.Errorf("%q, want %s", w.warnings, want)
			}
		}
	}
}

// ./Databases is what a shell completes.
func TestPatternsAreCleaned(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	if err := os.MkdirAll(filepath.Join(w.chats, "Databases", "Old"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("Databases/msgstore.db", "messages")
	w.write("Databases/Old/msgstore.db", "messages")
	w.mustBackup()
	for _, test := range []struct {
		include, exclude []string
		files            int
	}{
		{include: []string{"./Databases"}, files: 2},
		{include: []string{"Databases//Old/"}, files: 1},
		{include: []string{"/Databases/./Old"}, files: 1},
		{exclude: []string{"./Databases"}, files: 1},
		{exclude: []string{"/Databases/Old/"}, files: 2},
	} {
		r, err := w.client().Restore(context.Background(), client.RestoreOptions{Target: filepath.Join(t.TempDir(), "out"), Include: test.include, Exclude: test.exclude})
		if err != nil || r.Files != test.files {
			t.Errorf("%+v: %+v, %v", test, r, err)
		}
	}
	b, err := w.client().Backup(context.Background(), client.BackupOptions{Exclude: []string{"./Databases/Old"}})
	if err != nil || b.Snapshot.Files != 2 {
		t.Errorf("%+v, %v", b, err)
	}
	for _, p := range []string{"", ".", "./", "/", "//", "[a"} {
		_, err := w.client().Restore(context.Background(), client.RestoreOptions{Target: filepath.Join(t.TempDir(), "out"), Include: []string{p}})
		if _, ok := errors.AsType[*backup.PatternError](err); !ok {
			t.Errorf("%q: %v", p, err)
		}
	}
}

// A disk that is full, or read-only: what has nothing to write does not write, and what only reads has its result.
func TestProfileThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	lock := filepath.Join(w.profile, "state.lock")
	if err := errors.Join(os.Remove(lock), os.Mkdir(lock, 0o700), os.RemoveAll(filepath.Join(w.profile, "cache")), os.WriteFile(filepath.Join(w.profile, "cache"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if r, err := w.client().Restore(context.Background(), client.RestoreOptions{Target: filepath.Join(t.TempDir(), "out")}); err != nil || r.Files != 1 {
		t.Errorf("restore: %+v, %v", r, err)
	}
	if list, err := w.client().Snapshots(context.Background(), nil); err != nil || len(list) != 1 {
		t.Errorf("snapshots: %d, %v", len(list), err)
	}
	if st, err := w.client().Status(context.Background()); err != nil || len(st.Snapshots) != 1 {
		t.Errorf("status: %+v, %v", st, err)
	}
	if len(w.warnings) != 0 {
		t.Errorf("nothing changed, and yet: %q", w.warnings)
	}
	packs, err := filepath.Glob(filepath.Join(w.cloud, "data", "*"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	w.spoil(packs[0], 300)
	if v, err := w.client().Verify(context.Background(), nil, 1); err != nil || len(v.Damage) != 1 {
		t.Errorf("verify: %+v, %v", v, err)
	}
	if err := w.client().CheckKey(context.Background(), "", k.last()); err != nil {
		t.Errorf("key check: %v", err)
	}
	if len(w.warnings) != 2 {
		t.Errorf("%q", w.warnings)
	}
	if err := os.Remove(filepath.Join(w.profile, "cache")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backup(); err == nil || !strings.Contains(err.Error(), "state.lock") {
		t.Error(err, "a backup that this device forgets is none that went well")
	}
}
