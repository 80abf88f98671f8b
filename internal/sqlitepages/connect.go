package sqlitepages

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// connection is one connection of the driver, without the pool of
// database/sql: a transaction lives on one connection, and the pool would
// copy each page once more.
type connection struct{ driver.Conn }

// connect opens path with mode "ro" or "rw"; neither creates the database.
// SQLite opens and locks the file only on first use, so an unreadable file may
// show in the first query.
func connect(path, mode string, wait time.Duration) (*connection, error) {
	// writable_schema here means only that a schema SQLite cannot parse (of a
	// newer version, or damaged) is no error: pages are read, not tables.
	// mmap_size: a file truncated under a mapping is SIGBUS, under read an error.
	dsn := fmt.Sprintf("file://%s?mode=%s&_pragma=busy_timeout(%d)&_pragma=writable_schema(1)&_pragma=mmap_size(0)",
		escapePath(path), mode, wait.Milliseconds())
	conn, err := new(sqlite.Driver).Open(dsn)
	if err != nil {
		return nil, err
	}
	return &connection{conn}, nil
}

// escapePath escapes every byte with a meaning in a URI filename
// (sqlite.org/uri.html §3), and all that are not ASCII, so that a path that is
// not UTF-8 arrives as it is.
func escapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("/-._", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (c *connection) exec(ctx context.Context, sql string) error {
	_, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	return err
}

func (c *connection) query(ctx context.Context, sql string) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, sql, nil)
}

// query1 returns the one value that sql yields.
func query1[T any](ctx context.Context, c *connection, sql string) (T, error) {
	var value T
	rows, err := c.query(ctx, sql)
	if err != nil {
		return value, err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err == io.EOF {
		return value, fmt.Errorf("sqlitepages: %s gave no answer", sql)
	} else if err != nil {
		return value, err
	}
	value, ok := row[0].(T)
	if !ok {
		return value, fmt.Errorf("sqlitepages: %s answered with %T", sql, row[0])
	}
	return value, nil
}

// Primary result codes (sqlite.org/rescode.html); the low byte of each code.
const (
	codePerm     = 3
	codeBusy     = 5
	codeReadonly = 8
	codeIOErr    = 10
	codeCorrupt  = 11
	codeCantOpen = 14
	codeProtocol = 15
	codeNotADB   = 26
)

// primary returns the primary result code in err, or 0.
func primary(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// explain turns what SQLite says into what a caller branches on.
func explain(err error) error {
	switch primary(err) {
	case codeBusy, codeProtocol: // the latter: lost the race for a WAL lock too often
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case codeCorrupt, codeNotADB:
		return fmt.Errorf("%w: %w", ErrNotDatabase, err)
	}
	return err
}

// needsCopy reports whether SQLite may fare better on a copy: it had to write
// where we do not let it (a hot journal) or cannot (a read-only directory), or
// the file system lacks the locks or shared memory it needs. If the file is at
// fault, copying it fails too, and says so more plainly.
func needsCopy(err error) bool {
	switch primary(err) {
	case codePerm, codeReadonly, codeIOErr, codeCantOpen:
		return true
	}
	return false
}
