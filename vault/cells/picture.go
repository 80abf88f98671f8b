package cells

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"slices"
	"sync/atomic"
)

// A file: the head and the strings in the order of their names, each with its u16
// length in front, two zeros, and CRC-32C of all before, which finds accidents.
// Against anybody's hand files are sealed by who keeps them: a hash that resists
// would cost three quarters of the time of reading one.

// chunk is how many bytes are read and written at a time.
const chunk = 64 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errReleased = errors.New("cells: writing a picture that was released")
	// ErrFormat is a file that no picture wrote.
	ErrFormat = errors.New("cells: not a file of strings")
)

// Picture is the strings at one time. Until its release it costs the memory of
// what changes.
type Picture struct {
	head     []byte
	pages    pages
	index    index
	released atomic.Bool
}

// Picture takes one, with a head of 1 to MaxLength bytes for its file, which is
// cleared with the rest. Only the lists of pages and of tables are copied: 1 MB
// at 10 M strings.
func (s *Store) Picture(head []byte) *Picture {
	s.Sweep()
	s.epoch++
	p := &Picture{head: head, pages: slices.Clone(s.pages), index: s.index}
	s.pictures = append(s.pictures, p)
	return p
}

// Sweep clears what only pictures showed that have all been released. It costs
// nothing when there is nothing to clear.
func (s *Store) Sweep() {
	s.pictures = slices.DeleteFunc(s.pictures, func(p *Picture) bool { return p.released.Load() })
	if len(s.pictures) > 0 {
		return
	}
	for _, p := range s.shadows {
		clear(p[:])
	}
	s.shadows = nil
}

// Release gives the picture up: the store's next Sweep clears it. It may be called
// twice, but not before WriteTo has returned.
func (p *Picture) Release() {
	if !p.released.Swap(true) {
		clear(p.head)
	}
}

// WriteTo writes the picture's file: the same bytes for the same head and
// strings, however they came about.
func (p *Picture) WriteTo(to io.Writer) (int64, error) {
	if p.released.Load() {
		return 0, errReleased
	}
	w := &sink{to: to, sum: crc32.New(castagnoli), b: make([]byte, 0, p.room())}
	defer clear(w.b[:cap(w.b)])
	w.string(p.head)
	for shard := range p.index.all {
		for _, h := range shard {
			w.head(p.pages.cell(h).length())
			w.b = p.pages.read(w.b, h)
		}
	}
	w.string(nil)
	w.flush()
	w.b = w.sum.Sum(w.b)
	w.flush()
	return w.n, w.err
}

// room is how many bytes the file has, or a chunk if that is less.
func (p *Picture) room() int {
	n := 2 + len(p.head) + 2 + crc32.Size
	for shard := range p.index.all {
		for _, h := range shard {
			if n += 2 + p.pages.cell(h).length(); n >= chunk {
				return chunk
			}
		}
	}
	return n
}

// sink writes through a buffer that can be cleared, and sums up what it wrote. The
// first error stays.
type sink struct {
	to  io.Writer
	sum hash.Hash32
	b   []byte
	n   int64
	err error
}

func (w *sink) string(b []byte) {
	w.head(len(b))
	w.b = append(w.b, b...)
}

// head writes the length of a string, and makes room for the string.
func (w *sink) head(n int) {
	w.need(2)
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(n))
	w.need(n)
}

// need makes room for n more bytes.
func (w *sink) need(n int) {
	if n > chunk-len(w.b) {
		w.flush()
	}
}

func (w *sink) flush() {
	w.sum.Write(w.b)
	if w.err == nil {
		var n int
		n, w.err = w.to.Write(w.b)
		w.n += int64(n)
	}
	w.b = w.b[:0]
}

// Load reads a file to its end into a new Store: ErrFormat, or the error of the
// reader. It gives head and each string, in the order of their names, to the
// caller first, who may refuse them, and must neither change nor keep them. What it
// takes up is in proportion to what it has read.
func Load(r io.Reader, head, each func(b []byte) error) (*Store, error) {
	in := &source{from: r, sum: crc32.New(castagnoli)}
	defer func() { clear(in.b) }()
	s := new(Store)
	if err := s.load(in, head, each); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) load(in *source, head, each func(b []byte) error) error {
	b := in.string()
	if b == nil {
		return cmp.Or(in.err, ErrFormat)
	}
	if err := head(b); err != nil {
		return err
	}
	last := []byte(nil)
	for b = in.string(); b != nil; b = in.string() {
		if len(b) < len(Name{}) || bytes.Compare(last, b[:len(Name{})]) >= 0 {
			return ErrFormat // rising names are all different
		}
		last = append(last[:0], b[:len(Name{})]...)
		if err := each(b); err != nil {
			return err
		}
		if err := s.Put(b); err != nil {
			return err
		}
	}
	return in.end()
}

// source reads through a buffer that can be cleared, and sums up what it handed
// out. The first error stays.
type source struct {
	from io.Reader
	sum  hash.Hash32
	b    []byte // the buffer
	have []byte // the part of it that was read and not handed out
	err  error
}

// take hands out the next n bytes, at most a chunk, for use until the next call;
// nil after an error.
func (r *source) take(n int) []byte {
	if len(r.have) < n && r.err == nil {
		r.fill(n)
	}
	if r.err != nil {
		return nil
	}
	b := r.have[:n]
	r.have = r.have[n:]
	r.sum.Write(b)
	return b
}

func (r *source) fill(n int) {
	have := r.grow(n)
	more, err := io.ReadAtLeast(r.from, r.b[have:], n-have)
	r.have = r.b[:have+more]
	switch err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF:
		r.err = ErrFormat
	default:
		r.err = fmt.Errorf("reading a file of strings: %w", err)
	}
}

// grow begins the buffer anew with what was not handed out, and returns how much that is. It is
// a small one at first: many files are small. What held the bytes before is cleared.
func (r *source) grow(n int) int {
	if len(r.b) == chunk {
		return copy(r.b, r.have)
	}
	old := r.b
	r.b = make([]byte, min(max(4*len(old), n, chunk/16), chunk))
	defer clear(old)
	return copy(r.b, r.have)
}

// string hands out a string, nil for one of no bytes and after an error.
func (r *source) string() []byte {
	b := r.take(2)
	if b == nil {
		return nil
	}
	n := int(binary.BigEndian.Uint16(b))
	switch {
	case n > MaxLength:
		r.err = ErrFormat
		return nil
	case n == 0:
		return nil
	}
	return r.take(n)
}

// end reads the sum of all before, and that nothing follows.
func (r *source) end() error {
	want := r.sum.Sum(nil)
	got := r.take(crc32.Size)
	if r.err != nil {
		return r.err
	}
	if !bytes.Equal(got, want) || len(r.have) > 0 {
		return ErrFormat
	}
	if _, err := io.ReadFull(r.from, r.b[:1]); err != io.EOF {
		return ErrFormat
	}
	return nil
}
