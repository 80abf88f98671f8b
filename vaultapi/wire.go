package vaultapi

import (
	"bytes"
	"encoding/binary"
)

// reader takes a message apart from the front. After the first field that does
// not fit it is bad for good and gives zeros, so that decoders need no check
// after each field; they must end with done.
type reader struct {
	rest []byte
	bad  bool
}

// fill reads len(dst) bytes. Lengths are compared as they are, never added, so
// that none can overflow.
func (r *reader) fill(dst []byte) {
	if r.bad || len(dst) > len(r.rest) {
		r.bad = true
		return
	}
	copy(dst, r.rest)
	r.rest = r.rest[len(dst):]
}

func (r *reader) u8() uint8 {
	var b [1]byte
	r.fill(b[:])
	return b[0]
}

func (r *reader) u64() uint64 {
	var b [8]byte
	r.fill(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// counted reads a u16 length from 1 to limit and as many bytes, which it copies.
// Nothing is reserved before the length is known to fit.
func (r *reader) counted(limit int) []byte {
	var b [2]byte
	r.fill(b[:])
	n := int(binary.BigEndian.Uint16(b[:]))
	if r.bad || n < 1 || n > limit || n > len(r.rest) {
		r.bad = true
		return nil
	}
	out := bytes.Clone(r.rest[:n])
	r.rest = r.rest[n:]
	return out
}

// done reports whether every field fitted and nothing is left over.
func (r *reader) done() bool { return !r.bad && len(r.rest) == 0 }

// appendCounted writes a u16 length and the bytes. Its callers have compared the
// length with a limit under 2^16 before.
func appendCounted(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}
