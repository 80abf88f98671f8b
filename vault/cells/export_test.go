package cells

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Pages gives the store's pages, for a test to look at after the store let go of them.
func (s *Store) Pages() []*page { return slices.Clone(s.pages) }

// Holds reports whether a cell, free or not, has these bytes.
func (s *Store) Holds(b []byte) bool { return AnyHolds(s.pages, b) }

// AnyHolds is Holds for some pages.
func AnyHolds(pages []*page, b []byte) bool {
	return slices.ContainsFunc(pages, func(p *page) bool {
		return slices.ContainsFunc(p[:], func(c cell) bool { return bytes.Contains(c[:], b) })
	})
}

// WithSum appends the sum that a file ends with.
func WithSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli))
}
