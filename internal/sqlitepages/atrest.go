package sqlitepages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// lockPage is where the page lies that holds SQLite's lock bytes (file format §1.6). SQLite does not read it: it is zeros to us.
const lockPage = 1 << 30

// atRest reports whether the database file by itself is the transaction that was begun, and stays so until it ends. Then its bytes are read in long
// stretches, at a fraction of what a row for each page costs.
//
// They are the transaction as long as no frame of a log counts, and that is so while the log is missing or empty: what SQLite puts into a log
// stays until it is in the file and no reader needs the log. Nobody changes the file meanwhile. In rollback mode that takes the exclusive lock,
// which our shared one keeps away. In WAL mode a transaction that needs nothing of the log holds lock 0 of the readers, or a mark at frame 0, and
// a checkpoint writes to the file only while it has lock 0 for itself, and nothing beyond the lowest mark (sqlite.org/walformat.html §2.3). That
// the log is empty must be seen after the transaction has begun: what is committed later is in the log alone.
//
// Locks are on a file and not on its name. That the name still leads to the file that is read here, and that its first page is the one that SQLite read,
// says that both have the same.
func (c *Capture) atRest(path string, first []byte) bool {
	if c.file == nil || !emptyLog(path+"-wal") {
		return false
	}
	ours, err := c.file.Stat()
	if err != nil || ours.Size() < c.pages*int64(c.pageSize) {
		return false // a last page cut short is SQLite's to fill
	}
	named, err := os.Stat(path)
	if err != nil || !os.SameFile(ours, named) {
		return false
	}
	head := make([]byte, len(first))
	_, err = c.file.ReadAt(head, 0)
	return err == nil && bytes.Equal(head, first)
}

func emptyLog(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return info.Size() == 0
}

// read is Next for a file at rest.
func (c *Capture) read(buf []byte) (int, error) {
	n := int(min(int64(len(buf)/c.pageSize), c.pages-c.next+1))
	if n == 0 {
		return 0, io.EOF
	}
	buf = buf[:n*c.pageSize]
	at := (c.next - 1) * int64(c.pageSize)
	if _, err := c.file.ReadAt(buf, at); err == io.EOF {
		return 0, fmt.Errorf("sqlitepages: database was cut short at page %d to %d of %d", c.next, c.next+int64(n)-1, c.pages)
	} else if err != nil {
		return 0, fmt.Errorf("sqlitepages: reading page %d: %w", c.next, err)
	}
	if in := lockPage - at; in >= 0 && in < int64(len(buf)) {
		clear(buf[in : in+int64(c.pageSize)])
	}
	c.next += int64(n)
	return len(buf), nil
}
