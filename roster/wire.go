package roster

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// wire goes through the fields of a value in their one order, and writes each or
// reads it. After the first field that does not fit a reading wire is bad for good
// and fills in nothing.
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

// constant is bytes that are always the same: a name and a version.
func (w *wire) constant(s string) {
	b := []byte(s)
	w.bytes(b)
	w.bad = w.bad || !bytes.Equal(b, []byte(s))
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

func (w *wire) u16(p *uint16) {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], *p)
	w.bytes(b[:])
	*p = binary.BigEndian.Uint16(b[:])
}

func (w *wire) u32(p *uint32) {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], *p)
	w.bytes(b[:])
	*p = binary.BigEndian.Uint32(b[:])
}

func (w *wire) u64(p *uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], *p)
	w.bytes(b[:])
	*p = binary.BigEndian.Uint64(b[:])
}

// text is a u16 length of at most limit, and as many bytes.
func (w *wire) text(p *string, limit int) {
	n := uint16(len(*p))
	w.u16(&n)
	if !w.reading {
		w.b = append(w.b, *p...)
		return
	}
	if w.bad || int(n) > limit || int(n) > len(w.b) {
		w.bad = true
		return
	}
	*p, w.b = string(w.b[:n]), w.b[n:]
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
