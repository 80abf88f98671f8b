package fakeicloud_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/backup"
	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/key"
)

// phone has chats and a key; its cloud is a store that each run opens anew, as
// a new process would.
type phone struct {
	t     *testing.T
	chats string
	key   *key.Key
	open  func() cloud.Store
	mark  backup.Mark
}

func newPhone(t *testing.T, open func() cloud.Store) *phone {
	t.Helper()
	k, err := key.Generate()
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{t: t, chats: t.TempDir(), key: k, open: open}
	if _, err := backup.Create(t.Context(), open(), k, time.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

// write fills a file with bytes that do not compress and are in no other file.
func (p *phone) write(name string, size int) {
	p.t.Helper()
	data := make([]byte, size)
	var seed [32]byte
	copy(seed[:], name)
	rand.NewChaCha8(seed).Read(data)
	if err := os.WriteFile(filepath.Join(p.chats, name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) repo() *backup.Repo {
	p.t.Helper()
	r, err := backup.Open(p.t.Context(), p.open(), p.key, backup.Options{Known: p.mark, Device: fmt.Sprintf("%032x", 7)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { r.Close() })
	return r
}

func (p *phone) backup() {
	p.t.Helper()
	r := p.repo()
	if _, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats}); err != nil {
		p.t.Fatal(err)
	}
	p.mark = r.Mark()
}

func (p *phone) restored() map[string][]byte {
	p.t.Helper()
	r := p.repo()
	all := r.Snapshots()
	target := filepath.Join(p.t.TempDir(), "restored")
	if _, err := r.Restore(p.t.Context(), backup.RestoreOptions{Snapshot: all[len(all)-1].ID, Target: target}); err != nil {
		p.t.Fatal(err)
	}
	return contents(p.t, target)
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		all[name], err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (p *phone) wantRestored() {
	p.t.Helper()
	want, got := contents(p.t, p.chats), p.restored()
	if !cmp.Equal(want, got, cmp.Comparer(bytes.Equal)) {
		p.t.Errorf("restored %d files that are not the %d backed up", len(got), len(want))
	}
}

func (p *phone) verify() {
	p.t.Helper()
	r := p.repo()
	if _, err := r.Verify(p.t.Context(), backup.VerifyOptions{ReadData: 1}); err != nil {
		p.t.Errorf("verify: %v", err)
	}
	if d := r.Damage(); len(d) > 0 {
		p.t.Errorf("verify found damage: %v", d)
	}
}

// hasty is a store whose lag is known to be short: Create and Prune wait as long.
type hasty struct{ *rclone.Store }

const shortLag = 200 * time.Millisecond

func (h hasty) Traits() cloud.Traits {
	t := h.Store.Traits()
	t.Lag = shortLag
	return t
}

// TestRepository is a life of a backup: on the way sessions end, and listings lag.
func TestRepository(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	openStore(t, s, a, "Backups/phone", true)
	p := newPhone(t, func() cloud.Store { return hasty{openStore(t, s, a, "Backups/phone", false)} })
	p.write("chat.db", 3<<20)
	p.write("photo.jpg", 18<<20)
	p.backup()
	p.wantRestored()
	s.EndSessions()
	p.write("photo2.jpg", 1<<20)
	s.SetLag(shortLag)
	p.backup()
	p.wantRestored()
	p.verify()
	if err := os.Remove(filepath.Join(p.chats, "photo.jpg")); err != nil {
		t.Fatal(err)
	}
	p.backup()
	before := len(s.Files(person))
	r := p.repo()
	if _, err := r.Prune(t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: backup.DefaultMaxUnused}); err != nil {
		t.Fatal(err)
	}
	p.mark = r.Mark()
	if len(s.Trash(person)) == 0 || len(s.Files(person)) >= before {
		t.Errorf("prune left %d of %d files, %d in the trash", len(s.Files(person)), before, len(s.Trash(person)))
	}
	p.wantRestored()
	p.verify()
}

// TestRequestsPerGB states what a gigabyte costs. Apple publishes no limit, so
// the fewer the better: three requests for a pack of 16 MiB that is stored
// (a place for it, the bytes, the name), two for one that is read (where it
// is, the bytes).
func TestRequestsPerGB(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	openStore(t, s, a, "Backups", true)
	p := newPhone(t, func() cloud.Store { return hasty{openStore(t, s, a, "Backups", false)} })
	const step = 64 << 20
	cost := func(run func()) float64 {
		s.ResetStats()
		run()
		return float64(s.Stats().Total())
	}
	perGB := func(requests float64) float64 { return requests * 1e9 / step }
	p.write("small", 1<<10)
	stores, restores := cost(p.backup), cost(p.wantRestored)
	p.write("large", step)
	stored := perGB(cost(p.backup) - stores)
	read := perGB(cost(p.wantRestored) - restores)
	t.Logf("a backup takes %.0f requests and %.0f for each GB, a restore %.0f and %.0f for each GB", stores, stored, restores, read)
	if stored > 230 || read > 230 || stores > 60 || restores > 40 {
		t.Errorf("want at most 60 and 230, 40 and 230; the last restore asked %v", s.Stats().Requests)
	}
	if got := s.Stats().Sent; got > step*105/100 {
		t.Errorf("restoring %d bytes took %d", step, got)
	}
}
