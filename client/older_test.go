package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

// heads lists the heads in the cloud, newest last.
func (w *world) heads() []string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.cloud, "head", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// spoil changes a byte of a file.
func (w *world) spoil(path string, at int) {
	w.t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		data[at] ^= 1
		err = errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, data, 0o600))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// looks calls what only reads.
func looks(c *client.Client) map[string]error {
	_, snapshots := c.Snapshots(context.Background(), nil)
	_, verify := c.Verify(context.Background(), nil, 0)
	_, status := c.Status(context.Background())
	_, prune := c.Prune(context.Background(), client.PruneOptions{Keep: backup.Policy{Last: 1}, DryRun: true})
	return map[string]error{"snapshots": snapshots, "verify": verify, "status": status, "dry prune": prune}
}

// A damaged newest head stops everything, until the person goes on with the state before: the next backup removes it.
func TestDamagedHeadIsLeftBehind(t *testing.T) {
	for _, newest := range []int{1, 2} { // heads that are damaged
		w := newWorld(t)
		k := w.mustEnable()
		for _, text := range []string{"one", "two", "three"} {
			w.write("a.txt", text)
			w.mustBackup()
		}
		bad := w.heads()[3-newest:]
		for _, name := range bad {
			w.spoil(name, 300)
		}
		for what, err := range looks(w.client()) {
			if !errors.Is(err, client.ErrNewestState) || !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := w.backup(); !errors.Is(err, client.ErrNewestState) {
			t.Errorf("backup: %v", err)
		}
		other := newWorld(t)
		join := client.EnableOptions{Source: other.chats, Cloud: w.cloud, Join: k.last()}
		if _, err := other.client().Enable(context.Background(), join); !errors.Is(err, client.ErrNewestState) {
			t.Errorf("join: %v", err)
		}

		for what, err := range looks(w.older()) {
			if err != nil {
				t.Errorf("%s with an older state: %v", what, err)
			}
		}
		if r, err := other.older().Enable(context.Background(), join); err != nil || r.Snapshots != 3-newest {
			t.Errorf("join with an older state: %+v, %v", r, err)
		}
		if _, err := w.backup(); !errors.Is(err, client.ErrNewestState) {
			t.Errorf("having looked, backup: %v", err)
		}
		if _, err := w.older().Backup(context.Background(), client.BackupOptions{}); err != nil {
			t.Fatal(err)
		}
		if left := w.heads(); slices.ContainsFunc(bad, func(name string) bool { return slices.Contains(left, name) }) {
			t.Error("the damaged head is still there")
		}
		for what, err := range looks(w.client()) {
			if err != nil {
				t.Errorf("%s afterwards: %v", what, err)
			}
		}
		w.mustBackup()
		if v, err := w.client().Verify(context.Background(), nil, 1); err != nil || len(v.Damage) > 0 {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// Prune as well, and of a cloud that was rolled back what is there is taken for the newest once something was written upon it, never by looking.
func TestOlderStateIsTakenByWriting(t *testing.T) {
	for what, write := range map[string]func(*client.Client) error{
		"backup": func(c *client.Client) error {
			_, err := c.Backup(context.Background(), client.BackupOptions{})
			return err
		},
		"prune": func(c *client.Client) error {
			_, err := c.Prune(context.Background(), client.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.5})
			return err
		},
	} {
		w := newWorld(t)
		w.mustEnable()
		w.mustBackup()
		w.mustBackup()
		older := w.cloud + ".older"
		if err := os.CopyFS(older, os.DirFS(w.cloud)); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			w.mustBackup()
		}
		if err := errors.Join(os.RemoveAll(w.cloud), os.Rename(older, w.cloud)); err != nil {
			t.Fatal(err)
		}
		for name, err := range looks(w.older()) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := write(w.client()); !errors.Is(err, backup.ErrRolledBack) {
			t.Errorf("%s, after looking: %v", what, err)
		}
		if err := write(w.older()); err != nil {
			t.Fatal(err)
		}
		if err := write(w.client()); err != nil {
			t.Errorf("%s, after writing: %v", what, err)
		}
	}
}

// Who can write to the first cloud cannot make the second one unusable: nothing is deleted there, so what he planted would stay.
func TestPlantedHeadIsNotCopied(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	w.mustBackup()
	second := w.cloud + ".second"
	copied := func() (*backup.CopyResult, error) {
		return w.client().Copy(context.Background(), client.CopyOptions{To: second})
	}
	if _, err := copied(); err != nil {
		t.Fatal(err)
	}
	planted := "00000000000003e8-000102030405060708090a0b0c0d0e0f"
	head, err := os.ReadFile(w.heads()[0])
	for i := range 16 {
		head[32+i] = byte(i)
	}
	if err := errors.Join(err, os.WriteFile(filepath.Join(w.cloud, "head", planted), head, 0o600)); err != nil {
		t.Fatal(err)
	}
	if r, err := copied(); r != nil || !errors.Is(err, client.ErrNewestState) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := w.client().Move(context.Background(), w.cloud+".third"); !errors.Is(err, client.ErrNewestState) {
		t.Error(err)
	}
	if _, err := w.older().Backup(context.Background(), client.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := copied(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(second, "head", planted)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// What a prune at the first place does to the second: the next copy's newest head is what counts there too.
func TestPrunedSnapshotsLeaveTheCopy(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	w.write("a.txt", "two")
	w.mustBackup()
	at := &client.Place{Cloud: w.cloud + ".second", Key: k.last()}
	for _, want := range []int{2, 1} {
		if _, err := w.client().Copy(context.Background(), client.CopyOptions{To: at.Cloud}); err != nil {
			t.Fatal(err)
		}
		v, err := w.client().Verify(context.Background(), at, 1)
		if err != nil || v.Snapshots != want || len(v.Damage) > 0 || (v.Orphans > 0) != (want == 1) {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := w.client().Prune(context.Background(), client.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.5}); err != nil {
			t.Fatal(err)
		}
	}
}

// between is a store where something happens before heads are listed the second time.
type between struct {
	cloud.Store
	heads *int
	f     func()
}

func (b between) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if prefix == "head/" {
		if *b.heads++; *b.heads == 2 {
			b.f()
		}
	}
	return b.Store.List(ctx, prefix, fn)
}

// Also when another device writes upon the older state while this one looks at it.
func TestLookingTakesNoOlderState(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	older := w.cloud + ".older"
	if err := os.CopyFS(older, os.DirFS(w.cloud)); err != nil {
		t.Fatal(err)
	}
	w.mustBackup()
	if err := errors.Join(os.RemoveAll(w.cloud), os.Rename(older, w.cloud)); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	if _, err := other.client().Enable(context.Background(), client.EnableOptions{Source: other.chats, Cloud: w.cloud, Join: k.last()}); err != nil {
		t.Fatal(err)
	}
	other.cloud = w.cloud
	s, listed := w.settings(), 0
	s.OlderState = true
	s.OpenCloud = func(context.Context, string, bool) (cloud.Store, error) {
		store, err := dir.Open(w.cloud)
		return between{store, &listed, func() { other.mustBackup(); other.mustBackup() }}, err
	}
	if v, err := client.New(s).Verify(context.Background(), nil, 0); err != nil || v.Snapshots != 3 || listed < 2 {
		t.Fatalf("%+v, %v, listed %d times", v, err, listed)
	}
	if _, err := w.backup(); !errors.Is(err, backup.ErrRolledBack) {
		t.Error(err)
	}
}
