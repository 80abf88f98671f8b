package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// The cases of vectors/backup, made by the second implementation alone, with fixed keys, ids and salts.

// A vectorCase is one object and what must come of it.
type vectorCase struct {
	file, comment, expect, layer string
	name                         string // of the object
	object                       []byte
	payload                      []byte // if it opens: of packs, the chunks one after the other
}

var (
	vectorK    = bytes.Repeat([]byte{0x10}, 32)
	vectorD1   = bytes.Repeat([]byte{0xd1}, 32)
	vectorD2   = bytes.Repeat([]byte{0xd2}, 32)
	vectorI    = bytes.Repeat([]byte{0x1d}, 32)
	vectorRepo = bytes.Repeat([]byte{0x4e}, 16)
	vectorID   = bytes.Repeat([]byte{0x0b}, 16)
)

// build appends the spec's fields.
type build []byte

func (b build) raw(p ...[]byte) build      { return append(b, slices.Concat(p...)...) }
func (b build) u8(v byte) build            { return append(b, v) }
func (b build) u32(v uint32) build         { return binary.BigEndian.AppendUint32(b, v) }
func (b build) u64(v uint64) build         { return binary.BigEndian.AppendUint64(b, v) }
func (b build) uv(v ...uint64) build       { return each(b, v, binary.AppendUvarint) }
func (b build) text(s string) build        { return append(b.uv(uint64(len(s))), s...) }
func (b build) ids(first ...byte) build    { return each(b.uv(uint64(len(first))), first, appendID) }
func appendID(b []byte, first byte) []byte { return append(b, bytes.Repeat([]byte{first}, 16)...) }

func each[T any](b build, list []T, add func([]byte, T) []byte) build {
	for _, v := range list {
		b = add(b, v)
	}
	return b
}

func vectorHeader(kind byte, number uint32) []byte {
	return build("KEEPSAKE").u8(1).u8(kind).u8(0).u8(0).u32(number).raw(vectorRepo, vectorID)
}

// vectorSeal makes an object; its salt comes from the name of the vector.
func vectorSeal(file string, header, plaintext []byte) []byte {
	k := vectorK
	if n := binary.BigEndian.Uint32(header[12:]); n > 0 && header[9] != 1 {
		k = [][]byte{vectorD1, vectorD2}[(n-1)%2]
	}
	salt := sha256.Sum256([]byte(file))
	return append(slices.Clone(header), indieSeal(k, salt[:24], header, plaintext)...)
}

// padded is length ‖ payload ‖ zeros.
func padded(payload []byte) []byte {
	b := build(nil).u64(uint64(len(payload))).raw(payload)
	return b.raw(make([]byte, indiePadded(len(b))-len(b)))
}

var vectorFolders = map[byte]string{1: "ring/", 2: "head/0000000000000005-", 3: "snap/", 4: "index/", 5: "data/", 6: "meta/", 7: "lock/"}

func vectorName(kind byte) string { return vectorFolders[kind] + hex.EncodeToString(vectorID) }

// small makes the object of a payload.
func small(file string, kind byte, payload []byte) []byte {
	number := uint32(2)
	if kind == 1 {
		number = 3 // its generation
	}
	return ringSum(kind, vectorSeal(file, vectorHeader(kind, number), padded(payload)))
}

// ringSum appends what a ring ends with.
func ringSum(kind byte, object []byte) []byte {
	if kind != 1 {
		return object
	}
	sum := sha256.Sum256(object)
	return append(object, sum[:16]...)
}

// A vectorList gathers cases.
type vectorList []vectorCase

func (l *vectorList) opens(file, comment string, kind byte, object, payload []byte) {
	*l = append(*l, vectorCase{file: file, comment: comment, expect: "opens", name: vectorName(kind), object: object, payload: payload})
}

func (l *vectorList) refused(layer, file, comment string, kind byte, object []byte) {
	*l = append(*l, vectorCase{file: file, comment: comment, expect: "refused", layer: layer, name: vectorName(kind), object: object})
}

// payloads adds a case for each payload that is refused.
func (l *vectorList) payloads(kind byte, bad []namedPayload) {
	for _, p := range bad {
		l.refused("payload", p.file, p.comment, kind, small(p.file, kind, p.payload))
	}
}

type namedPayload struct {
	file, comment string
	payload       []byte
}

func vectorRing(numbers ...uint32) build {
	b := build(nil).u32(3).u64(1_700_000_000_000_000_000).raw(vectorI).uv(uint64(len(numbers)))
	for i, n := range numbers {
		b = b.u32(n).u64(1_700_000_000_000_000_000 + uint64(i)).raw([][]byte{vectorD1, vectorD2}[i%2])
	}
	return b
}

func (l *vectorList) rings() {
	good := small("ring", 1, vectorRing(1, 2))
	l.opens("ring", "a key ring with two data keys", 1, good, vectorRing(1, 2))
	l.refused("header", "ring-short", "a byte less than the shortest ring", 1, good[:135])
	l.refused("header", "ring-checksum", "one bit of the checksum is another", 1, flipped(good, len(good)-1))
	l.refused("header", "ring-salt", "one bit of the salt is another: damage, and not a wrong key", 1, flipped(good, 50))
	l.refused("header", "ring-commitment", "one bit of the commitment is another: damage, and not a wrong key", 1, flipped(good, 80))
	l.refused("version", "ring-version", "version 2", 1, with(good, 8, 2))
	l.refused("swapped", "ring-as-head", "a head in a ring's place", 1, with(good, 9, 2))
	l.refused("payload", "ring-generation", "another generation in the header than in the payload", 1, ringSum(1, vectorSeal("ring-generation", vectorHeader(1, 4), padded(vectorRing(1)))))
	l.refused("segment", "ring-segment", "a changed byte of the contents, and the checksum made anew", 1, ringSum(1, flipped(good[:len(good)-16], 300)))
	*l = append(*l, vectorCase{file: "ring-other-key", comment: "a ring that another K opens", expect: "wrong key", name: vectorName(1),
		object: ringSum(1, append(vectorHeader(1, 3), indieSeal(vectorD1, make([]byte, 24), vectorHeader(1, 3), padded(vectorRing(1)))...))})
	l.payloads(1, []namedPayload{
		{"ring-no-keys", "no data key", vectorRing()},
		{"ring-order", "data keys out of order", vectorRing(2, 1)},
		{"ring-from-zero", "data keys numbered from 0", vectorRing(0, 1)},
		{"ring-trailing", "a byte more", vectorRing(1).u8(0)},
		{"ring-count", "more data keys promised than are there", build(nil).u32(3).u64(0).raw(vectorI).uv(1 << 40)},
	})
}

func vectorHead(ancestors int) build {
	b := build(nil).u64(5).u64(1_700_000_000_000_000_000).raw(vectorID).u32(3)
	return b.ids(bytes.Repeat([]byte{0xa0}, ancestors)...).ids(0x51, 0x52).ids(0x61)
}

func (l *vectorList) heads() {
	good := small("head", 2, vectorHead(2))
	l.opens("head", "a head after a fork: two ancestors, two snapshots, one index", 2, good, vectorHead(2))
	l.opens("head-key-1", "sealed under the first of two data keys", 2, vectorSeal("head-key-1", vectorHeader(2, 1), padded(vectorHead(32))), vectorHead(32))
	l.refused("header", "short", "a byte less than the shortest object", 2, good[:119])
	l.refused("header", "empty", "nothing", 2, nil)
	l.refused("header", "magic", "other first bytes", 2, with(good, 0, 'k'))
	l.refused("header", "reserved", "a reserved byte is 1", 2, with(good, 10, 1))
	l.refused("header", "no-kind", "kind 8", 2, with(good, 9, 8))
	l.refused("version", "version-0", "version 0", 2, with(good, 8, 0))
	l.refused("version", "version-2", "version 2", 2, with(good, 8, 2))
	l.refused("foreign", "foreign", "of another repository", 2, flipped(good, 16))
	l.refused("swapped", "another-kind", "a snapshot in a head's place", 2, with(good, 9, 3))
	l.refused("swapped", "another-id", "another object's id", 2, flipped(good, 47))
	l.refused("key", "key-0", "sealed under K, which seals rings only", 2, vectorSeal("key-0", vectorHeader(2, 0), padded(vectorHead(1))))
	l.refused("key", "key-3", "a data key that the ring does not have", 2, vectorSeal("key-3", vectorHeader(2, 3), padded(vectorHead(1))))
	l.refused("commitment", "key-changed", "key number 1 instead of 2", 2, with(good, 15, 1))
	l.refused("commitment", "salt", "one bit of the salt is another", 2, flipped(good, 48))
	l.refused("commitment", "commitment", "one bit of the commitment is another", 2, flipped(good, 103))
	l.refused("segment", "segment", "one bit of the contents is another", 2, flipped(good, 104))
	l.refused("segment", "tag", "one bit of the tag is another", 2, flipped(good, len(good)-1))
	l.refused("segment", "cut", "a byte less", 2, good[:len(good)-1])
	l.refused("segment", "extended", "a byte more", 2, append(slices.Clone(good), 0))
	long := padded(vectorHead(0))
	l.refused("payload", "padding", "padding that is not zero", 2, vectorSeal("padding", vectorHeader(2, 2), with(long, len(long)-1, 1)))
	l.refused("payload", "padded-short", "padded to less than PADMÉ says", 2, vectorSeal("padded-short", vectorHeader(2, 2), long[:1023]))
	l.refused("payload", "padded-long", "padded to more than PADMÉ says", 2, vectorSeal("padded-long", vectorHeader(2, 2), append(long, make([]byte, 64)...)))
	l.refused("payload", "length", "a payload longer than the plaintext", 2, vectorSeal("length", vectorHeader(2, 2), with(long, 0, 1)))
	l.payloads(2, []namedPayload{
		{"head-ancestors", "33 ancestors", vectorHead(33)},
		{"head-number", "another number than its name has", build(vectorHead(1)[:7]).u8(6).raw(vectorHead(1)[8:])},
		{"head-long-count", "a count in a longer form than needed", build(vectorHead(0)[:36]).u8(0x80).u8(0).ids().ids()},
		{"head-count", "a count beyond the payload", build(vectorHead(0)[:36]).uv(1 << 62)},
	})
}

func vectorSnapshot(packs []byte, runs ...uint64) build {
	b := build(nil).u64(5).u64(1_700_000_000_000_000_000).raw(vectorID).raw(make([]byte, 16)).text("chats").uv(7, 3, 1, 1<<31, 7, 0, 0, 0, 1<<30)
	return b.ids(packs...).uv(runs...)
}

func (l *vectorList) snapshots() {
	good := vectorSnapshot([]byte{0x71, 0x72}, 2, 1, 0, 4, 2, 9, 1)
	l.opens("snapshot", "a snapshot whose manifest has five segments in two packs", 3, small("snapshot", 3, good), good)
	l.payloads(3, []namedPayload{
		{"snapshot-zeros", "a manifest with a run of zeros", vectorSnapshot([]byte{0x71}, 1, 0, 0, 1)},
		{"snapshot-mergeable", "two runs that could be one", vectorSnapshot([]byte{0x71}, 2, 1, 0, 4, 1, 4, 1)},
		{"snapshot-no-pack", "a run in a pack that is not listed", vectorSnapshot([]byte{0x71}, 1, 2, 0, 1)},
		{"snapshot-empty-run", "a run of no segments", vectorSnapshot([]byte{0x71}, 1, 1, 0, 0)},
		{"snapshot-beyond", "a run beyond what a pack can hold", vectorSnapshot([]byte{0x71}, 1, 1, 65535, 2)},
	})
	l.opens("lock", "a lock", 7, small("lock", 7, build(nil).raw(vectorID).u64(1).text("backup")), build(nil).raw(vectorID).u64(1).text("backup"))
}
