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
	"keepsake.example/key"
)

// However enable is cut short, there is never a repository whose key nobody has,
// and running it again ends well.
func TestEnableCrashedAnywhere(t *testing.T) {
	for crash := 0; ; crash++ {
		reached := false
		for _, after := range []bool{false, true} {
			w, k := newWorld(t), &keeper{}
			w.crashAt(crash, after)
			_, err := w.enable(k)
			if reached = w.steps > crash; !reached {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if w.exists() && !w.opens(k.last()) {
				t.Fatalf("crashed at step %d: the repository does not open with the key delivered", crash)
			}
			w.heal()
			if _, err := w.enable(k); err != nil && !errors.Is(err, client.ErrEnabled) {
				t.Fatalf("crashed at step %d, after: %v; again: %v", crash, after, err)
			}
			if _, err := w.backup(); err != nil {
				t.Fatalf("crashed at step %d: backup: %v", crash, err)
			}
			if !w.opens(k.last()) {
				t.Fatalf("crashed at step %d: the last key delivered does not open the repository", crash)
			}
		}
		if !reached {
			if crash < 3 {
				t.Errorf("only %d steps were tried", crash)
			}
			return
		}
	}
}

// However a rotation is cut short, a key the person has opens the backup at every
// moment, and the next backup leaves exactly one that does.
func TestRotateCrashedAnywhere(t *testing.T) {
	for crash := 0; ; crash++ {
		reached := false
		for _, after := range []bool{false, true} {
			w := newWorld(t)
			k := w.mustEnable()
			old := k.last()
			w.crashAt(crash, after)
			err := w.client().Rotate(context.Background(), k.deliver)
			if reached = w.steps > crash; !reached {
				if err != nil || w.opens(old) || !w.opens(k.last()) {
					t.Fatalf("rotation: %v", err)
				}
				break
			}
			if !w.opens(old) && !w.opens(k.last()) {
				t.Fatalf("crashed at step %d: neither key opens the backup", crash)
			}
			w.heal()
			if _, err := w.client().Snapshots(context.Background(), nil); err != nil {
				t.Fatalf("crashed at step %d: reading: %v", crash, err)
			}
			if _, err := w.backup(); err != nil {
				t.Fatalf("crashed at step %d, after %v: backup: %v", crash, after, err)
			}
			if w.opens(old) == (len(k.keys) > 1 && w.opens(k.last())) {
				t.Fatalf("crashed at step %d, after %v: not exactly one key opens the backup", crash, after)
			}
			if mine, err := w.client().Key(); err != nil || !w.opens(mine) {
				t.Fatalf("crashed at step %d: this device has another key: %v", crash, err)
			}
			if len(w.keyring) != 1 && err == nil {
				t.Errorf("crashed at step %d: %d keys in the keyring", crash, len(w.keyring))
			}
		}
		if !reached {
			if crash < 5 {
				t.Errorf("only %d steps were tried", crash)
			}
			return
		}
	}
}

// The person who brings the old digits after an interrupted rotation means them.
func TestKeepGivesUpAnInterruptedRotation(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	old := k.last()
	err := w.client().Rotate(context.Background(), func(*key.Key) error {
		w.crash = w.steps // dead from the next step on
		return nil
	})
	w.heal()
	if !errors.Is(err, errCrash) || !w.opens(old) {
		t.Fatalf("the rotation was not interrupted before the ring was rewritten: %v", err)
	}
	if err := w.client().Keep(old, client.InKeyring); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backup(); err != nil || !w.opens(old) || len(w.keyring) != 1 {
		t.Errorf("%v; the old key opens: %v; %d keys kept", err, w.opens(old), len(w.keyring))
	}
}

func TestEnableRefusedByThePersonMakesNothing(t *testing.T) {
	w := newWorld(t)
	_, err := w.client().Enable(context.Background(), client.EnableOptions{
		Source: w.chats, Cloud: w.cloud, Deliver: func(*key.Key) error { return errCrash },
	})
	if !errors.Is(err, errCrash) || w.exists() || len(w.keyring) != 0 {
		t.Errorf("%v; repository %v; %d keys kept", err, w.exists(), len(w.keyring))
	}
	if _, err := w.client().Config(); !errors.Is(err, client.ErrNotEnabled) {
		t.Error(err)
	}
}

// A backup whose key ring is gone is not buried under a new one.
func TestEnableOverABackupWithoutItsRing(t *testing.T) {
	w := newWorld(t)
	enable := client.EnableOptions{Source: w.chats, Cloud: w.cloud, Deliver: new(keeper).deliver}
	c := w.client()
	if _, err := c.Enable(context.Background(), enable); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Backup(context.Background(), client.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	rings, err := filepath.Glob(filepath.Join(w.cloud, "ring", "*"))
	for _, ring := range rings {
		err = errors.Join(err, os.Remove(ring))
	}
	if err != nil || len(rings) == 0 {
		t.Fatal(rings, err)
	}
	w.profile = t.TempDir()
	if _, err := w.client().Enable(context.Background(), enable); !errors.Is(err, client.ErrRingGone) {
		t.Errorf("%v, want that its ring is gone", err)
	}
	if made, err := filepath.Glob(filepath.Join(w.cloud, "ring", "*")); err != nil || len(made) != 0 {
		t.Errorf("%v, %v", made, err)
	}
}

// brokenKeyring is one that does not answer, or lies.
type brokenKeyring struct{ lie bool }

func (b brokenKeyring) Get(_, _ string) (string, error) { return strings.Repeat("0", 64), nil }
func (b brokenKeyring) Delete(_, _ string) error        { return nil }
func (b brokenKeyring) Set(_, _, _ string) error {
	if b.lie {
		return nil
	}
	return client.ErrKeyring
}

func TestKeyGoesToAFileWhenTheKeyringCannotBeUsed(t *testing.T) {
	for _, lie := range []bool{false, true} {
		w := newWorld(t)
		c := client.New(client.Settings{Profile: w.profile, Keyring: brokenKeyring{lie}})
		k := &keeper{}
		r, err := c.Enable(context.Background(), client.EnableOptions{Source: w.chats, Cloud: w.cloud, Deliver: k.deliver})
		if err != nil || r.Config.KeyStore != client.InFile {
			t.Fatalf("lie %v: %v", lie, err)
		}
		info, err := os.Stat(filepath.Join(w.profile, "key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("lie %v: key file: %v %v", lie, info, err)
		}
		if !c.Holds(k.last()) {
			t.Errorf("lie %v: the key kept is not the one delivered", lie)
		}
		w2 := newWorld(t)
		c = client.New(client.Settings{Profile: w2.profile, Keyring: brokenKeyring{lie}})
		_, err = c.Enable(context.Background(), client.EnableOptions{Source: w2.chats, Cloud: w2.cloud, KeyStore: client.InKeyring, Deliver: k.deliver})
		if !errors.Is(err, client.ErrKeyring) || w2.exists() {
			t.Errorf("lie %v: asked for the keyring: %v", lie, err)
		}
	}
}

// Two commands at once: the second is told who holds the profile.
func TestSecondCommandIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	inside, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		k := &keeper{}
		first <- w.client().Rotate(context.Background(), func(got *key.Key) error {
			close(inside)
			<-leave
			return k.deliver(got)
		})
	}()
	<-inside
	_, err := w.backup()
	busy, ok := errors.AsType[*client.BusyError](err)
	if !ok || !errors.Is(err, client.ErrBusy) || busy.What != "key rotate" || busy.PID != os.Getpid() || busy.Since.IsZero() {
		t.Errorf("got %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, err := w.backup(); err != nil {
		t.Error(err)
	}
}

// regressions.md "Age of a backup unchecked: the cloud serves an old one".
func TestRolledBackCloudIsRecognised(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	older := w.cloud + ".older"
	if err := os.CopyFS(older, os.DirFS(w.cloud)); err != nil {
		t.Fatal(err)
	}
	w.write("b.txt", "new")
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(w.cloud), os.Rename(older, w.cloud)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // it must not be forgotten by being seen, nor by being used
		if _, err := w.older().Restore(context.Background(), client.RestoreOptions{
			Target: filepath.Join(t.TempDir(), "out"),
		}); err != nil {
			t.Fatal(i, err)
		}
		if _, err := w.backup(); !errors.Is(err, backup.ErrRolledBack) {
			t.Errorf("backup: %v", err)
		}
		if _, err := w.client().Snapshots(context.Background(), nil); !errors.Is(err, backup.ErrRolledBack) {
			t.Errorf("snapshots: %v", err)
		}
	}
}

func TestLostStateIsSaid(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	path := filepath.Join(w.profile, "state.json")
	for _, spoil := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, []byte("{}"), 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		w.warnings = nil
		if _, err := w.backup(); err != nil || len(w.warnings) != 1 || !strings.Contains(w.warnings[0], "state.json") {
			t.Errorf("%v, warnings %q", err, w.warnings)
		}
		w.warnings = nil
		if _, err := w.backup(); err != nil || len(w.warnings) != 0 {
			t.Errorf("again: %v, warnings %q", err, w.warnings)
		}
	}
}

func TestDisableForgetsTheKey(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	if _, err := w.client().Disable(context.Background(), client.DisableOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(w.keyring) != 0 || !w.opens(k.last()) {
		t.Errorf("%d keys kept", len(w.keyring))
	}
	left, err := filepath.Glob(filepath.Join(w.profile, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("left in the profile: %v %v", left, err)
	}
}

// Somebody without the key must be able to take the backups away.
func TestDisableDeletesWithoutTheKey(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	clear(w.keyring)
	asked := false
	_, err := w.client().Disable(context.Background(), client.DisableOptions{Delete: true, Confirm: func(l client.Loss) error {
		asked = errors.Is(l.OpenError, client.ErrKeyMissing)
		return nil
	}})
	if err != nil || !asked || w.exists() {
		t.Errorf("%v; asked %v; still there %v", err, asked, w.exists())
	}
}

func TestJoinGoesOnWithoutUploadingAgain(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.write("big.bin", strings.Repeat("0123456789abcdef", 1<<16))
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	w2 := newWorld(t)
	w2.cloud = w.cloud
	if _, err := w2.client().Restore(context.Background(), client.RestoreOptions{
		At: &client.Place{Cloud: w.cloud, Key: k.last()}, Target: w2.chats, IntoNonEmpty: true,
	}); err != nil {
		t.Fatal(err)
	}
	r, err := w2.client().Enable(context.Background(), client.EnableOptions{Source: w2.chats, Cloud: w2.cloud, Join: k.last()})
	if err != nil || !r.Joined || r.Snapshots != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	b, err := w2.backup()
	if err != nil || b.BytesNew != 0 {
		t.Errorf("%d new bytes after joining, %v", b.BytesNew, err)
	}
}
