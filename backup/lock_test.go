package backup_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
)

// leaveLock makes a device stop dead just after it has put its lock, and returns the lock's name.
func (p *phone) leaveLock() string {
	p.t.Helper()
	before := p.contents()
	r, err := backup.Open(p.t.Context(), &haltingStore{Store: p.store, left: 1}, p.key, p.options())
	must(p.t, err)
	defer r.Close()
	if _, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats}); !errors.Is(err, errHalted) {
		p.t.Fatalf("%v, want it halted", err)
	}
	for _, name := range in(p.contents(), "lock") {
		if before[name] == nil {
			return name
		}
	}
	p.t.Fatal("no lock is left")
	return ""
}

// writers are the runs that need a lock.
func writers(p *phone) map[string]func(r *backup.Repo) error {
	return map[string]func(r *backup.Repo) error{
		"backup": func(r *backup.Repo) error {
			_, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats})
			return err
		},
		"prune": func(r *backup.Repo) error {
			_, err := r.Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
			return err
		},
		"rotate": func(r *backup.Repo) error { return r.Rotate(p.t.Context(), newKey(p.t)) },
	}
}

// While another device's lock is fresh nothing is written, and it is said whose it is; reading goes on.
func TestLockOfAnotherDevice(t *testing.T) {
	p := newPhone(t)
	p.write("f", []byte("f"))
	p.backup(backup.BackupOptions{})
	q := p.another(2, true)
	q.write("f", []byte("f"))
	lock := q.leaveLock()
	p.age(lock, 29*time.Minute)
	before := len(p.contents())
	for what, run := range writers(p) {
		err := run(p.open())
		var e *backup.LockedError
		if !errors.Is(err, backup.ErrLocked) || !errors.As(err, &e) || e.Device != q.device || e.What != "backup" || time.Since(e.Since).Abs() > time.Hour {
			t.Errorf("%s: %v", what, err)
		}
		if got := len(p.contents()); got != before {
			t.Errorf("%s: %d objects, want %d", what, got, before)
		}
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	if v := p.verify(1); len(v.Damage) > 0 {
		t.Errorf("%+v", v)
	}
	if res := p.backup(backup.BackupOptions{DryRun: true}); !res.NothingNew {
		t.Errorf("%+v", res)
	}
}

// A lock that nobody can read is someone's: whoever put it there can stop writing for half an hour, and not for ever.
func TestUnreadableLock(t *testing.T) {
	p := newPhone(t)
	p.write("f", []byte("f"))
	lock := p.leaveLock()
	object := p.contents()[lock]
	for what, b := range map[string][]byte{"flipped": flipped(object, 200), "cut": object[:50], "empty": {}, "large": make([]byte, 1<<20), "foreign": flipped(object, 20)} {
		p.put(lock, b)
		if _, err := p.open().Backup(t.Context(), backup.BackupOptions{Source: p.chats}); !errors.Is(err, backup.ErrLocked) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.age(lock, 31*time.Minute)
	if res := p.backup(backup.BackupOptions{}); !res.ReclaimedLock {
		t.Errorf("%+v", res)
	}
}

// A lock half an hour old is taken over; what its owner may still be storing is then not deleted, however old it looks.
func TestStaleLock(t *testing.T) {
	p := newPhone(t)
	p.write("f", []byte("f"))
	p.backup(backup.BackupOptions{})
	orphan := "data/" + strings.Repeat("cd", 16)
	p.put(orphan, []byte("what another device stores"))
	q := p.another(2, true)
	q.write("f", []byte("f"))
	stale := func() {
		p.age(q.leaveLock(), 31*time.Minute)
		p.age(orphan, 25*time.Hour)
	}
	stale()
	if res := p.backup(backup.BackupOptions{}); !res.ReclaimedLock {
		t.Errorf("%+v", res)
	}
	stale()
	if res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}}); res.OrphansRemoved != 0 {
		t.Errorf("%+v", res)
	}
	if p.contents()[orphan] == nil {
		t.Error("an orphan was deleted after another device's lock was taken over")
	}
	if locks := in(p.contents(), "lock"); len(locks) > 0 {
		t.Errorf("%v is left", locks)
	}
	p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}})
	if p.contents()[orphan] != nil {
		t.Error("the orphan is still there")
	}
}

// A device's own lock is what its last run left: it does not wait for itself.
func TestOwnLock(t *testing.T) {
	p := newPhone(t)
	p.write("f", []byte("f"))
	p.leaveLock()
	p.leaveLock()
	for what, run := range writers(p) {
		if what == "rotate" {
			continue // it comes last, below
		}
		if err := run(p.open()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.mark = backup.Mark{}
	}
	p.rotate()
	if locks := in(p.contents(), "lock"); len(locks) > 0 {
		t.Errorf("%v is left", locks)
	}
}
