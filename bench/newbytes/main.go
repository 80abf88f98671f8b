// Command newbytes says how many bytes of one state of a chat history are truly new against an
// earlier state: what a perfect backup would have to upload. It shares no code with Keepsake, so that
// the yardstick does not bend with what it measures.
//
//	newbytes DAY1 DAY2
//
// New files count whole. Of a changed SQLite database, the pages that differ count, compressed in
// groups of 64 with zstd (fastest); of any other changed file, all of it. It prints JSON.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// groupPages is how many changed pages are compressed together.
const groupPages = 64

// newBytes is what is printed.
type newBytes struct {
	Files           int   `json:"files"`            // new files and changed files that are no database
	FileBytes       int64 `json:"file_bytes"`       // of those
	Pages           int   `json:"pages"`            // changed or added database pages
	PageBytes       int64 `json:"page_bytes"`       // of those
	CompressedBytes int64 `json:"compressed_bytes"` // of those, compressed
	Total           int64 `json:"total"`            // file_bytes + compressed_bytes
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "newbytes: error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: newbytes DAY1 DAY2")
	}
	var n newBytes
	err := filepath.WalkDir(args[1], func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(args[1], name)
		if err != nil {
			return err
		}
		return n.add(filepath.Join(args[0], rel), name)
	})
	if err != nil {
		return fmt.Errorf("comparing: %w", err)
	}
	n.Total = n.FileBytes + n.CompressedBytes
	return json.NewEncoder(os.Stdout).Encode(n)
}

func (n *newBytes) add(before, after string) error {
	info, err := os.Stat(after)
	if err != nil {
		return err
	}
	old, err := os.Open(before)
	if errors.Is(err, fs.ErrNotExist) {
		n.Files++
		n.FileBytes += info.Size()
		return nil
	}
	if err != nil {
		return err
	}
	defer old.Close()
	now, err := os.Open(after)
	if err != nil {
		return err
	}
	defer now.Close()
	size, err := pageSize(now)
	if err != nil {
		return err
	}
	if size > 0 {
		return n.addPages(old, now, size)
	}
	return n.addChanged(old, now, info.Size())
}

// pageSize reads a SQLite header, https://sqlite.org/fileformat2.html#the_database_header. 0: no database.
func pageSize(f io.ReaderAt) (int, error) {
	var header [18]byte
	if _, err := f.ReadAt(header[:], 0); err != nil && err != io.EOF {
		return 0, err
	}
	if !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")) {
		return 0, nil
	}
	size := int(binary.BigEndian.Uint16(header[16:]))
	if size == 1 {
		size = 65536
	}
	return size, nil
}

// addPages compares page by page; pages past the old end are new.
func (n *newBytes) addPages(old, now io.Reader, size int) error {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	defer encoder.Close()
	var group []byte
	flush := func() {
		if len(group) > 0 {
			n.CompressedBytes += int64(len(encoder.EncodeAll(group, nil)))
			group = group[:0]
		}
	}
	a, b := make([]byte, size), make([]byte, size)
	for {
		read, err := io.ReadFull(now, b)
		if err == io.EOF {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
		had, _ := io.ReadFull(old, a) // short at the old end: then the page differs
		if had == read && bytes.Equal(a, b) {
			continue
		}
		n.Pages++
		n.PageBytes += int64(size)
		if group = append(group, b...); len(group) == groupPages*size {
			flush()
		}
	}
}

func (n *newBytes) addChanged(old, now io.Reader, size int64) error {
	a, err := io.ReadAll(old)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(now)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		n.Files++
		n.FileBytes += size
	}
	return nil
}
