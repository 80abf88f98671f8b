package fakedrive_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/fakedrive"
	"keepsake.example/cloud/retry"
	"keepsake.example/key"
)

// lagging is a store that tells of the lag its server is given here, in place
// of the two minutes that are told of Google's: the engine waits that long.
type lagging struct {
	cloud.Store
	lag time.Duration
}

func (l lagging) Traits() cloud.Traits {
	t := cloud.TraitsOf(l.Store)
	t.Lag = l.lag
	return t
}

// phone is a person's device, whose repository is in their Drive. Every
// method is a process of its own: nothing is known from before.
type phone struct {
	*drive
	chats string
	key   *key.Key
	lag   time.Duration
	mark  backup.Mark
}

func newPhone(t testing.TB, d *drive, lag time.Duration) *phone {
	t.Helper()
	k, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{drive: d, chats: t.TempDir(), key: k, lag: lag}
	if _, err := backup.Create(t.Context(), p.store(true), k, time.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *phone) store(create bool) cloud.Store {
	p.t.Helper()
	var s *rclone.Store
	patient := retry.Options{Patience: 10 * time.Minute} // a person has fifteen; rclone itself pauses for up to 16 s after errors
	err := retry.Do(p.t.Context(), patient, func() (err error) {
		s, err = rclone.Open(p.t.Context(), p.config(create))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.Close() })
	return retry.New(lagging{s, p.lag}, patient)
}

func (p *phone) repo() *backup.Repo {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), p.store(false), p.key, backup.Options{Device: fmt.Sprintf("%032x", 7), Known: p.mark})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { r.Close() })
	return r
}

// write makes a file that no compression shortens.
func (p *phone) write(name string, seed byte, size int) {
	p.t.Helper()
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content) // never fails
	file := filepath.Join(p.chats, name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) backup() *backup.BackupResult {
	p.t.Helper()
	r := p.repo()
	res, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats})
	if err != nil {
		p.t.Fatal(err)
	}
	p.mark = r.Mark()
	return res
}

// wantRestored restores the newest snapshot on a new phone and compares.
func (p *phone) wantRestored() {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), p.store(false), p.key, backup.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	all := r.Snapshots()
	target := filepath.Join(p.t.TempDir(), "restored")
	res, err := r.Restore(p.t.Context(), backup.RestoreOptions{Snapshot: all[len(all)-1].ID, Target: target})
	if err != nil || len(res.Problems) > 0 {
		p.t.Fatalf("restoring: %v %v", err, res)
	}
	if diff := cmp.Diff(tree(p.t, p.chats), tree(p.t, target)); diff != "" {
		p.t.Errorf("what came back differs:\n%s", diff)
	}
}

func (p *phone) wantVerified() {
	p.t.Helper()
	res, err := p.repo().Verify(p.t.Context(), backup.VerifyOptions{ReadData: 1})
	if err != nil || len(res.Damage) > 0 {
		p.t.Fatalf("verifying: %v %v", err, res.Damage)
	}
}

func (p *phone) prune(keep int) *backup.PruneResult {
	p.t.Helper()
	r := p.repo()
	res, err := r.Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: keep}, MaxUnused: 0.1})
	if err != nil {
		p.t.Fatal(err)
	}
	p.mark = r.Mark()
	return res
}

func tree(t testing.TB, top string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, top)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// double plants a second object of each name in a folder, whole or cut.
func (p *phone) double(folder string, n int64) {
	p.t.Helper()
	names := p.Names(p.at(folder))
	for _, name := range names {
		if err := p.PlantCopy(p.at(folder+"/"+name), n); err != nil {
			p.t.Fatal(err)
		}
	}
	if len(names) == 0 {
		p.t.Errorf("there is nothing in %s to double", folder)
	}
}

// clock is the server's: real time and what a test adds to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

var folders = []string{"ring", "head", "data", "meta"}

// TestRepository: a repository lives in a Drive that shows changes late, and
// in which every object it has is suddenly there twice, as after uploads whose
// answers were lost, or as nobody but an enemy could make it: the second one
// cut short. Backing up, pruning, verifying and restoring go on as if not.
func TestRepository(t *testing.T) {
	for _, c := range []struct {
		name string
		cut  int64 // bytes of the second objects; negative for all
		seen bool  // by listings, before the next run begins
	}{{"whole", -1, false}, {"cut", 150, true}, {"empty", 0, true}} {
		t.Run(c.name, func(t *testing.T) {
			time := new(clock)
			d := startDrive(t, fakedrive.Config{Now: time.now})
			p := newPhone(t, d, lagOfTests)
			d.RepeatRows(true)
			d.SetLag(fakedrive.Lag{Names: lagOfTests * 3 / 4, Folders: lagOfTests / 2})
			double := func(folders ...string) {
				for _, folder := range folders {
					p.double(folder, c.cut)
				}
				if c.seen {
					time.forward(lagOfTests)
				}
			}
			p.write("one", 1, 300_000)
			p.backup()
			double(folders...)
			p.write("two", 2, 300_000)
			p.backup()
			p.wantVerified()
			p.wantRestored()
			p.write("one", 3, 300_000)
			p.backup()
			double(folders...)
			if res := p.prune(1); len(res.Removed) == 0 || res.ObjectsRemoved == 0 {
				t.Errorf("prune removed %+v", res)
			}
			p.wantVerified()
			p.wantRestored()
		})
	}
}

const lagOfTests = 400 * time.Millisecond
