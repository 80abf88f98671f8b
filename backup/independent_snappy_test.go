package backup_test

import "encoding/binary"

// indieSnappy decodes the raw block format of format_description.txt, written from that text.
func indieSnappy(in []byte) (out []byte) {
	length, n := binary.Uvarint(in)
	if n <= 0 || length > 1<<20 {
		refuse("chunk", "snappy: no length")
	}
	for in = in[n:]; len(in) > 0; {
		tag := in[0]
		if tag&3 == 0 {
			in, out = indieLiteral(in, out)
			continue
		}
		need := []int{0, 2, 3, 5}[tag&3]
		if len(in) < need {
			refuse("chunk", "snappy: a copy is cut")
		}
		size, back := int(tag>>2)+1, 0
		switch tag & 3 {
		case 1:
			size, back = int(tag>>2&7)+4, int(tag>>5)<<8|int(in[1])
		case 2:
			back = int(binary.LittleEndian.Uint16(in[1:]))
		case 3:
			back = int(binary.LittleEndian.Uint32(in[1:]))
		}
		if back == 0 || back > len(out) {
			refuse("chunk", "snappy: a copy from before the start")
		}
		for range size {
			out = append(out, out[len(out)-back])
		}
		in = in[need:]
	}
	if len(out) != int(length) {
		refuse("chunk", "snappy: %d bytes for %d", len(out), length)
	}
	return out
}

// indieLiteral takes one literal: its length is in the tag, or in the one to four bytes behind it.
func indieLiteral(in, out []byte) (rest, grown []byte) {
	size, head := int(in[0]>>2), 1
	if extra := size - 59; extra > 0 {
		head += extra
		size = 0
		for i := min(extra, len(in)-1); i > 0; i-- {
			size = size<<8 | int(in[i])
		}
	}
	if size++; len(in) < head+size {
		refuse("chunk", "snappy: a literal is cut")
	}
	return in[head+size:], append(out, in[head:head+size]...)
}
