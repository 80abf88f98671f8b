package ledger

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"keepsake.example/anchor"
)

// spec/replication.md §3.3. A machine has at most maxGroups groups: a full slot is
// 19 528 bytes, and slots lie so far apart that a torn write of one leaves the other.
const (
	magic      = "ksp-led\x01"
	saltSize   = 32
	headerSize = len(magic) + 8 + saltSize + 4
	tagSize    = 16
	maxGroups  = 256
	lineSize   = 4 + 8 + anchor.HeadSize + anchor.KeySize
	maxSlot    = headerSize + 2 + maxGroups*lineSize + tagSize
	slotPitch  = 32 << 10
	fileSize   = 2 * slotPitch

	sealLabel = "keepsake ledger slot\x01"
	headLabel = "keepsake ledger head\x01"
)

// errSlot is what nobody wrote, or not whole.
var errSlot = errors.New("not a slot of a ledger")

// line is what one group's anchor holds.
type line struct {
	state anchor.State
	key   *anchor.Key
}

// lines are the groups of a machine.
type lines map[uint32]line

// encode returns the plaintext of a slot, which the caller wipes: the groups by number.
func (ls lines) encode() []byte {
	b := make([]byte, 0, 2+len(ls)*lineSize)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ls)))
	for _, group := range ls.groups() {
		l := ls[group]
		b = binary.BigEndian.AppendUint32(b, group)
		b = binary.BigEndian.AppendUint64(b, l.state.Counter)
		b = append(b, l.state.Head[:]...)
		l.key.Use(func(secret *[anchor.KeySize]byte) { b = append(b, secret[:]...) })
	}
	return b
}

func (ls lines) groups() []uint32 {
	var groups []uint32
	for group := range ls {
		groups = append(groups, group)
	}
	slices.Sort(groups)
	return groups
}

// decode reads the plaintext of a slot, in its one form.
func decode(b []byte) (lines, error) {
	if len(b) < 2 {
		return nil, errSlot
	}
	n, b := int(binary.BigEndian.Uint16(b)), b[2:]
	if n > maxGroups || len(b) != n*lineSize {
		return nil, errSlot
	}
	ls := make(lines, n)
	for last := int64(-1); len(b) > 0; b = b[lineSize:] {
		group := binary.BigEndian.Uint32(b)
		if int64(group) <= last {
			ls.wipe()
			return nil, errSlot
		}
		last = int64(group)
		ls[group] = line{
			anchor.State{Counter: binary.BigEndian.Uint64(b[4:]), Head: [anchor.HeadSize]byte(b[12:])},
			anchor.KeyFromBytes([anchor.KeySize]byte(b[12+anchor.HeadSize:])),
		}
	}
	return ls, nil
}

func (ls lines) wipe() {
	for _, l := range ls {
		l.key.Wipe()
	}
}

// header is the part of a slot that anybody reads.
type header struct {
	count  uint64 // of the device, which the slot belongs to
	salt   [saltSize]byte
	length int // of the ciphertext
}

func parseHeader(b []byte) (h header, err error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return h, errSlot
	}
	h.count = binary.BigEndian.Uint64(b[len(magic):])
	h.salt = [saltSize]byte(b[len(magic)+8:])
	length := binary.BigEndian.Uint32(b[headerSize-4:])
	if length < 2+tagSize || length > uint32(maxSlot-headerSize) || int(length) > len(b)-headerSize {
		return h, errSlot
	}
	h.length = int(length)
	return h, nil
}

// seal makes the slot of a count, under the device's key and a salt that is used once.
func (ls lines) seal(count uint64, key *anchor.Key, salt [saltSize]byte) ([]byte, error) {
	plain := ls.encode()
	defer clear(plain)
	b := append(make([]byte, 0, maxSlot), magic...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = append(b, salt[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(plain)+tagSize))
	aead, err := slotAEAD(key, salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(b, make([]byte, aead.NonceSize()), plain, b), nil
}

// open reads a slot that begins b; what follows it is of a longer one before.
func open(b []byte, key *anchor.Key) (lines, error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	aead, err := slotAEAD(key, h.salt)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), b[headerSize:headerSize+h.length], b[:headerSize])
	if err != nil {
		return nil, errSlot
	}
	defer clear(plain)
	return decode(plain)
}

// slotAEAD is of one slot: its key comes of its own salt, so the nonce is zeros and
// never depends on what the disk says.
func slotAEAD(key *anchor.Key, salt [saltSize]byte) (aead cipher.AEAD, err error) {
	key.Use(func(secret *[anchor.KeySize]byte) {
		var k []byte
		if k, err = hkdf.Key(sha256.New, secret[:], salt[:], sealLabel, 32); err != nil {
			return
		}
		defer clear(k)
		var block cipher.Block
		if block, err = aes.NewCipher(k); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	})
	return aead, err
}

// headOf is what the device holds of a slot that begins b.
func headOf(b []byte) (head [anchor.HeadSize]byte, err error) {
	h, err := parseHeader(b)
	if err != nil {
		return head, err
	}
	sum := sha256.New()
	sum.Write([]byte(headLabel))
	sum.Write(b[:headerSize+h.length])
	return [anchor.HeadSize]byte(sum.Sum(nil)), nil
}

// place is where the slot of a count lies: never where that of the count before does.
func place(count uint64) int64 { return int64(count%2) * slotPitch }
