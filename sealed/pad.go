package sealed

import "encoding/binary"

// pad returns length, message and zeros, size bytes in all: the one form of a
// message (spec/vault-protocol.md §2.4). The result has room for a tag.
func pad(message []byte, size int) ([]byte, error) {
	if len(message) > size-lengthSize {
		return nil, ErrTooLong
	}
	p := make([]byte, size, size+tagSize)
	binary.BigEndian.PutUint16(p, uint16(len(message))) // size is under 2^16
	copy(p[lengthSize:], message)
	return p, nil
}

// unpad returns the message, which shares p's memory. It refuses a length that
// is not inside and padding that is not zero.
func unpad(p []byte) ([]byte, error) {
	n := int(binary.BigEndian.Uint16(p))
	body := p[lengthSize:]
	if n > len(body) {
		return nil, ErrOpen
	}
	var set byte
	for _, b := range body[n:] {
		set |= b
	}
	if set != 0 {
		return nil, ErrOpen
	}
	return body[:n:n], nil
}
