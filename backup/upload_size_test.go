package backup_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/backup"
)

// Over a network database pages are compressed well from the first on, before anything could show that it is slow.
func TestPagesOverANetwork(t *testing.T) {
	near, away := newPhone(t), newPhone(t)
	for _, p := range []*phone{near, away} {
		p.sql("Databases/msgstore.db", strings.ReplaceAll(makeMessages, "4000", "20000"))
	}
	n := newNetwork(far)
	away.remote(n)
	_, asked, _ := away.snap(n)
	sent, kept := bytesOf(asked, "Put", "data"), near.backup(backup.BackupOptions{}).BytesUploaded
	t.Logf("%d bytes over the network, %d to a folder", sent, kept)
	if sent > kept*9/10 {
		t.Errorf("%d bytes were sent, of pages that a folder holds in %d", sent, kept)
	}
}

// Pages that do not get smaller beside others that do, as keys of an index beside text, do not keep those from being compressed.
func TestPagesBesideKeys(t *testing.T) {
	p := newPhone(t)
	p.sql("Databases/msgstore.db", `CREATE TABLE message(key BLOB PRIMARY KEY, text TEXT)`, `
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 600)
		INSERT INTO message SELECT randomblob(24000), hex(zeroblob(5000))||i FROM n`)
	n := newNetwork(far)
	p.remote(n)
	_, asked, _ := p.snap(n)
	keys, all := int64(600*24000), fileSize(t, filepath.Join(p.chats, "Databases/msgstore.db"))
	if sent := bytesOf(asked, "Put", "data"); sent > keys+(all-keys)/2 {
		t.Errorf("%d bytes were sent of a database of %d bytes, %d of them random", sent, all, keys)
	}
}

// Packs are closed where little of them is padding. Closed where the next block does not fit, half of the largest padding is to be expected.
func TestLittlePadding(t *testing.T) {
	rnd := rand.New(rand.NewChaCha8([32]byte{4}))
	sizes := make([]int, 4000)
	for i := range sizes {
		sizes[i] = 50_000 + rnd.IntN(1_000_000)
	}
	packs, share := backup.Padding(sizes)
	t.Logf("%d packs, %.3f of the largest padding", packs, share)
	if packs < 100 || packs > 200 || share > 0.25 {
		t.Errorf("%d packs, %.3f of the largest padding", packs, share)
	}
}
