package backup_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// memoryBound is the promise: 200 MiB for any input.
const memoryBound = 200 << 20

// size is full with -long, and small otherwise.
func size[T any](full, small T) T {
	if *long {
		return full
	}
	return small
}

// within runs a job and holds it to the bound.
func (j *job) within(t *testing.T, what string) *outcome {
	t.Helper()
	j.Pack = 0
	o := j.finish(t)
	t.Logf("%-28s %4d MiB at most, %v", what, o.Peak>>20, o.Duration.Round(10*time.Millisecond))
	if o.Peak == 0 || o.Peak > memoryBound {
		t.Errorf("%s: %d MiB of memory, bound is %d", what, o.Peak>>20, memoryBound>>20)
	}
	return o
}

// rounds backs up, again, verifies and restores, each in a process of its own, and returns where the restored folder is.
func (p *phone) rounds(t *testing.T) string {
	t.Helper()
	first := p.job("backup").within(t, "first backup")
	if n := len(first.Backup.Problems); n > 0 {
		t.Fatalf("%d problems, %+v", n, first.Backup.Problems[0])
	}
	p.mark = first.Mark
	time.Sleep(2600 * time.Millisecond) // times can be trusted from now on
	p.mark = p.job("backup").within(t, "second backup").Mark
	third := p.job("backup").within(t, "nothing changed")
	p.mark = third.Mark
	if b := third.Backup; !b.NothingNew || b.BytesRead != 0 {
		t.Errorf("nothing changed, but: new %d changed %d removed %d, %d bytes read", b.Snapshot.New, b.Snapshot.Changed, b.Snapshot.Removed, b.BytesRead)
	}
	if o := p.job("verify").within(t, "verify every byte"); len(o.Verify.Damage) > 0 {
		t.Errorf("damage: %+v", o.Verify.Damage[0])
	}
	prune := p.job("prune")
	prune.Keep = 1
	p.mark = prune.within(t, "prune").Mark
	restore := p.job("restore")
	restore.Snapshot = p.open().Snapshots()[0].ID
	restore.Target = filepath.Join(filepath.Dir(p.chats), "restored")
	restore.Cache = restore.Target + "-cache" // a new phone has none
	restore.Mark = backup.Mark{}
	restore.within(t, "restore")
	return restore.Target
}

// beside lets the short forms, which mostly wait for times to settle, run at once. Each is measured in processes of its own.
func beside(t *testing.T) {
	if !*long {
		t.Parallel()
	}
}

func TestManyTinyFiles(t *testing.T) {
	beside(t)
	p := newPhone(t)
	count := size(1_000_000, 2_000)
	for i := range count {
		name := filepath.Join(p.chats, fmt.Sprintf("%03d/%02d", i/10_000, i/100%100), fmt.Sprintf("message-%07d.txt", i))
		if i%100 == 0 {
			must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		}
		must(t, os.WriteFile(name, fmt.Appendf(nil, "tiny file number %d", i), 0o644))
	}
	restored := p.rounds(t)
	for i := range count {
		name := fmt.Sprintf("%03d/%02d/message-%07d.txt", i/10_000, i/100%100, i)
		if got, err := os.ReadFile(filepath.Join(restored, name)); err != nil || string(got) != fmt.Sprintf("tiny file number %d", i) {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
	}
	p.touchedAll(t, count)
}

// touchedAll: every file is read again and known again, while the cloud is slow to take the new manifest. What waits must be bounded.
func (p *phone) touchedAll(t *testing.T, count int) {
	now := time.Now().Add(-time.Hour)
	must(t, filepath.WalkDir(p.chats, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			err = os.Chtimes(path, now, now)
		}
		return err
	}))
	j := p.job("backup")
	j.Slow, j.Traits = size(4*time.Second, 200*time.Millisecond), cloud.Traits{Parallel: 4}
	o := j.within(t, "all touched, slow cloud")
	if o.Backup.Snapshot.Files != count || o.Backup.BytesNew != 0 || o.Backup.Snapshot.Changed != 0 {
		t.Errorf("%+v", o.Backup)
	}
}

// One very large file: mostly holes with data scattered in it, then a dense stretch.
func TestHugeFile(t *testing.T) {
	beside(t)
	p := newPhone(t)
	total, dense := size[int64](20<<30, 512<<20), size[int64](3<<30, 48<<20)
	path := filepath.Join(p.chats, "huge.bin")
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(total))
	rnd := rand.NewChaCha8([32]byte{5})
	buf := make([]byte, 1<<20)
	for range size(500, 30) {
		rnd.Read(buf[:100_000])
		_, err := f.WriteAt(buf[:100_000], int64(rnd.Uint64()%uint64(total-dense-1<<20)))
		must(t, err)
	}
	for at := total - dense; at < total; at += int64(len(buf)) {
		rnd.Read(buf)
		_, err := f.WriteAt(buf, at)
		must(t, err)
	}
	must(t, f.Close())
	restored := filepath.Join(p.rounds(t), "huge.bin")
	sameFile(t, path, restored)
	if was, is := onDisk(t, path), onDisk(t, restored); is > was+was/2+64<<20 {
		t.Errorf("the restored file takes %d bytes of the disk, the original %d", is, was)
	}
}

func TestHugeDatabase(t *testing.T) {
	beside(t)
	p := newPhone(t)
	rows := size(3<<30/4000, 24<<20/4000)
	p.sql("msgstore.db", "PRAGMA journal_mode=off", "PRAGMA synchronous=off", "CREATE TABLE m(id INTEGER PRIMARY KEY, t TEXT, b BLOB)",
		fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
			INSERT INTO m SELECT i, 'message '||i||hex(randomblob(400)), randomblob(3000) FROM n`, rows))
	path := filepath.Join(p.chats, "msgstore.db")
	restored := filepath.Join(p.rounds(t), "msgstore.db")
	sameFile(t, path, restored)
	// A change to every 50th page or so breaks the runs of pages into short ones.
	p.sql("msgstore.db", "PRAGMA journal_mode=off", "UPDATE m SET t = 'changed' || t WHERE id % 50 = 0")
	o := p.job("backup").within(t, "scattered changes")
	if o.Backup.BytesNew > fileSize(t, path)/10 {
		t.Errorf("%d bytes of %d are new", o.Backup.BytesNew, fileSize(t, path))
	}
	slow := p.job("backup")
	p.sql("msgstore.db", "PRAGMA journal_mode=off", "UPDATE m SET b = randomblob(3000)")
	slow.Slow, slow.Traits = 200*time.Millisecond, cloud.Traits{Parallel: 4} // so that most of it goes through the spool
	slow.Mark = o.Mark
	slow.within(t, "all changed, slow cloud")
}

// sameFile compares two files, however large.
func sameFile(t testing.TB, a, b string) {
	t.Helper()
	x, err := os.Open(a)
	must(t, err)
	defer x.Close()
	y, err := os.Open(b)
	must(t, err)
	defer y.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := 0; ; at++ {
		n, errX := io.ReadFull(x, p)
		m, errY := io.ReadFull(y, q)
		if !bytes.Equal(p[:n], q[:m]) {
			t.Fatalf("%s and %s differ in MiB %d", a, b, at)
		}
		if errX != nil || errY != nil {
			return
		}
	}
}

// onDisk is how many bytes a file takes there.
func onDisk(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func fileSize(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

// Over a network four packs are on their way at a time, and as many are read: the bound holds with those too.
func TestMemoryOverANetwork(t *testing.T) {
	beside(t)
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{17}))
	for i := range size(60, 11) {
		p.write(fmt.Sprintf("Media/%d.mp4", i), random(rnd, 16<<20))
	}
	p.sql("msgstore.db", makeMessages)
	j := p.job("backup")
	j.Slow, j.Traits = 300*time.Millisecond, cloud.Traits{Parallel: 4}
	p.mark = j.within(t, "first backup, network").Mark
	restore := p.job("restore")
	restore.Slow, restore.Traits = j.Slow, j.Traits
	restore.Snapshot, restore.Cache, restore.Mark = p.open().Snapshots()[0].ID, "", backup.Mark{}
	restore.Target = filepath.Join(filepath.Dir(p.chats), "restored")
	restore.within(t, "restore, network")
	same(t, tree(t, p.chats), tree(t, restore.Target))
}
