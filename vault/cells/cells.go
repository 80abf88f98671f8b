// Package cells keeps many small byte strings in memory, each under the name that
// it begins with. It is the vault's memory, and knows nothing of what is in it.
//
//   - Strings lie in chains of cells of one size, the cells in pages without
//     pointers: a string of up to 338 bytes takes 344 and 4 in the index, and the
//     garbage collector looks into none of it.
//   - What is put in the place of a string overwrites it where it lies, and cells
//     that become free are cleared: what was erased is nowhere in a Store.
//   - A [Picture] of all strings at one time is taken in less than a millisecond
//     for 10 M of them, and is written to a file while the Store goes on. What it
//     shows is copied before it is changed, and cleared after its release.
//
// A Store is not safe for concurrent use; the methods of its Pictures may run
// beside it.
package cells

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

const (
	// MaxLength is the longest string in bytes; the shortest is a name.
	MaxLength = 12 << 10

	cellSize  = 344
	cellRoom  = cellSize - cellHead
	cellHead  = 4 + 2 // handle of the next cell, 0 for none; in a first cell the length of the string
	pageCells = 95    // 88 bytes less than 32 KiB, a size that the allocator has
	// shards of the index, in tables of as many. Inserting moves 10 KiB at most at 10 M names.
	shards = 64
)

var errFull = errors.New("cells: no handles are left")

// Name is the first bytes of a string. Names are spread evenly: outputs of a
// keyed hash.
type Name [16]byte

type (
	cell [cellSize]byte
	page [pageCells]cell
	// pages are read by handle: 1 is the first cell.
	pages []*page
	// index is the handles of first cells, by the first 6 bits of the name and the next 6, each
	// shard in the order of the names. A table that is nil has no names.
	index [shards]*table
	table struct {
		epoch  uint32
		ages   [shards]uint32
		shards [shards][]uint32
	}
)

func (p pages) cell(h uint32) *cell { return &p[(h-1)/pageCells][(h-1)%pageCells] }

func (c *cell) next() uint32     { return binary.BigEndian.Uint32(c[:]) }
func (c *cell) setNext(h uint32) { binary.BigEndian.PutUint32(c[:], h) }
func (c *cell) length() int      { return int(binary.BigEndian.Uint16(c[4:])) }
func (c *cell) setLength(n int)  { binary.BigEndian.PutUint16(c[4:], uint16(n)) }
func (c *cell) room() []byte     { return c[cellHead:] }
func (c *cell) name() []byte     { return c[cellHead:][:len(Name{})] }

// read appends the string that begins in cell h to b.
func (p pages) read(b []byte, h uint32) []byte {
	for left := p.cell(h).length(); left > 0; left -= cellRoom {
		b = append(b, p.cell(h).room()[:min(left, cellRoom)]...)
		h = p.cell(h).next()
	}
	return b
}

// Store is the strings. The zero Store is empty.
type Store struct {
	pages pages
	index index
	used  uint32   // cells that were ever taken: the first ones
	free  []uint32 // of them, those that are free, all clear
	count int

	// A page, table or shard may be shared with a picture if its epoch is not the store's.
	epoch    uint32
	pageAge  []uint32
	pictures []*Picture
	shadows  []*page // pages that only pictures show
}

// Len returns how many strings there are.
func (s *Store) Len() int { return s.count }

// Get appends the string of a name to b, and nothing if there is none.
func (s *Store) Get(b []byte, n Name) []byte {
	shard, at, found := s.find(n)
	if !found {
		return b
	}
	return s.pages.read(b, shard[at])
}

// Put puts a string, which begins with its name and has at most MaxLength bytes,
// in the place of the one with that name. It fails at 4 G cells.
func (s *Store) Put(b []byte) error {
	shard, at, found := s.find(Name(b))
	if found {
		return s.write(shard[at], b)
	}
	h, err := s.take()
	if err != nil {
		return err
	}
	own := s.own(Name(b))
	*own = slices.Insert(*own, at, h)
	s.count++
	return s.write(h, b)
}

// Delete clears the string of a name, if there is one.
func (s *Store) Delete(n Name) {
	shard, at, found := s.find(n)
	if found {
		s.drop(shard[at])
		own := s.own(n)
		*own = slices.Delete(*own, at, at+1)
		s.count--
	}
}

// Bytes is the memory that the strings take, without what only pictures show.
func (s *Store) Bytes() uint64 {
	n := uint64(len(s.pages)) * (32<<10 + 8 + 4)
	for shard := range s.index.all {
		n += uint64(cap(shard)) * 4
	}
	return n + uint64(cap(s.free))*4
}

// where is the table of a name, and its shard in there.
func (n *Name) where() (table, shard int) {
	bits := binary.BigEndian.Uint16(n[:])
	return int(bits >> 10), int(bits >> 4 % shards)
}

// all yields the shards that have a table, in the order of their names.
func (x *index) all(yield func(shard []uint32) bool) {
	for _, t := range x {
		for i := 0; t != nil && i < shards; i++ {
			if !yield(t.shards[i]) {
				return
			}
		}
	}
}

// find returns a name's shard and where in it the name is, or would be.
func (s *Store) find(n Name) (shard []uint32, at int, found bool) {
	i, j := n.where()
	if s.index[i] == nil {
		return nil, 0, false
	}
	shard = s.index[i].shards[j]
	at, found = slices.BinarySearchFunc(shard, n, func(h uint32, n Name) int {
		return bytes.Compare(s.pages.cell(h).name(), n[:])
	})
	return shard, at, found
}

// own returns a name's shard to change.
func (s *Store) own(n Name) *[]uint32 {
	i, j := n.where()
	t := s.index[i]
	if t == nil || t.epoch != s.epoch {
		t = new(table)
		if s.index[i] != nil {
			*t = *s.index[i]
		}
		t.epoch, s.index[i] = s.epoch, t
	}
	if t.ages[j] != s.epoch {
		t.shards[j], t.ages[j] = slices.Clone(t.shards[j]), s.epoch
	}
	return &t.shards[j]
}

// edit returns a cell to change.
func (s *Store) edit(h uint32) *cell {
	i := (h - 1) / pageCells
	if s.pageAge[i] != s.epoch && len(s.pictures) > 0 {
		old := s.pages[i]
		s.shadows = append(s.shadows, old)
		s.pages[i] = new(page)
		*s.pages[i] = *old
	}
	s.pageAge[i] = s.epoch
	return s.pages.cell(h)
}

// take returns a clear cell.
func (s *Store) take() (uint32, error) {
	if n := len(s.free); n > 0 {
		h := s.free[n-1]
		s.free = s.free[:n-1]
		return h, nil
	}
	if s.used == math.MaxUint32 {
		return 0, errFull
	}
	if int(s.used) == len(s.pages)*pageCells {
		s.pages, s.pageAge = append(s.pages, new(page)), append(s.pageAge, s.epoch)
	}
	s.used++
	return s.used, nil
}

// write puts b in the place of what the chain from cell h held.
func (s *Store) write(h uint32, b []byte) error {
	s.edit(h).setLength(len(b))
	for {
		c := s.edit(h)
		n := copy(c.room(), b)
		clear(c.room()[n:])
		b, h = b[n:], c.next()
		if len(b) == 0 {
			c.setNext(0)
			s.drop(h)
			return nil
		}
		if h == 0 {
			var err error
			if h, err = s.take(); err != nil {
				return err
			}
			c.setNext(h)
		}
	}
}

// drop clears and frees the chain from cell h.
func (s *Store) drop(h uint32) {
	for h != 0 {
		c := s.edit(h)
		s.free = append(s.free, h)
		h = c.next()
		clear(c[:])
	}
}
