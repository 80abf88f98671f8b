package backup_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A drowsy store stops once, where the device is to sleep: before or after a Put, before a listing or after a Delete, of a folder, once the run's lock is there.
type drowsy struct {
	cloud.Store
	traits cloud.Traits
	at     string // "before", "after", "list" or "deleted", a blank, and the folder
	locked atomic.Bool
	once   sync.Once
	sleep  func()
}

func (s *drowsy) Traits() cloud.Traits { return s.traits }

func (s *drowsy) here(what, name string) {
	when, folder, _ := strings.Cut(s.at, " ")
	if when == what && strings.HasPrefix(name, folder) && s.locked.Load() {
		s.once.Do(s.sleep)
	}
}

func (s *drowsy) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	s.here("before", name)
	err := s.Store.Put(ctx, name, body, size)
	s.here("after", name)
	if strings.HasPrefix(name, "lock/") {
		s.locked.Store(true)
	}
	return err
}

func (s *drowsy) List(ctx context.Context, folder string, fn func(cloud.Info) error) error {
	s.here("list", folder)
	return s.Store.List(ctx, folder, fn)
}

func (s *drowsy) Delete(ctx context.Context, name string) error {
	err := s.Store.Delete(ctx, name)
	s.here("deleted", name)
	return err
}

// slept is a device with a removed picture in an older snapshot, another one that has the picture too, and a store on which the first one's
// run sleeps for 40 minutes, of which its own timers notice nothing; then meanwhile runs.
func slept(t *testing.T, traits cloud.Traits, at string, meanwhile func(p, q *phone)) (p, q *phone, s *drowsy) {
	p = newPhone(t)
	picture := random(rand.New(rand.NewPCG(1, 2)), 1<<20)
	p.write("a", []byte("a"))
	p.write("picture", picture)
	p.backup(backup.BackupOptions{})
	must(t, os.Remove(filepath.Join(p.chats, "picture")))
	for range 3 { // so that there are heads to delete
		p.backup(backup.BackupOptions{})
	}
	q = p.another(2, true)
	q.mark = p.mark
	q.write("a", []byte("a"))
	q.write("picture", picture)
	var asleep atomic.Int64
	p.now = func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }
	s = &drowsy{Store: p.store, traits: traits, at: at}
	s.sleep = func() {
		asleep.Store(int64(40 * time.Minute))
		for _, l := range in(p.contents(), "lock") {
			p.age(l, 40*time.Minute)
		}
		meanwhile(p, q)
	}
	return p, q, s
}

func (p *phone) on(s cloud.Store, run func(r *backup.Repo) error) error {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), s, p.key, p.options())
	must(p.t, err)
	defer r.Close()
	return run(r)
}

// Where the device sleeps, how far away the cloud is, and what it finds when it wakes.
var placesToSleep = map[string]cloud.Traits{"folder": {}, "network": far, "lagging": {Parallel: 4, Lag: time.Millisecond}}

func backsUp(_, q *phone) { q.backup(backup.BackupOptions{}) }

func prunes(_, q *phone) { q.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}}) }

// A run that slept until another device took its lock over neither commits nor deletes: what it knows of the cloud is of before.
func TestSleptThroughTheLock(t *testing.T) {
	for where, traits := range placesToSleep {
		for _, c := range []struct {
			what, at  string
			meanwhile func(p, q *phone)
		}{
			{"backup", "before snap/", prunes},
			{"prune", "before index/", backsUp},
			{"backup", "before head/", prunes},
			{"backup", "after head/", backsUp},
			{"prune", "before head/", backsUp},
			{"prune", "after head/", backsUp},
			{"prune", "deleted head/", backsUp},
			{"rotate", "list head/", backsUp},
		} {
			t.Run(c.what+" "+c.at+" "+where, func(t *testing.T) {
				p, q, s := slept(t, traits, c.at, c.meanwhile)
				if c.what == "backup" {
					p.write("picture", mustRead(t, filepath.Join(q.chats, "picture")))
				}
				if err := p.on(s, writers(p)[c.what]); !errors.Is(err, backup.ErrLocked) {
					t.Errorf("%v, want it locked", err)
				}
				q.intact()
			})
		}
	}
}

// A renewal that comes due after the sleep does not hide that the lock was taken over.
func TestSleptBeforeARenewal(t *testing.T) {
	backup.Warm()
	synctest.Test(t, func(t *testing.T) {
		p, q, s := slept(t, far, "before index/", func(_, q *phone) {
			q.backup(backup.BackupOptions{})
			time.Sleep(11 * time.Minute) // awake
		})
		if err := p.on(s, writers(p)["prune"]); !errors.Is(err, backup.ErrLocked) {
			t.Errorf("%v, want it locked", err)
		}
		q.intact()
	})
}

// Slept, but nobody came: the run goes on, with its lock renewed.
func TestSleptAlone(t *testing.T) {
	for where, traits := range placesToSleep {
		for what, at := range map[string]string{"backup": "before snap/", "prune": "before head/", "rotate": "before ring/"} {
			t.Run(what+" "+where, func(t *testing.T) {
				p, q, s := slept(t, traits, at, func(p, _ *phone) {})
				must(t, p.on(s, writers(p)[what]))
				if what != "rotate" {
					q.intact()
				}
			})
		}
	}
}

// intact holds the repository to being whole, and no lock to being left.
func (p *phone) intact() {
	p.t.Helper()
	if v := p.verify(1); len(v.Damage) > 0 || len(v.Affected) > 0 {
		p.t.Errorf("%v %v", v.Damage, v.Affected)
	}
	p.restore("latest")
	if locks := in(p.contents(), "lock"); len(locks) > 0 {
		p.t.Errorf("%v is left", locks)
	}
}
