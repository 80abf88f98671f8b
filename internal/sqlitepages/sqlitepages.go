// Package sqlitepages reads a SQLite database file as the pages of one
// committed transaction, while other processes may be writing to it.
//
// [Open] begins a read transaction with SQLite itself, so its locks, its
// write-ahead log and its journals mean what they mean to every other program,
// and [Capture.Next] then yields page 1 to page N. Written one after another,
// the pages are a complete database file that needs no -wal and no -journal
// beside it. Of a database that nobody has written to since its last clean
// close, they are the file's own bytes, and are read from the file while SQLite
// holds its lock on it (atRest says when that is sound); of one with a log, page
// by page through SQLite.
//
// # What is done to the owner's files
//
// Nothing is written to the database, its -wal or its -journal: no checkpoint,
// no change of mode, no rollback. Which way is taken depends on what lies on
// the disk:
//
//   - Rollback mode without a hot journal, and a write-ahead log that has its
//     -shm: opened in place with mode=ro. The lock is SQLite's shared lock, or
//     a read mark in the -shm, which is the only thing written.
//   - WAL mode with no -wal (closed cleanly): opened in place with mode=rw,
//     because SQLite then deletes on close the empty -wal and the -shm that it
//     has to create. With mode=ro it would leave both behind.
//   - A hot journal, a -wal whose -shm is missing, a directory or medium that
//     cannot be written, a path longer than SQLite's 504 bytes: SQLite would
//     have to change or create files here. The files are copied to a private
//     directory, checked not to have changed meanwhile, and SQLite recovers the
//     copy as it would have recovered the original.
//
// Two small traces are possible. A writer that closes while a capture is open
// is not the last to close, so its -wal and -shm stay (with the data in them,
// and the next writer uses them). And if the last writer closes between our
// look at the -shm and our opening, an empty -wal and a -shm are left.
//
// # Limits
//
// In WAL mode a capture never holds up a writer; the log cannot be reset while
// it lasts, and grows. In rollback mode a writer's commit waits until Close, so
// the caller must drain quickly. Pages beyond the count in the database header
// are not part of the database and are not yielded; a last page cut short is
// filled with zeros, as SQLite reads it.
//
// A database that SQLite cannot read, an encrypted one for example, is refused,
// and with it the promise of one transaction: its -wal and -journal hold data
// that belong with it.
package sqlitepages

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrNotDatabase says that SQLite cannot read the file as a database: it is
// empty, encrypted, damaged at its head, or something else. Nothing is held
// open; the caller may read it as a plain file.
var ErrNotDatabase = errors.New("sqlitepages: not a readable SQLite database")

// ErrBusy says that no consistent view was to be had within [Options.Wait]: a
// writer kept its lock, or kept changing files that had to be copied.
var ErrBusy = errors.New("sqlitepages: database is busy")

// DefaultWait is how long [Open] waits for a writer when [Options.Wait] is zero.
const DefaultWait = 10 * time.Second

// Options configures [Open].
type Options struct {
	// Wait bounds the wait for a writer's lock, and for files that must be
	// copied to come to rest (see [State]); zero is [DefaultWait].
	Wait time.Duration

	// TempDir is where a private copy is made when one is needed. It is in
	// the clear, as large as the database, readable by this user only, and
	// unlinked before Open returns where the system allows. It must be named:
	// the system's default is often a RAM disk.
	TempDir string
}

// HeaderSize is how many bytes at the start of a file [IsDatabase] looks at
// (SQLite file format §1.3).
const HeaderSize = 100

const magic = "SQLite format 3\x00"

// IsDatabase reports whether header, the first [HeaderSize] bytes of a file,
// begins a SQLite database that this package can read: the magic string, a
// page size that exists, and the constants the format fixes (§1.3). It is a
// sieve, not a proof; [Open] has the last word.
func IsDatabase(header []byte) bool {
	if len(header) < HeaderSize || string(header[:len(magic)]) != magic {
		return false
	}
	size := pageSize(header)
	if size < 512 || size > 65536 || size&(size-1) != 0 {
		return false
	}
	// §1.3.2, §1.3.4 and §1.3.5: read version, usable size, payload fractions.
	return header[19] >= 1 && header[19] <= 2 && size-int(header[20]) >= 480 &&
		header[21] == 64 && header[22] == 32 && header[23] == 32
}

func pageSize(header []byte) int {
	if n := int(binary.BigEndian.Uint16(header[16:])); n != 1 {
		return n
	}
	return 65536 // §1.3.2: does not fit in two bytes
}

// declaredPages returns how many pages the header counts, or 0 if the count is
// void because a very old SQLite wrote last (§1.3.7). The file is cut short if
// it has fewer; SQLite says so only when writable_schema is off.
func declaredPages(header []byte) int64 {
	if string(header[24:28]) != string(header[92:96]) {
		return 0
	}
	return int64(binary.BigEndian.Uint32(header[28:]))
}

// inWAL reports whether the header names the write-ahead log as journal (§1.3.3).
func inWAL(header []byte) bool { return header[19] == 2 }

// Sidecars returns the files SQLite keeps beside the database at path: the
// write-ahead log, its index, and the rollback journal. A capture contains
// what matters of them, so they are not backed up with a captured database.
// They do matter beside a file that [Open] refuses.
func Sidecars(path string) []string {
	return []string{path + "-wal", path + "-shm", path + "-journal"}
}
