// Package wire writes and reads values in their one byte form. A type goes through
// its fields in one function, and a [Codec] writes each or reads it, so that what
// is written and what is read cannot come apart:
//
//	func (p *point) layout(w *wire.Codec) {
//		w.U64(&p.x)
//		w.U64(&p.y)
//	}
//
// Numbers are big-endian, and have the width of their type. It is the form of the
// vault's state and commands, and of the roster (spec/replication.md §9 and §15).
package wire

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Codec is bytes that are being written or read. After the first field that does
// not fit, a reading one is bad for good and fills in nothing: only [Codec.Done] need
// be asked. Not safe for concurrent use.
type Codec struct {
	b       []byte // written so far, or not read yet
	reading bool
	bad     bool
}

// Append returns a codec that writes after b. Who writes secrets gives it room for
// all: a buffer that grows leaves copies behind.
func Append(b []byte) *Codec { return &Codec{b: b} }

// Read returns a codec that reads b, which it never changes.
func Read(b []byte) *Codec { return &Codec{b: b, reading: true} }

// Reading reports whether the fields are being read.
func (w *Codec) Reading() bool { return w.reading }

// Written returns what was written.
func (w *Codec) Written() []byte { return w.b }

// Done reports whether every field fitted and nothing is left over.
func (w *Codec) Done() bool { return !w.bad && len(w.b) == 0 }

// Must makes what is read bad unless ok holds.
func (w *Codec) Must(ok bool) { w.bad = w.bad || w.reading && !ok }

// Rest takes all that is not read yet, to share its memory.
func (w *Codec) Rest() (b []byte) {
	b, w.b = w.b, nil
	return b
}

// Bytes is as many bytes as p has.
func (w *Codec) Bytes(p []byte) {
	switch {
	case !w.reading:
		w.b = append(w.b, p...)
	case w.bad || len(p) > len(w.b):
		w.bad = true
	default:
		copy(p, w.b)
		w.b = w.b[len(p):]
	}
}

// Constant is bytes that are always the same: a name and a version.
func (w *Codec) Constant(s string) {
	b := []byte(s)
	w.Bytes(b)
	w.Must(bytes.Equal(b, []byte(s)))
}

// U8 is one byte.
func (w *Codec) U8(p *uint8) {
	b := [1]byte{*p}
	w.Bytes(b[:])
	*p = b[0]
}

// Flag is 0 or 1, and nothing else.
func (w *Codec) Flag(p *bool) {
	var b uint8
	if *p {
		b = 1
	}
	w.U8(&b)
	w.Must(b <= 1)
	*p = b == 1
}

// U16 is two bytes.
func (w *Codec) U16(p *uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], *p)
	w.Bytes(b[:])
	*p = binary.BigEndian.Uint16(b[:])
}

// U32 is four bytes.
func (w *Codec) U32(p *uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], *p)
	w.Bytes(b[:])
	*p = binary.BigEndian.Uint32(b[:])
}

// U64 is eight bytes.
func (w *Codec) U64(p *uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], *p)
	w.Bytes(b[:])
	*p = binary.BigEndian.Uint64(b[:])
}

// Counted is a u16 length from least to limit, under 2^16, and as many bytes. What
// is read shares the memory of what it is read from.
func (w *Codec) Counted(p *[]byte, least, limit int) {
	n := uint16(len(*p))
	w.U16(&n)
	switch {
	case !w.reading:
		w.b = append(w.b, *p...)
	case w.bad || int(n) < least || int(n) > limit || int(n) > len(w.b):
		w.bad = true
	default:
		*p, w.b = w.b[:n:n], w.b[n:]
	}
}

// Text is as Counted, and a string.
func (w *Codec) Text(p *string, least, limit int) {
	b := []byte(*p)
	w.Counted(&b, least, limit)
	*p = string(b)
}

// List is a u8 number of at most limit elements, and the elements. Memory is taken
// for limit elements at most.
func List[T any](w *Codec, p *[]T, limit int, element func(*T)) {
	n := uint8(len(*p))
	w.U8(&n)
	if w.reading {
		if w.bad || int(n) > limit {
			w.bad = true
			return
		}
		*p = slices.Grow(*p, int(n))[:n]
	}
	for i := range *p {
		element(&(*p)[i])
	}
}
