package software

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"keepsake.example/anchor"
)

// spec/replication.md §3.1. The slots lie in pages of their own, so that a torn
// write of one leaves the other.
const (
	magic     = "ksp-anc\x01"
	slotBody  = len(magic) + 8 + anchor.HeadSize + anchor.KeySize
	slotSize  = slotBody + sha256.Size
	slotPitch = 4096
	fileSize  = 2 * slotPitch
)

var errSlot = errors.New("no slot")

// A record is what one slot says.
type record struct {
	state anchor.State
	key   *anchor.Key
}

// encode returns the bytes of a slot, which the caller wipes.
func (r record) encode() []byte {
	b := make([]byte, 0, slotSize)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, r.state.Counter)
	b = append(b, r.state.Head[:]...)
	r.key.Use(func(secret *[anchor.KeySize]byte) { b = append(b, secret[:]...) })
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decode reads one slot. The sum finds torn writes; it stops nobody.
func decode(b []byte) (record, error) {
	if len(b) != slotSize || string(b[:len(magic)]) != magic || sha256.Sum256(b[:slotBody]) != [sha256.Size]byte(b[slotBody:]) {
		return record{}, errSlot
	}
	var r record
	b = b[len(magic):]
	r.state.Counter = binary.BigEndian.Uint64(b)
	r.state.Head = [anchor.HeadSize]byte(b[8:])
	r.key = anchor.KeyFromBytes([anchor.KeySize]byte(b[8+anchor.HeadSize:]))
	return r, nil
}

// choose returns what a whole file says, and which slot says it.
func choose(file []byte) (r record, slot int, err error) {
	if len(file) != fileSize {
		return record{}, 0, errSlot
	}
	first, err0 := decode(file[:slotSize])
	second, err1 := decode(file[slotPitch : slotPitch+slotSize])
	switch {
	case err0 != nil && err1 != nil:
		return record{}, 0, errSlot
	case err1 != nil, err0 == nil && first.state.Counter >= second.state.Counter:
		second.key.Wipe()
		return first, 0, nil
	default:
		first.key.Wipe()
		return second, 1, nil
	}
}
