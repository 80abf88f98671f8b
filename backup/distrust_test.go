package backup_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keepsake.example/backup"
)

// What verify found damaged and is still on the device is stored again by the next backup that is told of it, once, without reading what else is there, and
// by no other: a flipped bit shows in no listing. Older snapshots that need the damaged pack are as they were.
func TestRereadHealsDamagedPacks(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{12}))
	p.write("f", random(rnd, 300_000))
	p.write("small", random(rnd, 900))
	p.sql("db", makeMessages)
	want := tree(t, p.chats)
	first := p.backup(backup.BackupOptions{}).Snapshot.ID
	start, mark := p.contents(), p.mark
	for _, name := range slices.Concat(in(start, "data"), in(start, "meta")) {
		p.setCloud(start)
		p.mark, p.cache = mark, t.TempDir()
		p.put(name, flipped(start[name], stub+500))
		var damaged []string
		for _, d := range p.verify(1).Damage {
			damaged = append(damaged, d.Object)
		}
		if !slices.Equal(damaged, []string{name}) {
			t.Fatalf("damaged %v, want %s", damaged, name)
		}
		res := p.backup(backup.BackupOptions{Distrust: damaged})
		if len(res.Problems) == 0 {
			t.Errorf("%s: not a word", name)
		}
		same(t, want, tree(t, p.restore("latest")))
		if v := p.verify(1); len(v.Affected[res.Snapshot.ID]) > 0 || len(v.Affected[first]) == 0 {
			t.Errorf("%s: %+v", name, v.Affected)
		}
		for _, still := range [][]string{nil, damaged} { // until the next verify it is told of it each time
			if again := p.backup(backup.BackupOptions{Distrust: still}); !again.NothingNew || again.BytesNew > 0 || len(again.Problems) > 0 {
				t.Errorf("%s: stored once more: %+v", name, again)
			}
		}
		same(t, want, tree(t, p.restore("latest")))
	}
}

// A plain backup that is told of a damaged pack reads the files that lie in it, and no others.
func TestDistrustReadsWhatIsLost(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{13}))
	p.write("lost", random(rnd, 300_000))
	p.backup(backup.BackupOptions{})
	lost := in(p.contents(), "data")
	p.write("whole", random(rnd, 400_000))
	p.backup(backup.BackupOptions{})
	for end := time.Now().Add(time.Minute); p.backup(backup.BackupOptions{}).BytesRead > 0; { // a file that changed a moment ago is read again
		if time.Now().After(end) {
			t.Fatal("files that do not change are read each time")
		}
	}
	res := p.backup(backup.BackupOptions{Distrust: lost})
	if res.BytesRead != 300_000 || res.BytesNew != 300_000 || res.Unchanged != 1 || len(res.Problems) != 1 || res.Problems[0].Path != lost[0] {
		t.Errorf("%+v", res)
	}
	p.put(lost[0], flipped(p.contents()[lost[0]], stub+500))
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
}
