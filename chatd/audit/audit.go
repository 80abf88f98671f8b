// Package audit keeps a log of events in which an entry is durable before
// Append returns, and in which every line names the one before it.
//
// A line is one JSON object:
//
//	{"seq":7,"prev":"<SHA-256 of line 6, hexadecimal>","event":{…}}
//
// The first line ever has seq 1 and a prev of 64 zeros. prev is over the
// bytes of the line before without its line end, in the file before if the
// line is the first of its file. So a line that was changed, left out, moved
// or cut from the middle shows when the files are read with [Verify]; lines cut
// from the end show only to who noted the last hash elsewhere, and whoever can
// write the files can write all of them anew. The chain finds accidents and
// hasty hands, not an operator who lies.
//
// Entries that wait for the disk together are written and synced together, so
// that a thousand a second do not need a thousand syncs.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// MaxEvent is how many bytes an event may have as JSON.
const MaxEvent = 4096

// ErrClosed tells that the log was closed: nothing was written.
var ErrClosed = errors.New("audit: the log is closed")

// ErrInUse tells that another process has the log open.
var ErrInUse = errors.New("audit: another process writes this log")

// Options bound a log.
type Options struct {
	// MaxSize is how large a file grows, in bytes, before it is put aside as
	// NAME-<seq of its first line> and a new one begun. It is at least 1 MiB,
	// which is also what 0 means.
	MaxSize int64
}

// Head is the end of a chain: the last line's number and hash.
type Head struct {
	Seq  uint64
	Hash [sha256.Size]byte
}

// A Log is an open log. It is safe for concurrent use.
type Log struct {
	disk *disk
	max  int64

	mu      sync.Mutex
	waiting []*entry
	closed  bool
	err     error // what the last write came to

	wake chan struct{} // holds one: there may be something waiting
	done chan error    // the result of closing
}

// entry waits to become durable.
type entry struct {
	event []byte
	done  chan error
}

// Open opens the log at path, whose folder must exist, or begins one. What a
// crash left half-written at its end is cut off: nobody was told that it is
// there. One process at a time has a log.
func Open(path string, o Options) (*Log, error) {
	d, err := openDisk(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	l := &Log{disk: d, max: max(o.MaxSize, 1<<20), wake: make(chan struct{}, 1), done: make(chan error, 1)}
	go l.write()
	return l, nil
}

// Append writes event, as JSON, and returns when it is durable. After an error
// it is not in the log, except that after a crash of the machine a part of what
// failed may turn up at its end.
func (l *Log) Append(event any) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("writing an audit event: %w", err)
	}
	if len(text) > MaxEvent {
		return fmt.Errorf("audit: an event of over %d bytes", MaxEvent)
	}
	e := &entry{text, make(chan error, 1)}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.waiting = append(l.waiting, e)
	l.mu.Unlock()
	l.rouse()
	return <-e.done
}

func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Err tells why the last write failed, nil if it did not.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close writes what waits and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.mu.Unlock()
	l.rouse()
	return <-l.done
}

// write is the only goroutine that touches the disk. While it syncs, the
// entries of the next round gather.
func (l *Log) write() {
	for range l.wake {
		l.mu.Lock()
		batch, closed := l.waiting, l.closed
		l.waiting = nil
		l.mu.Unlock()
		if len(batch) > 0 {
			l.commit(batch)
		}
		if closed {
			l.done <- l.disk.close()
			return
		}
	}
}

func (l *Log) commit(batch []*entry) {
	head, text := l.disk.head, []byte(nil)
	for _, e := range batch {
		var line []byte
		line, head = chain(head, e.event)
		text = append(text, line...)
	}
	err := l.disk.append(text, head, l.max)
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	for _, e := range batch {
		e.done <- err
	}
}

// chain makes the line for an event after head, with its line end, and the
// head after it.
func chain(head Head, event []byte) ([]byte, Head) {
	line := fmt.Appendf(nil, `{"seq":%d,"prev":"%s","event":%s}`, head.Seq+1, hex.EncodeToString(head.Hash[:]), event)
	return append(line, '\n'), Head{head.Seq + 1, sha256.Sum256(line)}
}
