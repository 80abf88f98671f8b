package backup_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// write is what a messenger does: until its input ends, it commits transactions of a few numbered rows each, and says after each how
// many rows are committed and the longest time in milliseconds that a commit took.
func (j *job) write(in *bufio.Reader, out io.Writer) error {
	db, err := sql.Open("sqlite", j.Source+"?_pragma=busy_timeout(120000)&_pragma=journal_mode("+j.Journal+")&_pragma=synchronous(off)&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, in)
		close(ended)
	}()
	fmt.Fprintln(out, "go")
	rnd := rand.New(rand.NewPCG(1, 2))
	longest := time.Duration(0)
	for rows := int64(0); ; {
		began := time.Now()
		if rows, err = commitRows(db, 1+rnd.IntN(8)); err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
		fmt.Fprintln(out, rows, longest.Milliseconds())
		select {
		case <-ended:
			return nil
		case <-time.After(3 * time.Millisecond): // leaves the disk to others
		}
	}
}

// commitRows adds n rows in one transaction. The number of rows is kept in another table, so that half a transaction shows.
func commitRows(db *sql.DB, n int) (rows int64, err error) {
	tx, err := db.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if err := tx.QueryRow("SELECT n FROM total").Scan(&rows); err != nil {
		return 0, err
	}
	for range n {
		rows++
		if _, err := tx.Exec("INSERT INTO message VALUES(?, hex(randomblob(8)), randomblob(300))", rows); err != nil {
			return 0, err
		}
	}
	if _, err := tx.Exec("UPDATE total SET n = ?", rows); err != nil {
		return 0, err
	}
	return rows, tx.Commit()
}

// A messenger is the other process that writes.
type messenger struct {
	*child
	rows, longest atomic.Int64
	done          chan struct{}
}

// messenger makes a database of some megabytes and has another process write to it.
func (p *phone) messenger(path, journal string, rows int) *messenger {
	p.t.Helper()
	p.sql(path, "PRAGMA journal_mode="+journal, "CREATE TABLE message(id INTEGER PRIMARY KEY, key TEXT, body BLOB)", "CREATE INDEX by_key ON message(key)",
		"CREATE TABLE total(n INTEGER)", fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d)
			INSERT INTO message SELECT i, hex(randomblob(8)), randomblob(1000) FROM n`, rows), fmt.Sprintf("INSERT INTO total VALUES(%d)", rows))
	j := &job{Do: "write", Source: filepath.Join(p.chats, path), Journal: journal}
	m := &messenger{child: j.start(p.t, 0), done: make(chan struct{})}
	go m.listen()
	m.more(1)
	return m
}

func (m *messenger) listen() {
	defer close(m.done)
	for s := bufio.NewScanner(m.out); s.Scan(); {
		rows, longest, _ := strings.Cut(s.Text(), " ")
		n, _ := strconv.ParseInt(rows, 10, 64)
		ms, _ := strconv.ParseInt(longest, 10, 64)
		m.rows.Store(n)
		m.longest.Store(ms)
	}
}

// more waits for n more commits, which must come: the bound is that of a test that hangs.
func (m *messenger) more(n int64) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for want := m.rows.Load() + n; m.rows.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("the messenger cannot write: still %d rows", m.rows.Load())
		}
	}
}

// stop ends the writer and fails if it did.
func (m *messenger) stop() {
	m.t.Helper()
	m.in.Close()
	<-m.done
	if err := m.cmd.Wait(); err != nil {
		m.t.Fatalf("the messenger failed: %v\n%s", err, m.err)
	}
}

// prefix opens a restored database and returns how many rows it has, which are the first so many that were committed.
func prefix(t *testing.T, path string) int64 {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	var check string
	must(t, db.QueryRow("PRAGMA integrity_check").Scan(&check))
	var rows, last, total int64
	must(t, db.QueryRow("SELECT count(*), max(id) FROM message").Scan(&rows, &last))
	must(t, db.QueryRow("SELECT n FROM total").Scan(&total))
	if check != "ok" || rows != last || rows != total {
		t.Fatalf("integrity_check: %.200s; %d rows, the last is %d, the total %d", check, rows, last, total)
	}
	return rows
}

// A database that another process writes to all the while is captured at one transaction, in either mode, and the writer never fails.
func TestLiveDatabase(t *testing.T) {
	for _, journal := range []string{"wal", "delete"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			p := newPhone(t)
			m := p.messenger("Databases/live.db", journal, 6000)
			for round := range 8 {
				before := m.rows.Load()
				res := p.backup(backup.BackupOptions{})
				m.more(1) // what the backup has the writer may have said, and nobody here heard it yet
				after := m.rows.Load()
				if len(res.Problems) > 0 || res.Snapshot.Files != 1 {
					t.Fatalf("%d files, %+v", res.Snapshot.Files, res.Problems)
				}
				rows := prefix(t, filepath.Join(p.restore("latest"), "Databases/live.db"))
				if rows < before || rows > after+8 {
					t.Errorf("the backup has %d rows; %d were committed before and %d after", rows, before, after)
				}
				if round > 0 && res.BytesUploaded > 2<<20 {
					t.Errorf("%d bytes uploaded for a few rows", res.BytesUploaded)
				}
				m.more(20)
			}
			m.stop()
			p.sound()
		})
	}
}

// A gate is a cloud that takes no pack until it is opened.
type gate struct {
	cloud.Store
	open    chan struct{}
	waiting atomic.Int32
}

func (g *gate) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/") {
		g.waiting.Add(1)
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.Store.Put(ctx, name, body, size)
}

// settled waits until a backup makes no more progress.
type settled struct {
	mu   sync.Mutex
	last backup.Progress
	when time.Time
}

func (s *settled) note(p backup.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != s.last || s.when.IsZero() {
		s.last, s.when = p, time.Now()
	}
}

// readAhead is how much of a database is read at least that nothing lies before.
const readAhead = 10 << 20

func (s *settled) wait() backup.Progress { return s.waitFor(1) }

// waitFor waits until so much is done at least, for a minute at most, and then until no more comes.
func (s *settled) waitFor(least int64) backup.Progress {
	for end := time.Now().Add(time.Minute); ; {
		time.Sleep(20 * time.Millisecond)
		s.mu.Lock()
		last, since := s.last, time.Since(s.when)
		s.mu.Unlock()
		if (last.BytesDone >= least || time.Now().After(end)) && since > 500*time.Millisecond {
			return last
		}
	}
}

// While the cloud takes nothing, a database whose writers wait for its readers must not be held, whatever lies before it in the
// pipeline: it is read to its end, or not begun.
func TestSlowCloudHoldsNoLock(t *testing.T) {
	undo := backup.SetPackTarget(smallPack)
	defer undo()
	for _, media := range []struct{ count, size int }{{0, 0}, {19, 300_000}, {12, 1 << 20}, {13, 1 << 20}, {30, 1 << 20}} {
		t.Run(fmt.Sprintf("%d media of %d bytes first", media.count, media.size), func(t *testing.T) {
			p := newPhone(t)
			rnd := rand.New(rand.NewPCG(7, 7))
			for i := range media.count {
				p.write(fmt.Sprintf("Avatars/%03d.jpg", i), random(rnd, media.size))
			}
			m := p.messenger("Databases/live.db", "delete", 10000)
			g := &gate{Store: p.store, open: make(chan struct{})}
			s := &settled{}
			r, err := backup.Open(t.Context(), g, p.key, backup.Options{CacheDir: p.cache, Device: p.device, Progress: s.note})
			must(t, err)
			defer r.Close()
			done := make(chan error, 1)
			go func() {
				_, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
				done <- err
			}()
			least := int64(1)
			if media.count == 0 {
				least = readAhead
			}
			last := s.waitFor(least)
			m.more(20)
			t.Logf("%d bytes read while %d packs wait; the longest commit took %d ms", last.BytesDone, g.waiting.Load(), m.longest.Load())
			if media.count == 0 && last.BytesDone < least {
				t.Errorf("only %d bytes of the database are read", last.BytesDone)
			}
			close(g.open)
			must(t, <-done)
			m.stop()
			p.mark = r.Mark()
			prefix(t, filepath.Join(p.restore("latest"), "Databases/live.db"))
		})
	}
}

// A database with a transaction that was cut off half-way is copied and rolled back. If there is no room for the copy it is kept as it
// was, and told; it must not silently be left out as if it had been deleted.
func TestNoPlaceForCopy(t *testing.T) {
	p := newPhone(t)
	p.sql("msgstore.db", makeMessages)
	p.write("other", []byte("other"))
	first := p.backup(backup.BackupOptions{})
	want := mustRead(t, filepath.Join(p.chats, "msgstore.db"))
	r := p.open()
	must(t, os.RemoveAll(p.cache))
	must(t, os.WriteFile(filepath.Join(p.chats, "msgstore.db-journal"), hotJournal, 0o644))
	res, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats, Reread: true})
	must(t, err)
	p.mark = r.Mark()
	if res.Snapshot.Files != first.Snapshot.Files {
		t.Errorf("%d files, before %d: %+v", res.Snapshot.Files, first.Snapshot.Files, res.Problems)
	}
	if !bytes.Equal(mustRead(t, filepath.Join(p.restore("latest"), "msgstore.db")), want) {
		t.Error("the database is not what it was")
	}
}

// hotJournal is a rollback journal with nothing in it to roll back.
var hotJournal = append([]byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 16, 0}, make([]byte, 484)...)

// A database behind a slow cloud waits in a file. What came out of it again must not stay in memory until the backup ends.
func TestSpoolLetsGo(t *testing.T) {
	kept, err := backup.SpoolKeeps(t.TempDir(), 120, 100)
	must(t, err)
	if kept > 1 {
		t.Errorf("%d blocks of 100 are still in memory", kept)
	}
}
