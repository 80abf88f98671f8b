package issuer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// Check makes an Issuer as Open does, but for its store: that is looked at and not opened, so
// Check may run beside the process that has it, and makes no file. The Issuer tells its name
// and keys, and nobody can log in at it. It must be closed.
func Check(c Config) (*Issuer, error) {
	i, err := assemble(c)
	if err != nil {
		return nil, err
	}
	if err := checkStore(c.Store); err != nil {
		return nil, errors.Join(fmt.Errorf("looking at %w: %w", ErrStore, err), i.Close(context.Background()))
	}
	return i, nil
}

// checkStore tells whether openStore would find a store at path, or could make one.
func checkStore(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return writable(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("issuer: %s is not a file", path)
	}
	if err := errors.Join(writable(path), writable(filepath.Dir(path))); err != nil { // SQLite makes files beside it
		return err
	}
	return checkVersion(path)
}

// checkVersion reads the version of the store's tables. What was written last may be in the
// file beside it; where there is none, SQLite would make one even to read, unless it is told
// that nobody writes.
func checkVersion(path string) (err error) {
	query := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "trusted_schema(OFF)"}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		query.Set("immutable", "1")
	}
	db, err := openFile(path, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	version, err := versionOf(db)
	if err != nil {
		return err
	}
	return known(version)
}

// versionOf reads the version of the tables: 0 before there are any.
func versionOf(from interface{ QueryRow(string, ...any) *sql.Row }) (version int, err error) {
	err = from.QueryRow("PRAGMA user_version").Scan(&version)
	return version, err
}

// known is nil for a store without tables, and one with those of this program.
func known(version int) error {
	if version != 0 && version != schemaVersion {
		return fmt.Errorf("issuer: a store of version %d; this program knows %d", version, schemaVersion)
	}
	return nil
}
