package sqlitepages

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// settle is how long a file must have been left alone before its times tell
// that from a file written again: file systems note times in steps of up to
// two seconds (FAT), and two writes within a step look like one.
const settle = 2 * time.Second

// stamped are the suffixes of the files that hold a database: every commit
// writes to at least one of them. The -shm is only an index of the -wal.
var stamped = [3]string{"", "-wal", "-journal"}

// stamp is what the file system says of the database and its sidecars.
type stamp [len(stamped)]fileStamp

// fileStamp is zero for a sidecar that is missing or empty: neither holds
// data, and SQLite readers, we too, create and delete an empty -wal.
type fileStamp struct {
	size     int64
	modified int64 // nanoseconds since 1970
	changed  int64 // change of the inode, likewise; as modified if unknown or a sidecar
	inode    uint64
}

// State returns a value that stays the same, byte for byte, as long as the
// database at path is not written to, from outside or through its log or
// journal: sizes, times and inodes of the database, its -wal and -journal.
// It opens no file, so it may be called at any time. Take it before the
// capture it is to stand for, so that a later write shows in the next one.
//
// A state never equals another if the files changed within the last two
// seconds, since a write yet to come may then leave the same times. Neither
// a writer that sets the system's clock back nor a file server whose clock is
// off by more than that is guarded against.
func State(path string) ([]byte, error) {
	return stateAt(path, time.Now())
}

func stateAt(path string, now time.Time) ([]byte, error) {
	path, _, err := resolve(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitepages: finding database: %w", err)
	}
	s, err := readStamp(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitepages: reading state: %w", err)
	}
	b := s.bytes()
	if s.restIn(now) > 0 {
		b = append(b, rand.Text()...)
	}
	return b, nil
}

// bytes encodes each field as eight bytes, big-endian, in order.
func (s stamp) bytes() []byte {
	var b []byte
	for _, f := range s {
		for _, v := range [...]uint64{uint64(f.size), uint64(f.modified), uint64(f.changed), f.inode} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	return b
}

// restIn returns how long it is until all the files have been left alone for
// settle, or zero. Times further in the future than settle come from a clock
// that has been set back since; a write now would be stamped differently.
func (s stamp) restIn(now time.Time) time.Duration {
	var wait time.Duration
	for _, f := range s {
		age := now.Sub(time.Unix(0, f.changed))
		if f != (fileStamp{}) && age > -settle {
			wait = max(wait, settle-age)
		}
	}
	return wait
}

// readStamp reads the stamp of the database at path, which must exist.
func readStamp(path string) (stamp, error) {
	var s stamp
	for i, suffix := range stamped {
		info, err := os.Stat(path + suffix)
		if errors.Is(err, fs.ErrNotExist) && suffix != "" {
			continue
		}
		if err != nil {
			return stamp{}, err
		}
		if suffix != "" && info.Size() == 0 {
			continue
		}
		s[i] = fileStamp{size: info.Size(), modified: info.ModTime().UnixNano()}
		s[i].changed, s[i].inode = inode(info)
		if suffix != "" {
			// SQLite run by root sets the owner of a log or journal each time
			// it opens one, if only to read: that changes the inode.
			s[i].changed = s[i].modified
		}
	}
	return s, nil
}

// stampAtRest waits until the files have been left alone for settle.
func stampAtRest(ctx context.Context, path string, deadline time.Time) (stamp, error) {
	for {
		s, err := readStamp(path)
		if err != nil {
			return stamp{}, err
		}
		now := time.Now()
		wait := s.restIn(now)
		if wait == 0 {
			return s, nil
		}
		if now.Add(wait).After(deadline) {
			return stamp{}, errChanged
		}
		if err := sleep(ctx, wait); err != nil {
			return stamp{}, err
		}
	}
}
