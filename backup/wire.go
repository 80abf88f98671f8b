package backup

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// An ID names an object, a repository or a device, or is a chunk's keyed digest: 16 bytes (spec, preamble).
type ID [16]byte

// String gives 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// parseID accepts exactly what String prints.
func parseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("backup: %.40q is not an id", s)
	}
	return ID(b), nil
}

var errMalformed = errors.New("backup: malformed")

// wireWriter appends the spec's fields to b.
type wireWriter struct{ b []byte }

func (w *wireWriter) u8(v byte)        { w.b = append(w.b, v) }
func (w *wireWriter) u32(v uint32)     { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *wireWriter) u64(v uint64)     { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *wireWriter) i64(v int64)      { w.u64(uint64(v)) }
func (w *wireWriter) uvarint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *wireWriter) id(v ID)          { w.b = append(w.b, v[:]...) }

func (w *wireWriter) str(s string) {
	w.uvarint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *wireWriter) ids(list []ID) {
	w.uvarint(uint64(len(list)))
	for _, id := range list {
		w.id(id)
	}
}

// wireReader takes the spec's fields from b. The first failure sticks; fields read after it are zero. Every count is
// checked against the bytes that are left before anything is allocated for it.
type wireReader struct {
	b   []byte
	err error
}

func (r *wireReader) fail() {
	r.err = errMalformed
	r.b = nil
}

// take returns the next n bytes, a part of the input, or nil.
func (r *wireReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *wireReader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *wireReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *wireReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *wireReader) i64() int64 { return int64(r.u64()) }

// uvarint refuses forms that are longer than they need to be: one value, one encoding.
func (r *wireReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || (n > 1 && r.b[n-1] == 0) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// upTo reads a number that must not be above max.
func (r *wireReader) upTo(max uint64) uint64 {
	v := r.uvarint()
	if v > max {
		r.fail()
		return 0
	}
	return v
}

// count reads the length of a list whose items take at least size bytes each.
func (r *wireReader) count(size int) int {
	return int(r.upTo(uint64(len(r.b) / size)))
}

func (r *wireReader) id() (id ID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *wireReader) ids(max int) []ID {
	n := r.count(len(ID{}))
	if n > max {
		r.fail()
		return nil
	}
	list := make([]ID, n)
	for i := range list {
		list[i] = r.id()
	}
	return list
}

func (r *wireReader) str(max int) string {
	return string(r.take(int(r.upTo(uint64(min(max, len(r.b)))))))
}

// end reports whether everything was read without failure and nothing is left.
func (r *wireReader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}
