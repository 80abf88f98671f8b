package sqlitepages_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite"
)

// The test binary, run again with this variable set, is a writer: another
// process, whose locks do not mix with ours and which can be killed.
const writerEnv = "SQLITEPAGES_TEST_WRITER"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(writerEnv); dsn != "" {
		if err := write(dsn, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "writer:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// dsnFor escapes by way of net/url, on purpose not by the code under test.
func dsnFor(path string, pragmas ...string) string {
	dsn := "file://" + (&url.URL{Path: path}).EscapedPath() + "?"
	for _, p := range pragmas {
		dsn += "&_pragma=" + url.QueryEscape(p)
	}
	return dsn
}

// write obeys the commands it reads: "commit" one more transaction, "flood"
// with transactions until the commands end, "dirty" for a transaction that is
// left open with its pages spilled to disk, "checkpoint" to empty the log if
// no reader is in the way, "touch" to change one page that is not the first. It answers each transaction with
// its number, and leaves when the commands end.
func write(dsn string, commands io.Reader, answers io.Writer) error {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := makeSchema(db); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(commands); s.Scan(); {
			lines <- s.Text()
		}
	}()
	n := 0
	for line := range lines {
		switch line {
		case "commit":
			n++
			err = commit(db, n, answers)
		case "flood":
			for more := true; more && err == nil; {
				n++
				err = commit(db, n, answers)
				select {
				case <-lines: // closed
					more = false
				default:
				}
			}
		case "dirty":
			err = dirty(db, answers)
		case "checkpoint":
			err = checkpoint(db, answers)
		case "touch":
			err = touch(db, answers)
		}
		if err != nil {
			return err
		}
	}
	return db.Close()
}

const ledgerRows = 300

// makeSchema lays out a log of numbered rows and two ledgers whose sums cancel.
func makeSchema(db *sql.DB) error {
	_, err := db.Exec(fmt.Sprintf(`BEGIN;
		CREATE TABLE log(n INTEGER PRIMARY KEY, pad BLOB);
		CREATE TABLE credit(id INTEGER PRIMARY KEY, v INTEGER, pad BLOB);
		CREATE TABLE debit(id INTEGER PRIMARY KEY, v INTEGER, pad BLOB);
		CREATE INDEX credit_v ON credit(v);
		WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM i WHERE x<%d)
		INSERT INTO credit SELECT x, 0, randomblob(1000) FROM i;
		INSERT INTO debit SELECT id, 0, randomblob(1000) FROM credit;
		COMMIT`, ledgerRows))
	return err
}

// ledgerMove touches most pages of the database in both ledgers and the index.
const ledgerMove = `
	UPDATE credit SET v = v + id, pad = randomblob(1000);
	UPDATE debit SET v = v - id, pad = randomblob(1000);`

// commit is transaction n. The number is answered after the commit, so a
// number seen before a capture must be in it.
func commit(db *sql.DB, n int, answers io.Writer) error {
	_, err := db.Exec("BEGIN IMMEDIATE; INSERT INTO log VALUES(?, randomblob(abs(random()) % 3000));"+
		ledgerMove+"COMMIT", n)
	if err == nil {
		_, err = fmt.Fprintln(answers, n)
	}
	return err
}

// dirty leaves a transaction half done, with so small a cache that its pages
// are in the database file or log already.
func dirty(db *sql.DB, answers io.Writer) error {
	_, err := db.Exec("PRAGMA cache_size=10; BEGIN IMMEDIATE; INSERT INTO log VALUES(1000000, NULL);" + ledgerMove)
	if err == nil {
		_, err = fmt.Fprintln(answers, "dirty")
	}
	return err
}

func checkpoint(db *sql.DB, answers io.Writer) error {
	var busy, frames, done int
	if err := db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &done); err != nil {
		return err
	}
	_, err := fmt.Fprintf(answers, "busy %d\n", busy)
	return err
}

func touch(db *sql.DB, answers io.Writer) error {
	_, err := db.Exec("UPDATE debit SET pad = zeroblob(1000) WHERE id = 7")
	if err == nil {
		_, err = fmt.Fprintln(answers, "touched")
	}
	return err
}

// A writer is a running writer process.
type writer struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string
}

func startWriter(t *testing.T, path string, pragmas ...string) *writer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+dsnFor(path, pragmas...))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	w := &writer{t: t, cmd: cmd, in: in, answers: make(chan string, 1<<20)}
	go func() {
		defer close(w.answers)
		for s := bufio.NewScanner(out); s.Scan(); {
			w.answers <- s.Text()
		}
	}()
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return w
}

func (w *writer) send(command string) {
	w.t.Helper()
	_, err := io.WriteString(w.in, command+"\n")
	must(w.t, err)
}

// answer waits for the next answer.
func (w *writer) answer() string {
	w.t.Helper()
	a, ok := <-w.answers
	if !ok {
		w.t.Fatal("writer is gone")
	}
	return a
}

// committed returns the number of the last transaction the writer reported,
// or last if there is no news.
func (w *writer) committed(last int) int {
	w.t.Helper()
	for {
		select {
		case a, ok := <-w.answers:
			n, err := strconv.Atoi(a)
			if !ok || err != nil {
				w.t.Fatalf("writer answered %q, running: %v", a, ok)
			}
			last = n
		default:
			return last
		}
	}
}

// quit ends the writer in good order: it fails the test if any of its
// statements failed.
func (w *writer) quit() {
	w.t.Helper()
	must(w.t, w.in.Close())
	for range w.answers { // Wait may be called only when the pipe is drained
	}
	if err := w.cmd.Wait(); err != nil {
		w.t.Fatalf("writer failed: %v", err)
	}
}

// kill ends it with SIGKILL, so that no deferred cleaning runs, and returns
// the last answer it gave, or last if it gave none since.
func (w *writer) kill(last string) string {
	w.t.Helper()
	must(w.t, w.cmd.Process.Kill())
	for a := range w.answers {
		last = a
	}
	w.cmd.Wait()
	return last
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}
