package issuer_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/chatd/issuer"
)

// files are the names and contents of a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range must(os.ReadDir(dir)) {
		if e.Type().IsRegular() {
			all[e.Name()] = string(must(os.ReadFile(filepath.Join(dir, e.Name()))))
		}
	}
	return all
}

// leavesAll runs the check, and fails when it changed a file or made one. The -shm file is
// SQLite's memory that processes share: it is written for reading, too.
func leavesAll(t *testing.T, c issuer.Config) error {
	t.Helper()
	dir := filepath.Dir(c.Store)
	before := files(t, dir)
	i, err := issuer.Check(c)
	if err == nil {
		if i.Name() != name || len(i.JWKS()) == 0 {
			t.Errorf("made %q with keys %q", i.Name(), i.JWKS())
		}
		if err := i.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	after := files(t, dir)
	for file, text := range after {
		if old, ok := before[file]; (!ok || old != text) && !strings.HasSuffix(file, "-shm") {
			t.Errorf("%s: made %t, changed", file, !ok)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, and %d before", len(after), len(before))
	}
	return err
}

// A check beside the issuer that runs, and while none runs, finds the store good and leaves it.
func TestCheckLeavesTheStore(t *testing.T) {
	k := newKit(t)
	k.login("ann@example.com", phone)
	if err := leavesAll(t, k.c); err != nil {
		t.Errorf("beside it: %v", err)
	}
	k.login("bob@example.org", laptop)
	crashed := k.c
	crashed.Store = filepath.Join(t.TempDir(), "issuer.db")
	for file, text := range files(t, filepath.Dir(k.c.Store)) {
		if err := os.WriteFile(filepath.Join(filepath.Dir(crashed.Store), file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := leavesAll(t, crashed); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	k.close()
	if err := leavesAll(t, k.c); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestCheckMakesNoStore(t *testing.T) {
	k := newKit(t)
	c := k.c
	c.Store = filepath.Join(t.TempDir(), "issuer.db")
	if err := leavesAll(t, c); err != nil {
		t.Error(err)
	}
	c.Store = filepath.Join(filepath.Dir(c.Store), "none", "issuer.db")
	if _, err := issuer.Check(c); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its folder: %v", err)
	}
}

// What Open refuses, the check refuses.
func TestCheckFindsWhatOpenWould(t *testing.T) {
	k := newKit(t)
	k.close()
	garbage, newer, folder, empty := k.c, k.c, k.c, k.c
	garbage.Store = filepath.Join(t.TempDir(), "issuer.db")
	folder.Store = t.TempDir()
	empty.Store = filepath.Join(t.TempDir(), "issuer.db")
	newer.Store = filepath.Join(t.TempDir(), "issuer.db")
	for path, text := range map[string]string{garbage.Store: strings.Repeat("no database ", 1000), empty.Store: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := must(sql.Open("sqlite", newer.Store))
	must(db.Exec("CREATE TABLE x (y); PRAGMA user_version = 2"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]issuer.Config{"garbage": garbage, "newer": newer, "a folder": folder, "empty": empty} {
		found := leavesAll(t, c)
		i, err := issuer.Open(c)
		if (found == nil) != (err == nil) || (err == nil) != (what == "empty") {
			t.Errorf("%s: check: %v, open: %v", what, found, err)
		}
		if err == nil {
			err = i.Close(context.Background())
		}
		if what == "empty" && err != nil {
			t.Error(err)
		}
	}
}
