package sqlitepages

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"sync"
)

// A Capture is one read transaction on a database. It is for one goroutine.
//
// While it is open, this process must not open and close the database file by
// any other means: POSIX drops a process's advisory locks on a file when any
// descriptor of that file is closed (SQLite, "How To Corrupt", §2.2), and the
// capture would go on without its lock. [State] does not open the file.
type Capture struct {
	ctx      context.Context
	conn     *connection
	rows     driver.Rows
	row      []driver.Value
	next     int64 // number of the page that row delivers next, from 1
	pages    int64
	pageSize int
	wal      bool
	file     *os.File // the database, or nil; closing it before conn would drop SQLite's locks
	direct   bool     // the pages are what file holds: see atRest
	private  string   // directory of the private copy, or empty
	release  func()
}

// PageSize returns the size of a page in bytes: a power of two, 512 to 65536.
func (c *Capture) PageSize() int { return c.pageSize }

// PageCount returns the number of pages that Next yields in all, at least 1.
func (c *Capture) PageCount() int64 { return c.pages }

// WAL reports whether writers can commit while the capture is open. If not,
// they wait for Close.
func (c *Capture) WAL() bool { return c.wal }

// Next fills buf with as many whole pages as fit, in page order, each one
// following the last, and returns the number of bytes. It returns 0 and
// io.EOF after exactly PageCount pages, and io.ErrShortBuffer if buf does not
// hold one page. After any other error the capture is useless.
func (c *Capture) Next(buf []byte) (int, error) {
	if len(buf) < c.pageSize {
		return 0, io.ErrShortBuffer
	}
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.direct {
		return c.read(buf)
	}
	n := 0
	for len(buf)-n >= c.pageSize && c.next <= c.pages {
		if err := c.page(buf[n : n+c.pageSize]); err != nil {
			return 0, err
		}
		n += c.pageSize
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// page copies the next page. The checks on the row hold the stream in step
// with the page numbers: a page skipped would shift all that follow.
func (c *Capture) page(dst []byte) error {
	if err := c.rows.Next(c.row); err == io.EOF {
		return fmt.Errorf("sqlitepages: database ended at page %d of %d", c.next-1, c.pages)
	} else if err != nil {
		return fmt.Errorf("sqlitepages: reading page %d: %w", c.next, err)
	}
	number, _ := c.row[0].(int64)
	data, _ := c.row[1].([]byte)
	if number != c.next || len(data) != c.pageSize {
		return fmt.Errorf("sqlitepages: page %d of %d bytes where page %d was due", number, len(data), c.next)
	}
	copy(dst, data)
	c.next++
	return nil
}

// Close ends the transaction and removes the private copy, if there was one.
// Closing again does nothing.
func (c *Capture) Close() error {
	if c.conn == nil {
		return nil
	}
	var err error
	if c.rows != nil {
		err = c.rows.Close()
	}
	if closing := c.disconnect(); err == nil {
		err = closing
	}
	c.conn = nil
	if c.private != "" {
		if removing := os.RemoveAll(c.private); err == nil {
			err = removing
		}
	}
	c.release()
	if err != nil {
		return fmt.Errorf("sqlitepages: ending capture: %w", err)
	}
	return nil
}

// disconnect ends the transaction, and then lets go of the file.
func (c *Capture) disconnect() error {
	err := c.conn.Close()
	if c.file != nil {
		c.file.Close() // it was only read
	}
	return err
}

// begin starts the read transaction at path. The caller sets what else there
// is to set on the Capture.
func begin(ctx context.Context, path, mode string, opt Options) (*Capture, error) {
	conn, err := connect(path, mode, opt.Wait)
	if err != nil {
		return nil, err
	}
	c := &Capture{ctx: ctx, conn: conn, row: make([]driver.Value, 2), next: 1, release: func() {}}
	if c.file, err = os.Open(path); err != nil {
		c.file = nil // SQLite will say why
	}
	if err := c.start(ctx, path); err != nil {
		c.disconnect()
		return nil, err
	}
	return c, nil
}

func (c *Capture) start(ctx context.Context, path string) error {
	if err := c.conn.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	// BEGIN is deferred; this read takes the lock and fixes the transaction.
	pages, err := query1[int64](ctx, c.conn, "PRAGMA page_count")
	if err != nil {
		return err
	}
	if pages == 0 {
		return ErrNotDatabase
	}
	first, err := query1[[]byte](ctx, c.conn, "SELECT data FROM sqlite_dbpage WHERE pgno = 1")
	if err != nil {
		return err
	}
	if !IsDatabase(first) || len(first) != pageSize(first) || declaredPages(first) > pages {
		return ErrNotDatabase
	}
	c.pages, c.pageSize, c.wal = pages, len(first), inWAL(first)
	if c.direct = c.atRest(path, first); c.direct {
		return nil
	}
	// Not ctx: the driver would start a goroutine for each of the rows. No
	// row waits for a lock any more, and Next looks at ctx itself.
	c.rows, err = c.conn.query(context.Background(), "SELECT pgno, data FROM sqlite_dbpage")
	return err
}

// claims are the files that captures of this process hold. Opening the same
// file a second time would read its header and so drop the first one's locks.
var claims struct {
	sync.Mutex
	files []os.FileInfo
}

// claim refuses a file that is already being captured.
func claim(file os.FileInfo) (release func(), err error) {
	claims.Lock()
	defer claims.Unlock()
	for _, f := range claims.files {
		if os.SameFile(f, file) {
			return nil, fmt.Errorf("sqlitepages: %s is already being captured", file.Name())
		}
	}
	claims.files = append(claims.files, file)
	return func() { unclaim(file) }, nil
}

func unclaim(file os.FileInfo) {
	claims.Lock()
	defer claims.Unlock()
	for i, f := range claims.files {
		if os.SameFile(f, file) {
			claims.files = append(claims.files[:i], claims.files[i+1:]...)
			return
		}
	}
}
