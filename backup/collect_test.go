package backup_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"keepsake.example/backup"
)

// Pages that do not compress are kept while the memory they were read into is read into again.
func TestPagesThatDoNotCompress(t *testing.T) {
	undo := backup.SetPackTarget(smallPack)
	defer undo()
	p := newPhone(t)
	p.sql("blobs.db", "CREATE TABLE b(x BLOB)", `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 100)
		INSERT INTO b SELECT randomblob(90000) FROM n`)
	want := mustRead(t, filepath.Join(p.chats, "blobs.db"))
	g, s := &gate{Store: p.store, open: make(chan struct{})}, &settled{}
	r, err := backup.Open(t.Context(), g, p.key, backup.Options{CacheDir: p.cache, Device: p.device, Progress: s.note})
	must(t, err)
	defer r.Close()
	done := make(chan error, 1)
	go func() {
		_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
		done <- err
	}()
	if last := s.wait(); last.BytesDone < int64(len(want)) {
		t.Errorf("%d of %d bytes are read while the cloud takes nothing", last.BytesDone, len(want))
	}
	close(g.open)
	must(t, <-done)
	p.mark = r.Mark()
	if !bytes.Equal(mustRead(t, filepath.Join(p.restore("latest"), "blobs.db")), want) {
		t.Error("the database is not what it was")
	}
}
