package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

// at makes the world's cloud another folder for f.
func (w *world) at(path string, f func()) {
	before := w.cloud
	w.cloud = path
	defer func() { w.cloud = before }()
	f()
}

func TestCopyOpensAndFollowsRotation(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	to := w.cloud + ".copy"
	if _, err := w.client().Copy(t.Context(), client.CopyOptions{To: to}); err != nil {
		t.Fatal(err)
	}
	old := k.last()
	w.at(to, func() {
		if !w.opens(old) {
			t.Error("the copy does not open")
		}
	})
	if err := w.client().Rotate(t.Context(), k.deliver); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client().Copy(t.Context(), client.CopyOptions{To: to}); err != nil {
		t.Fatal(err)
	}
	w.at(to, func() {
		if w.opens(old) || !w.opens(k.last()) {
			t.Error("after a change of the key the copy opens with the old one, or not with the new one")
		}
	})
	// Somebody without a profile can copy too.
	empty := newWorld(t)
	third := w.cloud + ".third"
	if r, err := empty.client().Copy(t.Context(), client.CopyOptions{From: w.cloud, To: third}); err != nil || r.Objects == 0 {
		t.Errorf("copying without a profile: %+v, %v", r, err)
	}
	for _, to := range []string{w.cloud, filepath.Join(w.cloud, "data"), filepath.Join(w.profile, "copy"), filepath.Join(w.chats, "copy")} {
		if _, err := w.client().Copy(t.Context(), client.CopyOptions{To: to}); !errors.Is(err, client.ErrOverlap) {
			t.Errorf("a copy to %s: %v", to, err)
		}
	}
}

// mustBackup takes a snapshot.
func (w *world) mustBackup() {
	w.t.Helper()
	if _, err := w.backup(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) snapshots() int {
	w.t.Helper()
	list, err := w.client().Snapshots(w.t.Context(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}

func TestMove(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	old, to := w.cloud, w.cloud+".new"
	if _, err := w.client().Move(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	cfg, err := w.client().Config()
	if err != nil || cfg.Cloud != to || cfg.Left != old || !w.opens(k.last()) {
		t.Fatalf("moved to %s, left %s (%v)", cfg.Cloud, cfg.Left, err)
	}
	if _, err := w.client().Move(t.Context(), to+"2"); !errors.Is(err, client.ErrLeft) {
		t.Errorf("moving on before the first place is cleared: %v", err)
	}
	// Another device goes on with the old place meanwhile: what it wrote is not lost.
	other := newWorld(t)
	if _, err := other.client().Enable(t.Context(), client.EnableOptions{Source: other.chats, Cloud: old, Join: k.last(), Checked: true}); err != nil {
		t.Fatal(err)
	}
	other.mustBackup()
	w.write("b.txt", "more")
	w.mustBackup()
	verified := true
	no := errors.New("no")
	if _, _, err := w.client().DeleteLeft(t.Context(), func(left string, v bool) error { verified = v; return no }); !errors.Is(err, no) || verified {
		t.Errorf("asked: %v, verified %v", err, verified)
	}
	if _, err := w.client().Verify(t.Context(), nil, 1); err != nil {
		t.Fatal(err)
	}
	n, _, err := w.client().DeleteLeft(t.Context(), func(left string, v bool) error {
		verified = v
		other.write("late.txt", "while the person thinks")
		other.mustBackup()
		return nil
	})
	if err != nil || n == 0 || !verified {
		t.Fatalf("deleted %d objects, %v, verified %v", n, err, verified)
	}
	if s, err := dir.Open(old); err == nil {
		if _, err := backup.KeyCheck(t.Context(), s); !errors.Is(err, backup.ErrNoRepository) {
			t.Errorf("the old place still holds a backup: %v", err)
		}
	}
	if n := w.snapshots(); n != 4 {
		t.Errorf("%d snapshots at the new place, want the four of both devices", n)
	}
	if _, _, err := w.client().DeleteLeft(t.Context(), nil); !errors.Is(err, client.ErrNothingLeft) {
		t.Errorf("deleting twice: %v", err)
	}
}

// A move that dies at any step has moved or has not, and the next one finishes. Nothing is ever nowhere.
func TestMoveDies(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			w := newWorld(t)
			k := w.mustEnable()
			w.mustBackup()
			old, to := w.cloud, w.cloud+".new"
			w.crashAt(n, after)
			_, err := w.client().Move(t.Context(), to)
			w.heal()
			if !w.opens(k.last()) {
				t.Fatalf("died at step %d: the old place does not open", n)
			}
			cfg, errConfig := w.client().Config()
			if errConfig != nil || (cfg.Cloud != old) != (err == nil) {
				t.Fatalf("died at step %d (%v): the profile says %s (%v)", n, err, cfg.Cloud, errConfig)
			}
			if err == nil {
				if n < 5 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
			if _, err := w.client().Move(t.Context(), to); err != nil {
				t.Fatalf("moving again after step %d: %v", n, err)
			}
			w.mustBackup()
			if w.snapshots() != 2 {
				t.Errorf("%d snapshots", w.snapshots())
			}
		}
	}
}

// Nothing is deleted at the old place while the new one is damaged or cannot be reached.
func TestLeftStaysUntilTheCopyIsWhole(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	w.mustBackup()
	old, to := w.cloud, w.cloud+".new"
	if _, err := w.client().Move(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	yes := func(string, bool) error { return nil }
	packs, _ := filepath.Glob(filepath.Join(to, "data", "*"))
	for _, p := range packs {
		if err := os.Truncate(p, 100); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.client().DeleteLeft(t.Context(), yes); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("with the new place damaged: %v", err)
	}
	if err := os.Rename(to, to+".away"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.client().DeleteLeft(t.Context(), yes); err == nil || errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("with the new place gone: %v", err)
	}
	if s, err := dir.Open(old); err != nil {
		t.Error(err)
	} else if _, err := backup.KeyCheck(t.Context(), s); err != nil {
		t.Errorf("the old place: %v", err)
	}
	if left, err := w.client().ForgetLeft(); err != nil || left != old {
		t.Errorf("forgetting %s: %v", left, err)
	}
}

// A backup that was left behind is not forgotten by who believes that the backups are deleted, or that the old key opens nothing.
func TestLeftIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	w.mustBackup()
	old := w.cloud
	if _, err := w.client().Move(t.Context(), w.cloud+".new"); err != nil {
		t.Fatal(err)
	}
	var said []string
	c := client.New(client.Settings{Profile: w.profile, Keyring: w, Warn: func(text string) { said = append(said, text) }})
	if err := c.Rotate(t.Context(), k.deliver); err != nil {
		t.Fatal(err)
	}
	asked := func(client.Loss) error { t.Error("asked about the other one"); return nil }
	if _, err := c.Disable(t.Context(), client.DisableOptions{Delete: true, Confirm: asked}); !errors.Is(err, client.ErrLeft) {
		t.Errorf("deleting the backups: %v", err)
	}
	if _, err := c.Disable(t.Context(), client.DisableOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(said) != 2 || !strings.Contains(said[0], "still opens with the key before: "+old) || !strings.Contains(said[1], "stays too: "+old) {
		t.Errorf("told %q", said)
	}
}
