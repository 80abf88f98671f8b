package vault

import (
	"encoding/binary"
	"slices"
)

// wire goes through the fields of a value in their one order, and writes each or
// reads it, so that what is written and what is read cannot come apart. After the
// first field that does not fit a reading wire is bad for good and fills in nothing.
type wire struct {
	b       []byte // written so far, or not read yet
	reading bool
	bad     bool
}

// done reports whether every field fitted and nothing is left over.
func (w *wire) done() bool { return !w.bad && len(w.b) == 0 }

func (w *wire) bytes(p []byte) {
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

func (w *wire) u8(p *uint8) {
	b := [1]byte{*p}
	w.bytes(b[:])
	*p = b[0]
}

// flag is 0 or 1, and nothing else.
func (w *wire) flag(p *bool) {
	var b uint8
	if *p {
		b = 1
	}
	w.u8(&b)
	*p, w.bad = b == 1, w.bad || b > 1
}

func (w *wire) u64(p *uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], *p)
	w.bytes(b[:])
	*p = binary.BigEndian.Uint64(b[:])
}

// counted is a u16 length from 1 to limit, under 2^16, and as many bytes. What is
// read shares the wire's memory.
func (w *wire) counted(p *[]byte, limit int) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], uint16(len(*p)))
	w.bytes(b[:])
	if !w.reading {
		w.b = append(w.b, *p...)
		return
	}
	n := int(binary.BigEndian.Uint16(b[:]))
	if w.bad || n < 1 || n > limit || n > len(w.b) {
		w.bad = true
		return
	}
	*p, w.b = w.b[:n:n], w.b[n:]
}

// list is a u8 number of at most limit elements, and the elements.
func list[T any](w *wire, p *[]T, limit int, element func(*T)) {
	n := uint8(len(*p))
	w.u8(&n)
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
