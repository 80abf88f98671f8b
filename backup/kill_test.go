package backup_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/key"
)

// kills is how often each operation is killed: more with -long. The moments are drawn anew each time, so that runs add up; that every step can
// be the last is for the tests that stop a store after so many changes.
func kills() int { return size(25, 8) }

var seed = flag.Uint64("seed", 0, "repeat the moments of kill tests as far as that goes; 0 draws anew")

// seeded draws the moments of one test.
func seeded(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 1))
}

// someTime is a moment within a run that takes about length, or a little after.
func someTime(rnd *rand.Rand, length time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(length + length/10 + time.Millisecond)))
}

// length measures a job. The child says when its work begins, so that nothing is wasted on killing it before.
func (p *phone) length(j *job) time.Duration {
	p.t.Helper()
	c := j.start(p.t, 0)
	began := time.Now()
	o := c.wait()
	if o == nil || o.Error != "" {
		p.t.Fatalf("%s: %+v", j.Do, o)
	}
	p.mark = o.Mark
	return time.Since(began)
}

// clone is another phone with the same key and a copy of the cloud. Objects never change, so links will do.
func (p *phone) clone() *phone {
	p.t.Helper()
	q := newPhone(p.t)
	q.key, q.mark, q.device = p.key, p.mark, p.device
	must(p.t, os.RemoveAll(q.clouds))
	must(p.t, filepath.WalkDir(p.clouds, func(path string, e fs.DirEntry, err error) error {
		must(p.t, err)
		to := q.clouds + strings.TrimPrefix(path, p.clouds)
		if e.IsDir() {
			return os.Mkdir(to, 0o755)
		}
		return os.Link(path, to)
	}))
	return q
}

// ageAll makes everything in the cloud older than left-over objects must be to be deleted.
func (p *phone) ageAll() {
	p.t.Helper()
	when := time.Now().Add(-50 * time.Hour)
	must(p.t, filepath.WalkDir(p.clouds, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			err = os.Chtimes(path, when, when)
		}
		return err
	}))
}

// sound checks every byte of the repository.
func (p *phone) sound() *backup.VerifyResult {
	p.t.Helper()
	v := p.verify(1)
	if len(v.Damage) > 0 {
		p.t.Fatalf("%d damaged, %v", len(v.Damage), v.Damage[0])
	}
	return v
}

// clean prunes what was left over and checks that nothing is.
func (p *phone) clean() {
	p.t.Helper()
	p.ageAll()
	r := p.open()
	_, err := r.Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1000}, MaxUnused: 0.5})
	must(p.t, err)
	p.mark = r.Mark()
	if v := p.sound(); v.Orphans > 0 {
		p.t.Fatalf("%d objects are left over, %d bytes", v.Orphans, v.OrphanBytes)
	}
}

func TestKilledBackup(t *testing.T) {
	t.Parallel()
	p, rnd := newPhone(t), seeded(t)
	p.history()
	length := p.length(p.job("backup"))
	trees := map[string]map[string]string{p.open().Snapshots()[0].ID: tree(t, p.chats)}
	killed := 0
	for day := 1; killed < kills(); day++ {
		if day > 3*kills() {
			t.Fatalf("only %d kills in %d days", killed, day)
		}
		p.nextDay(day)
		for i := range 4 {
			p.write(fmt.Sprintf("Media/Day %d/video %d.mp4", day, i), random(rnd, 1<<20))
		}
		for range 4 {
			if o := p.job("backup").start(t, 0).killAfter(someTime(rnd, length)); o != nil {
				length = o.Duration
				break
			}
			killed++
			if v := p.verify(0); len(v.Damage) > 0 {
				t.Fatalf("killed: %v", v.Damage[0])
			}
		}
		p.mark = p.job("backup").finish(t).Mark
		today := tree(t, p.chats)
		for _, s := range p.open().Snapshots() {
			if trees[s.ID] == nil {
				trees[s.ID] = today // the folder did not change since yesterday's last
			}
		}
		same(t, today, tree(t, p.restore("latest")))
	}
	p.uploadedOnce(killed)
	p.sound()
	p.clean()
	for id, want := range trees {
		same(t, want, tree(t, p.restore(id)))
	}
	p.noTemporaries()
}

// However often a backup is interrupted, what reached the cloud is not sent again.
func TestInterruptedAgainAndAgain(t *testing.T) {
	smallPacks(t)
	p := newPhone(t)
	rnd := rand.New(rand.NewPCG(1, 7))
	for i := range 24 {
		p.write(fmt.Sprintf("Media/%02d.jpg", i), random(rnd, 700_000))
	}
	p.sql("Databases/msgstore.db", makeMessages)
	runs := 0
	for finished := false; !finished; runs++ {
		if runs > 24 {
			t.Fatal("a backup that is interrupted after every few packs makes no progress")
		}
		ctx, cancel := context.WithCancel(t.Context())
		r, err := backup.Open(ctx, &interrupter{Store: p.store, n: 5, fn: cancel}, p.key, p.options())
		must(t, err)
		_, err = r.Backup(ctx, backup.BackupOptions{Source: p.chats})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		finished = err == nil
		p.mark = r.Mark()
	}
	if runs < 4 {
		t.Errorf("%d runs: it was hardly interrupted", runs)
	}
	p.uploadedOnce(runs)
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
}

// uploadedOnce compares all that was ever uploaded with one backup of the same contents: killed runs' packs are used by the next.
func (p *phone) uploadedOnce(killed int) {
	p.t.Helper()
	q := newPhone(p.t)
	q.chats = p.chats
	once := q.backup(backup.BackupOptions{}).BytesUploaded
	var whole, cut int64
	for _, folder := range []string{"data", "meta"} {
		entries, err := os.ReadDir(filepath.Join(p.clouds, folder))
		must(p.t, err)
		for _, e := range entries {
			info, err := e.Info()
			must(p.t, err)
			if strings.HasPrefix(e.Name(), ".tmp-") {
				cut += info.Size()
			} else {
				whole += info.Size()
			}
		}
	}
	p.t.Logf("%d kills; %d bytes in packs and %d in cut ones, %d in one run", killed, whole, cut, once)
	if whole > once*5/4 {
		p.t.Errorf("%d bytes were uploaded for %d", whole, once)
	}
	if most := int64(killed) * 2 * 2 * smallPack; cut > most { // two packs under way at each kill
		p.t.Errorf("%d bytes in cut packs, at most %d were expected", cut, most)
	}
}

// noTemporaries: a store removes what killed ones left when it first writes to a folder, if that is old.
func (p *phone) noTemporaries() {
	p.t.Helper()
	p.ageAll()
	p.write("one more.jpg", []byte("one more"))
	p.mark = p.job("backup").finish(p.t).Mark
	left, err := filepath.Glob(filepath.Join(p.clouds, "*", ".tmp-*"))
	must(p.t, err)
	if len(left) > 0 {
		p.t.Errorf("left over: %q", left)
	}
}

// churned is a phone with a few snapshots whose packs are partly unused, and their contents.
func churned(t *testing.T) (*phone, map[string]map[string]string) {
	p := newPhone(t)
	trees := make(map[string]map[string]string)
	rnd := rand.New(rand.NewPCG(3, 3))
	p.sql("Databases/msgstore.db", makeMessages)
	for day := range 5 {
		for i := day % 2; i < 8; i += 2 {
			p.write(fmt.Sprintf("Media/%d.jpg", i), random(rnd, 40_000))
		}
		p.nextDay(day)
		s := p.backup(backup.BackupOptions{}).Snapshot
		trees[s.ID] = tree(t, p.chats)
	}
	return p, trees
}

func TestKilledPrune(t *testing.T) {
	t.Parallel()
	base, trees := churned(t)
	rnd := seeded(t)
	first := base.clone()
	j := first.job("prune")
	j.Keep = 2
	length := first.length(j)
	before := base.open().Snapshots()
	for killed := 0; killed < kills(); {
		p := base.clone()
		j := p.job("prune")
		j.Keep = 2
		if o := j.start(t, 0).killAfter(someTime(rnd, length)); o == nil {
			killed++
		}
		p.sound()
		if n := len(p.open().Snapshots()); n != 2 && n != len(before) {
			t.Fatalf("%d snapshots after a kill, of %d", n, len(before))
		}
		latest := before[len(before)-1].ID
		same(t, trees[latest], tree(t, p.restore(latest)))
		p.mark = j.finish(t).Mark
		p.clean()
		if n := len(p.open().Snapshots()); n != 2 {
			t.Fatalf("%d snapshots after prune, want 2", n)
		}
		if killed%5 == 0 {
			kept := before[len(before)-2].ID
			same(t, trees[kept], tree(t, p.restore(kept)))
		}
	}
}

func TestKilledRotate(t *testing.T) {
	t.Parallel()
	base, trees := churned(t)
	rnd := seeded(t)
	latest := base.open().Snapshots()[len(trees)-1].ID
	rotation := func(p *phone) (*job, *key.Key) {
		next, err := key.Generate()
		must(t, err)
		j := p.job("rotate")
		j.NewKey = keyText(next)
		return j, next
	}
	j, _ := rotation(base.clone())
	length := base.clone().length(j)
	for killed := 0; killed < kills(); {
		p := base.clone()
		j, next := rotation(p)
		j.Cloud = p.clouds
		if o := j.start(t, 0).killAfter(someTime(rnd, length)); o == nil {
			killed++
		}
		p.rotated(next)
		if killed%5 == 0 {
			same(t, trees[latest], tree(t, p.restore(latest)))
		}
		p.write("later", []byte("later"))
		p.backup(backup.BackupOptions{AllowEmpty: true})
		p.sound()
	}
}

// rotated checks that one of the keys opens the repository, finishes the rotation, and goes on with the new one alone.
func (p *phone) rotated(next *key.Key) {
	p.t.Helper()
	old := p.key
	r, errOld := backup.Open(p.t.Context(), p.store, old, p.options())
	p.key = next
	n, errNew := backup.Open(p.t.Context(), p.store, next, p.options())
	switch {
	case errNew == nil:
		must(p.t, n.FinishRotation(p.t.Context()))
	case errOld == nil:
		must(p.t, r.Rotate(p.t.Context(), next))
	default:
		p.t.Fatalf("neither key opens the repository: %v; %v", errOld, errNew)
	}
	var wrong *backup.WrongKeyError
	if _, err := backup.Open(p.t.Context(), p.store, old, p.options()); !errors.As(err, &wrong) || wrong.ReplacedAt.IsZero() {
		p.t.Fatalf("the old key after rotation: %v, want to be told that it was replaced", err)
	}
	p.sound()
}

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	p, rnd := newPhone(t), seeded(t)
	p.sql("Databases/msgstore.db", makeMessages)
	for i := range 4 {
		p.write(fmt.Sprintf("Media/Video/%d.mp4", i), random(rnd, 1<<20+77))
		p.write(fmt.Sprintf("Media/Images/%d.jpg", i), random(rnd, 200_000))
	}
	p.write("Notes/zeros", make([]byte, 1<<20))
	must(t, os.Symlink("zeros", filepath.Join(p.chats, "Notes/link")))
	p.backup(backup.BackupOptions{})
	want := tree(t, p.chats)
	j := p.job("restore")
	j.Snapshot, j.Cache, j.Mark = p.open().Snapshots()[0].ID, "", backup.Mark{}
	j.Target = filepath.Join(t.TempDir(), "first")
	began := time.Now()
	full := j.finish(t).Restore.BytesFetched
	length := time.Since(began)
	for killed := 0; killed < kills(); {
		j.Target = filepath.Join(t.TempDir(), "restored")
		for range 3 {
			if o := j.start(t, 0).killAfter(someTime(rnd, length)); o != nil {
				break
			}
			killed++
			wholeFiles(t, want, j.Target)
		}
		p.continued(j, want, full)
	}
}

// wholeFiles: what has its final name is what it should be.
func wholeFiles(t testing.TB, want map[string]string, target string) (bytes int64) {
	t.Helper()
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	got := tree(t, target)
	maps.DeleteFunc(got, func(path, _ string) bool { return strings.HasPrefix(path, workFolder) })
	for path, is := range got {
		if is != want[path] && !strings.HasPrefix(is, "folder") {
			t.Fatalf("killed: %q is %.60s, should be %.60s", path, is, want[path])
		}
		if !strings.HasPrefix(is, "folder") && !strings.HasPrefix(is, "link") {
			bytes += fileSize(t, filepath.Join(target, path))
		}
	}
	return bytes
}

// workFolder is where a restore keeps what is not finished.
const workFolder = ".keepsake-restore"

// continued restores to the end into a folder where restores were killed, and checks that what was there is not fetched again.
func (p *phone) continued(j *job, want map[string]string, full int64) {
	p.t.Helper()
	have := wholeFiles(p.t, want, j.Target)
	_, err := os.Stat(filepath.Join(j.Target, workFolder, "restore.json"))
	begun := err == nil
	res, err := p.restoreInto(j.Snapshot, j.Target)
	if errors.Is(err, backup.ErrTargetNotEmpty) && !begun {
		got := tree(p.t, j.Target)
		delete(got, workFolder) // it was done but for removing this, which is empty
		same(p.t, want, got)
		return
	}
	must(p.t, err)
	same(p.t, want, tree(p.t, j.Target))
	if res.Continued != begun {
		p.t.Errorf("Continued is %v, a restore was begun: %v", res.Continued, begun)
	}
	// Contents may be stored once for two files, and compressed: have counts for at least two thirds of what it says.
	if most := full - have*2/3 + 1<<20; have > 0 && res.BytesFetched > most {
		p.t.Errorf("%d bytes fetched, with %d of %d there", res.BytesFetched, have, full)
	}
}
