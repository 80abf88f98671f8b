package backup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

const lag = 2 * time.Second

// late are the traits of a network whose listings, and looks by name, lag behind.
var late = cloud.Traits{Parallel: 4, Lag: lag}

// lateNetwork has a phone on it with a few files and no backup yet.
func lateNetwork(t *testing.T) (*phone, *network) {
	t.Helper()
	p, n := newPhone(t), newNetwork(late)
	rnd := rand.New(rand.NewChaCha8([32]byte{14}))
	for i := range 3 {
		p.write(fmt.Sprintf("Media/%d.jpg", i), random(rnd, 200_000))
	}
	p.remote(n)
	return p, n
}

// ally is another device of the same person, with a folder of its own.
func (p *phone) ally(number int) *phone {
	q := *p
	q.device, q.cache, q.chats = fmt.Sprintf("%032x", number), p.t.TempDir(), p.t.TempDir()
	return &q
}

// A repository that another device made a moment ago is found, and a folder without one said to have none only when it cannot be lag.
func TestLagBeforeNoRepository(t *testing.T) {
	p, n := newPhone(t), newNetwork(late)
	backup.Warm()
	open := func() error {
		r, err := backup.Open(p.t.Context(), n.handle(), p.key, backup.Options{})
		if err == nil {
			r.Close()
		}
		return err
	}
	_, took := p.onNetwork(n, func() {
		if err := open(); !errors.Is(err, backup.ErrNoRepository) {
			t.Errorf("%v, want no repository", err)
		}
	})
	if took < lag {
		t.Errorf("no repository was said after %v", took)
	}
	p.onNetwork(n, func() {
		_, err := backup.Create(p.t.Context(), p.store, p.key, time.Now())
		must(p.t, err)
		must(p.t, open())
		if _, err := backup.Create(p.t.Context(), n.handle(), p.key, time.Now()); !errors.Is(err, backup.ErrRepositoryExists) {
			p.t.Errorf("%v, want that it exists", err)
		}
	})
}

// A device that restores finds what another one backed up a moment ago, and says that there is nothing only when it cannot be lag.
func TestLagBeforeNoSnapshot(t *testing.T) {
	p, n := lateNetwork(t)
	q := p.ally(2)
	snapshots := func() (found int, took time.Duration) {
		_, took = q.onNetwork(n, func() {
			n.mu.Lock()
			for name, o := range n.objects {
				if name[:5] == "head/" {
					o.by, o.put = nil, time.Now().Add(-lag/4)
				}
			}
			n.mu.Unlock()
			o := q.options()
			o.Expected = true
			r, err := backup.Open(q.t.Context(), q.store, q.key, o)
			must(q.t, err)
			found = len(r.Snapshots())
			r.Close()
		})
		return found, took
	}
	if found, took := snapshots(); found != 0 || took < lag || took > 2*lag {
		t.Errorf("%d snapshots before the first, after %v", found, took)
	}
	p.snap(n)
	if found, took := snapshots(); found != 1 || took > 2*lag {
		t.Errorf("%d snapshots after the first, after %v", found, took)
	}
}

// Who has opened a repository is told when another device's backup shows, and not of what was there or is its own.
func TestOvertaken(t *testing.T) {
	p, n := lateNetwork(t)
	p.snap(n)
	p.onNetwork(n, func() {
		time.Sleep(lag)
		q := p.ally(2)
		q.store = n.handle()
		reader := q.open()
		want := func(when string, want bool) {
			p.t.Helper()
			if got, err := reader.Overtaken(p.t.Context()); err != nil || got != want {
				p.t.Errorf("%s: %v, %v, want %v", when, got, err, want)
			}
		}
		want("before", false)
		p.write("last", []byte("last"))
		p.snapNow()
		want("not shown yet", false)
		time.Sleep(lag)
		want("shown", true)
		p.store = n.handle()
		reader = p.open()
		want("its own", false)
	})
}

// A device that runs again before its last run is shown takes it for neither an older state, nor damaged, nor missing, and sends nothing again.
func TestLagOfOwnLastRun(t *testing.T) {
	for _, day := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(day), func(t *testing.T) {
			p, n := lateNetwork(t)
			for i := range day - 1 {
				p.write("day", fmt.Append(nil, i))
				p.snap(n)
			}
			p.write("last", []byte("last"))
			var second *backup.BackupResult
			p.onNetwork(n, func() {
				p.snapNow()
				p.store = n.handle()
				second = p.snapNow()
				p.store = n.handle()
				if got := len(p.open().Snapshots()); got != day+1 {
					p.t.Errorf("%d snapshots, want %d", got, day+1)
				}
			})
			if !second.NothingNew || second.BytesSent != 0 {
				t.Errorf("the second run: %+v", second)
			}
			p.onNetwork(n, func() { must(p.t, verifyAll(p.open())) })
		})
	}
}

// Where only listings lag, what is looked for by name is found at once.
func TestLagOfListingsAlone(t *testing.T) {
	p, n := lateNetwork(t)
	n.exact = true
	p.snap(n)
	p.write("last", []byte("last"))
	p.onNetwork(n, func() {
		p.snapNow()
		p.store = n.handle()
		began := time.Now()
		if second := p.snapNow(); !second.NothingNew || second.BytesSent != 0 {
			p.t.Errorf("%+v", second)
		}
		if took := time.Since(began); took > lag/2 {
			p.t.Errorf("it took %v", took)
		}
	})
}

// What another device wrote a moment ago is not called missing by one that sees its head already.
func TestLagBehindTheHead(t *testing.T) {
	p, n := lateNetwork(t)
	p.snap(n)
	n.mu.Lock()
	for _, o := range n.objects {
		o.by = nil
	}
	n.mu.Unlock()
	p.onNetwork(n, func() {
		n.mu.Lock()
		for name, o := range n.objects {
			if name[:5] != "head/" && name[:5] != "ring/" {
				o.put = time.Now().Add(-lag / 4)
			}
		}
		n.mu.Unlock()
		q := *p
		q.cache, q.mark = p.t.TempDir(), backup.Mark{}
		q.store = n.handle()
		must(p.t, verifyAll(q.open()))
	})
	p.onNetwork(n, func() {
		n.mu.Lock()
		for name, o := range n.objects {
			if name[:5] == "data/" || name[:5] == "meta/" {
				o.put = time.Now().Add(-lag / 4)
			}
		}
		n.mu.Unlock()
		p.store = n.handle()
		if res := p.snapNow(); !res.NothingNew || res.BytesSent != 0 {
			p.t.Errorf("%+v", res)
		}
	})
}

// An older state is still called that, when it cannot be lag any more; and what is missing, missing.
func TestLagHidesNoRollback(t *testing.T) {
	p, n := lateNetwork(t)
	p.snap(n)
	p.write("more", []byte("more"))
	p.snap(n)
	heads := n.names("head/")
	newest := n.objects[heads[len(heads)-1]]
	delete(n.objects, heads[len(heads)-1])
	_, took := p.onNetwork(n, func() { wantRollback(p.t, "without the newest head", p.opensOn(n.handle()), p.mark) })
	if took < lag || took > 2*lag {
		t.Errorf("it was said after %v", took)
	}
	n.objects[heads[len(heads)-1]] = newest
	pack := n.names("data/")[0]
	delete(n.objects, pack)
	_, took = p.onNetwork(n, func() {
		p.store = n.handle()
		v, err := p.open().Verify(p.t.Context(), backup.VerifyOptions{})
		must(p.t, err)
		if len(v.Damage) != 1 || v.Damage[0].Object != pack || v.Damage[0].Layer != "missing" {
			p.t.Errorf("%v", v.Damage)
		}
	})
	if took < lag || took > 2*lag {
		t.Errorf("missing was said after %v", took)
	}
}

func (p *phone) opensOn(store cloud.Store) error {
	r, err := backup.Open(p.t.Context(), store, p.key, p.options())
	if err == nil {
		r.Close()
	}
	return err
}

// aRace is two devices that write at times that differ by a part of the lag.
type aRace struct {
	n      *network
	p      *phone
	one    func(p *phone) error
	other  func(p *phone) error
	errs   [2]error
	allies [2]*phone
}

func (x *aRace) run(offset time.Duration) {
	var running sync.WaitGroup
	x.p.onNetwork(x.n, func() {
		for i, write := range []func(p *phone) error{x.one, x.other} {
			q := x.allies[i]
			q.t, q.store = x.p.t, x.n.handle()
			running.Go(func() {
				if i == 1 {
					time.Sleep(offset)
				}
				x.errs[i] = write(q)
			})
		}
		running.Wait()
	})
}

// Two devices write at about the same time, and neither's listing shows what the other has just done. Nothing that either was told is stored may
// be lost: not its snapshot, not a chunk of it, not a key.
func TestLagBetweenDevices(t *testing.T) {
	newKey, err := key.Generate()
	must(t, err)
	snap := func(p *phone) error { _, err := p.trySnap(); return err }
	writers := map[string]func(p *phone) error{
		"backup": snap,
		"prune": func(p *phone) error {
			r, err := backup.Open(p.t.Context(), p.store, p.key, p.options())
			if err == nil {
				_, err = r.Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
			}
			return err
		},
		"rotate": func(p *phone) error {
			r, err := backup.Open(p.t.Context(), p.store, p.key, p.options())
			if err == nil {
				err = r.Rotate(p.t.Context(), newKey)
			}
			return err
		},
	}
	for what, write := range writers {
		t.Run(what, func(t *testing.T) {
			both := 0
			for offset := -11 * lag / 4; offset <= 19*lag/4; offset += lag / 2 {
				x := racing(t, write, snap)
				one, other := x.one, x.other
				if offset < 0 {
					x.one, x.other = other, one
					x.allies[0], x.allies[1] = x.allies[1], x.allies[0]
				}
				x.run(offset.Abs())
				if x.judge(t, fmt.Sprintf("%s, %v later", what, offset), newKey, what == "rotate") {
					both++
				}
			}
			t.Logf("%d times both were done", both)
			if both == 0 {
				t.Error("never both: nothing raced")
			}
		})
	}
}

// racing has two snapshots on the network: the first with a file that the second device has again, and that pruning is about to delete.
func racing(t *testing.T, one, other func(p *phone) error) *aRace {
	p, n := lateNetwork(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{15}))
	again := random(rnd, 250_000)
	p.write("again", again)
	p.snap(n)
	must(t, os.Remove(filepath.Join(p.chats, "again")))
	p.write("new", []byte("new"))
	p.snap(n)
	a, b := p.ally(21), p.ally(22)
	a.write("mine", []byte("mine"))
	b.write("again", again)
	for _, q := range []*phone{a, b} {
		q.onNetwork(n, func() { must(q.t, q.opensOn(n.handle())) })
	}
	return &aRace{n: n, p: p, one: one, other: other, allies: [2]*phone{a, b}}
}

// judge looks at the repository as a new device does when the lag is over.
func (x *aRace) judge(t *testing.T, what string, newKey *key.Key, rotated bool) (both bool) {
	t.Helper()
	good := 0
	for i, err := range x.errs {
		if err == nil {
			good++
		} else if !errors.Is(err, backup.ErrLocked) && !errors.Is(err, backup.ErrWrongKey) {
			t.Errorf("%s: %d: %v", what, i, err)
		}
	}
	x.p.onNetwork(x.n, func() {
		x.p.store = x.n.handle()
		r, err := backup.Open(x.p.t.Context(), x.p.store, x.p.key, backup.Options{})
		if rotated && errors.Is(err, backup.ErrWrongKey) {
			r, err = backup.Open(x.p.t.Context(), x.p.store, newKey, backup.Options{})
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer r.Close()
		if err := verifyAll(r); err != nil {
			t.Errorf("%s (%v): %v", what, x.errs, err)
		}
		for i, q := range x.allies {
			if x.errs[i] == nil && q.mark.Seq != 0 && !x.holds(r, q) {
				t.Errorf("%s: device %d was told that its snapshot is stored, and it is not there", what, i)
			}
		}
	})
	return good == 2
}

// holds reports whether the snapshot that a device made is there, if it made one.
func (x *aRace) holds(r *backup.Repo, q *phone) bool {
	for _, s := range r.Snapshots() {
		if s.Device == q.device {
			return true
		}
	}
	return q.device == fmt.Sprintf("%032x", 21) // which may have pruned or rotated instead
}

// A store that lists everything twice confuses nothing.
func TestDoubledListings(t *testing.T) {
	p, n := newPhone(t), newNetwork(far)
	p.history()
	n.double = true
	p.remote(n)
	for day := range 4 {
		if day > 0 {
			p.nextDay(day)
		}
		p.snap(n)
	}
	p.onNetwork(n, func() {
		must(p.t, verifyAll(p.open()))
		u, err := p.open().Usage(p.t.Context())
		must(p.t, err)
		if u.Objects["head"] != 3 || u.Objects["snapshot"] != 4 || u.Objects["key ring"] != 2 {
			p.t.Errorf("%+v", u)
		}
		_, err = p.open().Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}})
		must(p.t, err)
		must(p.t, verifyAll(p.open()))
		there := len(n.names(""))
		objects, _, err := backup.Destroy(p.t.Context(), p.store)
		if left := n.names(""); err != nil || len(left) > 0 || objects != there {
			p.t.Errorf("%d of %d objects deleted, left %v, %v", objects, there, left, err)
		}
	})
}

// latePacks shows packs late and everything else at once.
type latePacks struct {
	cloud.Store
	late cloud.Store
}

func (s latePacks) Traits() cloud.Traits { return cloud.TraitsOf(s.late) }

func (s latePacks) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if strings.HasPrefix(prefix, "data") {
		return s.late.List(ctx, prefix, fn)
	}
	return s.Store.List(ctx, prefix, fn)
}

// A copy made a moment after a backup has the packs that its head names.
func TestCopyOfALateStore(t *testing.T) {
	p, n := lateNetwork(t)
	p.onNetwork(n, func() {
		p.snapNow()
		to, err := dir.Create(filepath.Join(p.t.TempDir(), "copy"))
		must(p.t, err)
		_, err = backup.Copy(p.t.Context(), latePacks{p.store, n.handle()}, to, backup.CopyOptions{})
		must(p.t, err)
		r, err := backup.Open(p.t.Context(), to, p.key, backup.Options{})
		must(p.t, err)
		defer r.Close()
		must(p.t, verifyAll(r))
	})
}

// Destroy finds what is shown late, too.
func TestDestroyOnALateStore(t *testing.T) {
	p, n := lateNetwork(t)
	p.onNetwork(n, func() {
		p.snapNow()
		_, _, err := backup.Destroy(p.t.Context(), n.handle())
		if left := n.names(""); err != nil || len(left) > 0 {
			p.t.Errorf("left %v, %v", left, err)
		}
	})
}

// A rotation that was interrupted a moment ago is seen to its end: no ring of the old key stays because a listing did not show the new one.
func TestLagOfARotation(t *testing.T) {
	for _, after := range []string{"Put ring/", "Delete ring/"} {
		t.Run(after, func(t *testing.T) {
			p, n := lateNetwork(t)
			n.exact = true
			p.snap(n)
			next, old := newKey(t), p.key
			p.onNetwork(n, func() {
				ctx, interrupt := context.WithCancel(p.t.Context())
				n.fail = func(method, name string) error {
					if strings.HasPrefix(method+" "+name, after) {
						interrupt()
						if method == "Delete" {
							return context.Canceled
						}
					}
					return nil
				}
				if err := p.open().Rotate(ctx, next); !errors.Is(err, context.Canceled) {
					p.t.Fatal(err)
				}
				n.fail = nil
				p.key, p.store = next, n.handle()
				must(p.t, p.open().FinishRotation(p.t.Context()))
				if rings := n.names("ring/"); len(rings) != 1 && (len(rings) != 2 || after == "Put ring/") {
					p.t.Errorf("rings %v", rings)
				}
				must(p.t, verifyAll(p.open()))
				p.key, n.exact = old, false // so that what says that it was replaced is not shown yet
				if err := p.opensOn(n.handle()); !errors.Is(err, backup.ErrWrongKey) {
					p.t.Errorf("with the old key: %v", err)
				}
			})
		})
	}
}
