package replica

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	logPrefix        = "log-"
	checkpointPrefix = "checkpoint-"
)

func logName(first uint64) string         { return fmt.Sprintf("%s%020d", logPrefix, first) }
func checkpointName(number uint64) string { return fmt.Sprintf("%s%020d", checkpointPrefix, number) }

// parseName reads the number in a file's name. A name of another form is not ours.
func parseName(name, prefix string) (number uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, err == nil
}

// A logWriter appends records. The space for them is written with zeros
// and synced before (reserve), so that a record changes neither the size of its
// file nor its place on the disk: its sync is one write, and a full disk shows
// while nothing depends on it yet.
type logWriter struct {
	disk   Disk
	random io.Reader
	length int64 // of a file, where no single record needs more
	epoch  *epoch
	chain  chain
	file   File // nil before the first reserve
	at     int64
	end    int64  // of the file
	size   int64  // of all records of this epoch
	tried  uint64 // the batch with whose number a file was named, or may have been
	buf    []byte
}

// reserve makes room for one record with a batch of n bytes. After an error
// nothing is lost and nothing written that counts, and the room that was made
// before is still there: what raft was given since is not written yet. Two exceptions: a
// fresh file can be gone (Node.unload), and any, where a name that was tried cannot be removed.
func (w *logWriter) reserve(n int) error {
	need := int64(n + recordOver)
	if w.file != nil && w.end-w.at >= need {
		return nil
	}
	name := logName(w.chain.number + 1)
	size := max(w.length, int64(segmentHeader)+need)
	file, err := w.begin(name, size)
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	w.closeFile()
	w.file, w.at, w.end = file, int64(segmentHeader), size
	return nil
}

// fresh says whether nothing was written yet to the file that is open: then a larger one can
// only take its place.
func (w *logWriter) fresh() bool { return w.file != nil && w.tried == w.chain.number+1 }

var zeros [256 << 10]byte // nobody writes here

// begin makes and opens a log file for the next batch. Whoever calls it then leaves the one
// before, which stays as it is after an error.
//
// A batch goes into no file before one whose name is its number: the start takes that name for
// where the one before ends. So a name that may be there is removed for good, or
// nothing is written until it is.
func (w *logWriter) begin(name string, size int64) (File, error) {
	d, err := w.draft(size)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	first := w.chain.number + 1
	if w.tried == first {
		// A full disk had better show while the smaller file of this name is there.
		if err := d.Sync(); err != nil {
			return nil, err
		}
		w.closeFile()
		if err := w.disk.Remove(name); err != nil {
			return nil, err
		}
	}
	w.tried = first
	file, err := w.publish(d, name)
	if err == nil {
		return file, nil
	}
	if w.disk.Remove(name) == nil {
		w.tried = 0
		return nil, err
	}
	w.closeFile()
	return nil, err
}

func (w *logWriter) publish(d Draft, name string) (File, error) {
	if err := d.Publish(name); err != nil {
		return nil, err
	}
	return w.disk.Open(name)
}

// draft is a log file without a name.
func (w *logWriter) draft(size int64) (Draft, error) {
	d, err := w.disk.Create()
	if err != nil {
		return nil, err
	}
	head := segmentHead{w.epoch.id, w.chain}.append(nil)
	_, err = d.Write(head)
	for left := size - int64(len(head)); err == nil && left > 0; left -= int64(len(zeros)) {
		_, err = d.Write(zeros[:min(left, int64(len(zeros)))])
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// append makes one batch durable, in the room that was reserved for it. After an
// error nobody knows whether it is.
func (w *logWriter) append(b *batch) error {
	if len(b.entries) > maxEntries {
		return fmt.Errorf("replica: internal error: a batch of %d entries, which no start would read", len(b.entries))
	}
	record, next, err := sealRecord(w.buf[:0], w.random, w.epoch, w.chain, b)
	if err != nil {
		return err
	}
	w.buf = record[:0]
	if int64(len(record)) > w.end-w.at {
		return errors.New("replica: internal error: record larger than what was reserved")
	}
	if _, err := w.file.WriteAt(record, w.at); err != nil {
		return fmt.Errorf("writing batch %d: %w", next.number, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("syncing batch %d: %w", next.number, err)
	}
	w.at += int64(len(record))
	w.size += int64(len(record))
	w.chain = next
	return nil
}

// turn begins the log of another epoch, after its checkpoint.
func (w *logWriter) turn(e *epoch, c chain) {
	w.epoch.wipe()
	w.epoch, w.chain, w.size = e, c, 0
	w.closeFile()
}

// close ends the writing and wipes the key.
func (w *logWriter) close() {
	w.epoch.wipe()
	w.closeFile()
}

// closeFile leaves the file. What counts in it was synced: an error could say nothing about that.
func (w *logWriter) closeFile() {
	if w.file != nil {
		_ = w.file.Close()
	}
	w.file, w.at, w.end = nil, 0, 0
}

// files sorts the names in a folder.
type files struct{ logs, checkpoints []uint64 }

func listFiles(d Disk) (f files, err error) {
	names, err := d.List()
	if err != nil {
		return f, err
	}
	for _, name := range names {
		if n, ok := parseName(name, logPrefix); ok {
			f.logs = append(f.logs, n)
		}
		if n, ok := parseName(name, checkpointPrefix); ok {
			f.checkpoints = append(f.checkpoints, n)
		}
	}
	slices.Sort(f.logs)
	slices.Sort(f.checkpoints)
	return f, nil
}
