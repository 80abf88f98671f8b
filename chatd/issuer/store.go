package issuer

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// schema is version 1. Times are milliseconds since 1970.
const schema = `
CREATE TABLE account (handle BLOB PRIMARY KEY, subject TEXT NOT NULL UNIQUE, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE login (id BLOB PRIMARY KEY, handle BLOB NOT NULL, allowed INTEGER NOT NULL, device BLOB NOT NULL,
	code BLOB NOT NULL, tries INTEGER NOT NULL, expires INTEGER NOT NULL, line BLOB) WITHOUT ROWID;
CREATE INDEX login_expires ON login (expires);
CREATE TABLE line (id BLOB PRIMARY KEY, subject TEXT NOT NULL, device BLOB NOT NULL, generation INTEGER NOT NULL,
	used INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX line_subject ON line (subject, used);
CREATE INDEX line_expires ON line (expires);
PRAGMA user_version = 1;`

const schemaVersion = 1

// ErrStore tells that the issuer's file cannot be opened, or is no store that this program knows.
var ErrStore = errors.New("the issuer's store")

// store is the issuer's only state on a disk. A transaction that was committed
// is durable: a code that was tried stays tried after a crash.
type store struct{ db *sql.DB }

func openStore(path string) (*store, error) {
	// SQLite makes files readable by all; those beside it take its mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	db, err := openFile(path, url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", "trusted_schema(OFF)",
	}})
	if err != nil {
		return nil, err
	}
	// Writers wait for each other in any case, and every request writes.
	db.SetMaxOpenConns(1)
	s := &store{db}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// openFile opens the SQLite file at path, with what query says of how.
func openFile(path string, query url.Values) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: absolute, RawQuery: query.Encode()}).String())
}

func (s *store) prepare() error {
	return s.transact(context.Background(), func(tx *sql.Tx) error {
		version, err := versionOf(tx)
		if err == nil && version == 0 {
			_, err = tx.Exec(schema)
		}
		if err != nil {
			return err
		}
		return known(version)
	})
}

// transact commits what do did, unless do failed.
func (s *store) transact(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// login is a login under way.
type login struct {
	id      [16]byte
	handle  []byte
	allowed bool
	device  []byte
	code    []byte // keyed hash
	expires time.Time
	line    []byte // what it led to, if it was redeemed
}

func addLogin(tx *sql.Tx, l *login, now time.Time) error {
	if _, err := tx.Exec("DELETE FROM login WHERE expires <= ?", now.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO login VALUES (?, ?, ?, ?, ?, 0, ?, NULL)",
		l.id[:], l.handle, l.allowed, l.device, l.code, l.expires.UnixMilli())
	return err
}

// tryLogin counts a try and gives the login, or nil if there is none, or none
// that may be tried again.
func tryLogin(tx *sql.Tx, id [16]byte, now time.Time) (*login, error) {
	l := &login{id: id}
	err := tx.QueryRow("UPDATE login SET tries = tries + 1 WHERE id = ? AND tries < ? AND expires > ? RETURNING handle, allowed, device, code, line",
		id[:], maxTries, now.UnixMilli()).Scan(&l.handle, &l.allowed, &l.device, &l.code, &l.line)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return l, err
}

func redeemLogin(tx *sql.Tx, id, line [16]byte) error {
	_, err := tx.Exec("UPDATE login SET line = ? WHERE id = ?", line[:], id[:])
	return err
}

// subjectOf gives the subject of a handle, which is the new one if the handle
// has none.
func subjectOf(tx *sql.Tx, handle []byte, fresh string, now time.Time) (subject string, err error) {
	_, err = tx.Exec("INSERT INTO account VALUES (?, ?, ?) ON CONFLICT (handle) DO NOTHING", handle, fresh, now.UnixMilli())
	if err == nil {
		err = tx.QueryRow("SELECT subject FROM account WHERE handle = ?", handle).Scan(&subject)
	}
	return subject, err
}

// line is the line of refresh tokens of one device.
type line struct {
	id         [16]byte
	subject    string
	device     []byte
	generation uint32    // of the token that was given out last
	used       time.Time // when it was
}

// addLine begins a line and ends those that are too many or too old.
func addLine(tx *sql.Tx, l *line, devices int, expires time.Time) error {
	if _, err := tx.Exec("DELETE FROM line WHERE expires <= ?", l.used.UnixMilli()); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?)",
		l.id[:], l.subject, l.device, l.generation, l.used.UnixMilli(), expires.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM line WHERE subject = ?1 AND id NOT IN (SELECT id FROM line WHERE subject = ?1 ORDER BY id = ?2 DESC, used DESC LIMIT ?3)",
		l.subject, l.id[:], devices)
	return err
}

// lineOf gives a line, or nil if there is none.
func lineOf(tx *sql.Tx, id [16]byte, now time.Time) (*line, error) {
	l := &line{id: id}
	var used int64
	err := tx.QueryRow("SELECT subject, device, generation, used FROM line WHERE id = ? AND expires > ?", id[:], now.UnixMilli()).
		Scan(&l.subject, &l.device, &l.generation, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	l.used = time.UnixMilli(used)
	return l, err
}

func moveLine(tx *sql.Tx, l *line, expires time.Time) error {
	_, err := tx.Exec("UPDATE line SET generation = ?, used = ?, expires = ? WHERE id = ?",
		l.generation, l.used.UnixMilli(), expires.UnixMilli(), l.id[:])
	return err
}

func endLine(tx *sql.Tx, id [16]byte) error {
	_, err := tx.Exec("DELETE FROM line WHERE id = ?", id[:])
	return err
}
