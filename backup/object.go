package backup

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"keepsake.example/internal/cobblestone"
)

// kind is an object's kind, spec §2.
type kind byte

const (
	kindRing     kind = 1
	kindHead     kind = 2
	kindSnapshot kind = 3
	kindIndex    kind = 4
	kindData     kind = 5
	kindMeta     kind = 6
	kindLock     kind = 7
)

// kindInfo says where objects of a kind lie and how large one may be, spec §2.
type kindInfo struct {
	name   string
	folder string
	limit  int64
}

var kinds = map[kind]kindInfo{
	kindRing:     {"key ring", "ring/", 64 << 10},
	kindHead:     {"head", "head/", 16 << 20},
	kindSnapshot: {"snapshot", "snap/", 16 << 20},
	kindIndex:    {"index", "index/", 8 << 20},
	kindData:     {"data pack", "data/", packLimit},
	kindMeta:     {"meta pack", "meta/", packLimit},
	kindLock:     {"lock", "lock/", 4 << 10},
}

const (
	headerSize    = 48
	stubSize      = headerSize + cobblestone.HeaderSize // what a retired ring keeps, and what a key check needs
	minObjectSize = stubSize + cobblestone.TagSize
	minPlaintext  = 1024
	packLimit     = 40 << 20
	formatVersion = 1
	retiredFolder = "retired/"
)

var magic = []byte("KEEPSAKE")

// A header is the first 48 bytes of every object, and the context of its encryption.
type header struct {
	kind kind
	key  uint32 // number of the data key, 0 for K
	repo ID
	id   ID
}

func (h header) bytes() []byte {
	w := wireWriter{b: make([]byte, 0, headerSize)}
	w.b = append(w.b, magic...)
	w.u8(formatVersion)
	w.u8(byte(h.kind))
	w.b = append(w.b, 0, 0)
	w.u32(h.key)
	w.id(h.repo)
	w.id(h.id)
	return w.b
}

// parseHeader reads a header and refuses what version 1 does not write.
func parseHeader(name string, b []byte) (h header, err error) {
	if len(b) < headerSize {
		return h, damage(name, "header", "only %d bytes", len(b))
	}
	if !bytes.Equal(b[:8], magic) {
		return h, damage(name, "header", "not a Keepsake object")
	}
	if b[8] != formatVersion {
		return h, damage(name, "version", "its format has version %d, this program reads version %d", b[8], formatVersion)
	}
	if b[10] != 0 || b[11] != 0 {
		return h, damage(name, "header", "reserved bytes are not zero")
	}
	h = header{kind: kind(b[9]), key: binary.BigEndian.Uint32(b[12:]), repo: ID(b[16:32]), id: ID(b[32:48])}
	if _, ok := kinds[h.kind]; !ok {
		return h, damage(name, "header", "unknown kind %d", b[9])
	}
	return h, nil
}

// check compares a header with what the object's name and place say it must be, spec §2.
func (h header) check(name string, want kind, repo, id ID) error {
	if h.repo != repo {
		return damage(name, "foreign", "it belongs to another backup (%.8s)", h.repo)
	}
	if h.kind != want || h.id != id {
		return damage(name, "swapped", "it holds %s %.8s under a wrong name", kinds[h.kind].name, h.id)
	}
	return nil
}

func objectName(k kind, id ID) string { return kinds[k].folder + id.String() }

// splitName tells the kind and id that an object's name stands for; heads carry their number too.
func splitName(name string) (k kind, seq uint64, id ID, err error) {
	for k, info := range kinds {
		rest, ok := strings.CutPrefix(name, info.folder)
		if !ok {
			continue
		}
		if k == kindHead {
			return splitHeadName(name, rest)
		}
		id, err = parseID(rest)
		return k, 0, id, err
	}
	return 0, 0, id, fmt.Errorf("backup: %.80q is no object's name", name)
}

func newID() (id ID) {
	rand.Read(id[:])
	return id
}

// padme is the length that PADMÉ pads n to (Nikitin et al., PETS 2019, algorithm 1), at least minPlaintext.
func padme(n int64) int64 {
	if n <= minPlaintext {
		return minPlaintext
	}
	mask := padStep(n) - 1
	return (n + mask) &^ mask
}

// padStep is what padded lengths about n are multiples of.
func padStep(n int64) int64 {
	e := bits.Len64(uint64(n)) - 1
	return 1 << (e - bits.Len64(uint64(e)))
}

// padPayload frames and pads the payload of a small object, spec §2.
func padPayload(payload []byte) []byte {
	out := make([]byte, padme(8+int64(len(payload))))
	binary.BigEndian.PutUint64(out, uint64(len(payload)))
	copy(out[8:], payload)
	return out
}

func unpadPayload(name string, plaintext []byte) ([]byte, error) {
	if len(plaintext) < 8 {
		return nil, damage(name, "payload", "too short")
	}
	n := binary.BigEndian.Uint64(plaintext)
	if n > uint64(len(plaintext)-8) || padme(8+int64(n)) != int64(len(plaintext)) || !allZero(plaintext[8+n:]) {
		return nil, damage(name, "payload", "bad length or padding")
	}
	return plaintext[8 : 8+n], nil
}

// zeroes is what allZero compares with, a page at a time: bytes.Equal runs at memory speed.
var zeroes [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeroes) {
		if !bytes.Equal(b[:len(zeroes)], zeroes[:]) {
			return false
		}
		b = b[len(zeroes):]
	}
	return bytes.Equal(b, zeroes[:len(b)])
}

// sealSmall makes a whole object of a payload.
func sealSmall(h header, key *[32]byte, payload []byte) []byte {
	context := h.bytes()
	padded := padPayload(payload)
	defer clear(padded)
	return slices.Concat(context, cobblestone.Seal(key, context, padded))
}

// openSmall checks and opens a whole object, already held to belong under name.
func openSmall(name string, key *[32]byte, object []byte) ([]byte, error) {
	if len(object) < minObjectSize {
		return nil, damage(name, "header", "only %d bytes", len(object))
	}
	plaintext, err := cobblestone.Open(key, object[:headerSize], object[headerSize:])
	if err != nil {
		return nil, sealDamage(name, err)
	}
	return unpadPayload(name, plaintext)
}

// sealDamage names the layer that refused.
func sealDamage(name string, err error) error {
	if errors.Is(err, cobblestone.ErrCommitment) {
		return damage(name, "commitment", "header, salt or key commitment was changed")
	}
	return damage(name, "segment", "contents were changed or cut: %v", err)
}
