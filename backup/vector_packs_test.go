package backup_test

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A vectorPack is a pack in the making.
type vectorPack struct {
	blocks  []byte
	table   build // its blocks
	n       uint64
	origins build
	ids     []byte // of the table: 16 bytes
	kind    byte   // in the table
	sizeBy  int    // the table says so many bytes more than there are
	pad     func(zeros []byte) []byte
}

func newVectorPack(kind byte) *vectorPack {
	return &vectorPack{ids: vectorID, kind: kind, origins: build{0}, pad: func(z []byte) []byte { return z }}
}

// add appends a block that is stored as it is, of chunks with their ids.
func (p *vectorPack) add(class byte, chunks ...[]byte) *vectorPack {
	stored := slices.Concat(chunks...)
	return p.block(0, class, stored, chunks...)
}

func (p *vectorPack) block(codec, class byte, stored []byte, chunks ...[]byte) *vectorPack {
	p.blocks = append(p.blocks, stored...)
	p.table = p.table.u8(codec).u8(class).uv(uint64(len(stored)), uint64(len(chunks)))
	for _, c := range chunks {
		p.table = p.table.uv(uint64(len(c)))
	}
	for _, c := range chunks {
		p.table = p.table.raw(indieDigest(vectorI, "keepsake/v1 chunk id", c))
	}
	p.n++
	return p
}

// marshal is the table, for an object of this size.
func (p *vectorPack) marshal(size int) build {
	return build(nil).raw(p.ids).u8(p.kind).uv(uint64(size+p.sizeBy), p.n).raw(p.table, p.origins)
}

// object makes the whole object; the table's length depends on the size it states.
func (p *vectorPack) object(file string, kind byte) []byte {
	for size := 0; ; {
		t := p.marshal(size)
		l := len(p.blocks) + len(t) + 4
		plain := indiePadded(l)
		zeros := p.pad(make([]byte, plain-l))
		plaintext := build(nil).raw(p.blocks, zeros, t).u32(uint32(len(t)))
		object := vectorSeal(file, vectorHeader(kind, 2), plaintext)
		if len(object) == size {
			return object
		}
		size = len(object)
	}
}

// zstdOf is a zstd frame of n equal bytes, made by hand: one run-length block.
func zstdOf(c byte, n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x60}
	b = binary.LittleEndian.AppendUint16(b, uint16(n-256))
	head := uint32(n)<<3 | 1<<1 | 1
	return append(b, byte(head), byte(head>>8), byte(head>>16), c)
}

// snappyOf is a Snappy block that says it has length bytes, and has n equal ones: one literal, and copies from back bytes before.
func snappyOf(c byte, length, n, back int) []byte {
	b := append(binary.AppendUvarint(nil, uint64(length)), 0, c)
	for n--; n > 0; n -= 64 {
		b = append(b, byte(min(n, 64)-1)<<2|2, byte(back), byte(back>>8))
	}
	return b
}

// s2Of is snappyOf with its last four bytes copied as Snappy has no way to: in S2, offset 0 stands for the one before.
func s2Of(c byte, n int) []byte { return append(snappyOf(c, n, n-4, 1), 1, 0) }

func noise(n int, seed byte) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		out = append(out, indieDigest(vectorI, "noise", []byte{seed, i, byte(len(out) >> 8)})...)
	}
	return out[:n]
}

func (l *vectorList) packs() {
	a, b, long := noise(300, 1), noise(5, 2), noise(40_000, 3)
	tripled := bytes.Repeat([]byte("z"), 3000)
	l.opens("pack", "two chunks in one block, one in another, stored as they are", 5, newVectorPack(5).add(0, a, b).add(0, b).object("pack", 5), slices.Concat(a, b, b))
	l.opens("pack-zstd", "two chunks in a compressed block", 5, newVectorPack(5).block(1, 1, zstdOf('z', 3000), tripled[:1000], tripled[1000:]).object("pack-zstd", 5), tripled)
	l.opens("pack-snappy", "two chunks in a block compressed with Snappy", 5, newVectorPack(5).block(2, 1, snappyOf('z', 3000, 3000, 1), tripled[:1000], tripled[1000:]).object("pack-snappy", 5), tripled)
	l.opens("pack-long", "a chunk over three segments", 5, newVectorPack(5).add(0, long).object("pack-long", 5), long)
	moved := newVectorPack(5).add(0, a, b)
	moved.origins = build(nil).uv(2).raw(bytes.Repeat([]byte{0x31}, 16)).uv(7, 1).raw(bytes.Repeat([]byte{0x32}, 16)).uv(0, 1)
	l.opens("pack-moved", "a pack that prune made: its chunks are known under addresses in two others", 5, moved.object("pack-moved", 5), slices.Concat(a, b))

	whole := newVectorPack(5).add(0, long).object("pack-segments", 5)
	turned := slices.Concat(whole[:104], whole[104+16400:104+32800], whole[104:104+16400], whole[104+32800:])
	l.refused("segment", "pack-segments", "two segments in each other's place", 5, turned)
	l.refused("segment", "pack-segment", "one bit of the second segment is another", 5, flipped(whole, 104+16400+7))
	few := newVectorPack(5).add(0, a, b)
	few.origins = build(nil).uv(1).raw(vectorRepo).uv(7, 1)
	other := newVectorPack(5).add(0, a)
	other.ids = vectorRepo
	larger := newVectorPack(5).add(0, a)
	larger.sizeBy = 1
	dirty := newVectorPack(5).add(0, a)
	dirty.pad = func(z []byte) []byte { z[0] = 1; return z }
	wide := newVectorPack(5).add(0, a)
	wide.pad = func(z []byte) []byte { return append(z, make([]byte, 64)...) }
	for _, c := range []struct {
		layer, file, comment string
		pack                 *vectorPack
	}{
		{"table", "pack-codec", "a codec that there is not", newVectorPack(5).block(3, 0, a, a)},
		{"table", "pack-class", "a class that there is not", newVectorPack(5).add(3, a)},
		{"table", "pack-kind", "a table of a meta pack in a data pack", func() *vectorPack { p := newVectorPack(6).add(0, a); return p }()},
		{"table", "pack-empty", "no chunks", newVectorPack(5)},
		{"table", "pack-empty-chunk", "a chunk of no bytes", newVectorPack(5).add(0, a, nil)},
		{"table", "pack-lengths", "chunks longer than the block that is stored as it is", newVectorPack(5).block(0, 0, a[:200], a)},
		{"table", "pack-swollen", "a compressed block that is no shorter than its chunks", newVectorPack(5).block(1, 0, zstdOf('z', 300), tripled[:10])},
		{"table", "pack-origins", "origins for one of two chunks", few},
		{"table", "pack-id", "another pack's table", other},
		{"table", "pack-size", "a table of a larger object", larger},
		{"table", "pack-padded-long", "padded to more than PADMÉ says", wide},
		{"payload", "pack-padding", "padding that is not zero", dirty},
		{"chunk", "pack-chunk", "a chunk that is not what its id says", newVectorPack(5).block(0, 0, flipped(a, 9), a)},
		{"chunk", "pack-zstd-short", "a compressed block with less in it than its chunks", newVectorPack(5).block(1, 0, zstdOf('z', 2999), tripled)},
		{"chunk", "pack-zstd-long", "a compressed block with more in it than its chunks", newVectorPack(5).block(1, 0, zstdOf('z', 3001), tripled)},
		{"chunk", "pack-snappy-short", "a Snappy block that ends early", newVectorPack(5).block(2, 0, snappyOf('z', 3000, 2999, 1), tripled)},
		{"chunk", "pack-snappy-length", "a Snappy block that says another length than the table", newVectorPack(5).block(2, 0, snappyOf('z', 2999, 2999, 1), tripled)},
		{"chunk", "pack-snappy-before", "a Snappy copy from before the start", newVectorPack(5).block(2, 0, snappyOf('z', 3000, 3000, 9000), tripled)},
		{"chunk", "pack-snappy-repeat", "a Snappy block with a copy from 0 bytes before, which in S2 repeats the last one", newVectorPack(5).block(2, 0, s2Of('z', 3000), tripled)},
		{"chunk", "pack-zstd-not", "a block that is not zstd", newVectorPack(5).block(1, 0, a, tripled)},
	} {
		l.refused(c.layer, c.file, c.comment, 5, c.pack.object(c.file, 5))
	}
}

func (l *vectorList) indexes() {
	two := build(nil).uv(2).raw(newVectorPack(5).add(0, noise(300, 1)).marshal(1128), newVectorPack(6).block(1, 2, zstdOf('z', 3000), bytes.Repeat([]byte("z"), 3000)).marshal(2000))
	l.opens("index", "an index of two packs", 4, small("index", 4, two), two)
	l.opens("index-empty", "an index of no packs", 4, small("index-empty", 4, build{0}), build{0})
	l.payloads(4, []namedPayload{
		{"index-kind", "the table of a lock", build(nil).uv(1).raw(newVectorPack(7).add(0, noise(300, 1)).marshal(1128))},
		{"index-cut", "fewer tables than it says", append(build{3}, two[1:]...)},
		{"index-trailing", "a byte more", two.u8(0)},
	})
}

// Records of a manifest.
func manifest(packs []byte, records ...build) []byte {
	return build(nil).ids(packs...).raw(slices.Concat(records...))
}

func record(kind byte, path string) build { return build{kind}.text(path) }

func dirRecord(path string) build { return record(1, path).uv(0o755).u64(1_700_000_000_123_456_789) }

func fileRecord(kind byte, path string, size, unit uint64, runs ...uint64) build {
	return record(kind, path).uv(0o644).u64(1_700_000_000_123_456_789).uv(size).raw(make([]byte, 16)).uv(unit).uv(uint64(len(runs) / 3)).uv(runs...)
}

func (l *vectorList) manifests() {
	top, mib := dirRecord(""), uint64(1<<20)
	good := manifest([]byte{0x71, 0x72}, top, fileRecord(2, "a", 3*mib+1, mib, 1, 5, 1, 0, 0, 1, 2, 0, 2), dirRecord("a b"), record(3, "a b/link").u64(1).text("../a"),
		fileRecord(2, "a b/\xff", 0, mib), dirRecord("a b-"), fileRecord(4, "db", 8192, 4096, 2, 9, 2))
	l.opens("manifest", "a list of files with a record of each type but more", 6, newVectorPack(6).add(2, good).object("manifest", 6), good)
	many := fileRecord(2, "many", 4097*2*10, 10)
	many = build(many[:len(many)-1]).uv(4096)
	for i := range uint64(2048) {
		many = many.uv(1, 3*i, 2, 0, 0, 2)
	}
	many = many.u8(5).uv(1, 1, 60000, 2)
	long := manifest([]byte{0x71}, top, many)
	l.opens("manifest-more", "a file of 4,097 runs in two records", 6, newVectorPack(6).add(2, long).object("manifest-more", 6), long)
	for _, c := range []struct {
		file, comment string
		segment       []byte
	}{
		{"manifest-no-top", "the top folder is missing", manifest(nil, dirRecord("a"))},
		{"manifest-order", "paths out of order: a space comes after /", manifest(nil, top, dirRecord("a"), dirRecord("a b"), dirRecord("a/b"))},
		{"manifest-twice", "one path twice", manifest(nil, top, dirRecord("a"), dirRecord("a"))},
		{"manifest-up", "a path that leaves the folder", manifest(nil, top, dirRecord("a/../../b"))},
		{"manifest-absolute", "a path from the root", manifest(nil, top, dirRecord("/etc"))},
		{"manifest-nul", "a path with a zero byte", manifest(nil, top, dirRecord("a\x00b"))},
		{"manifest-mode", "a mode with the setuid bit", manifest(nil, top, record(1, "a").uv(0o4755).u64(1))},
		{"manifest-chunks", "more chunks than the size needs", manifest([]byte{0x71}, top, fileRecord(2, "a", mib, mib, 1, 0, 2))},
		{"manifest-unit", "a unit over 1 MiB", manifest([]byte{0x71}, top, fileRecord(2, "a", mib, mib+1, 1, 0, 1))},
		{"manifest-mergeable", "two runs that could be one", manifest([]byte{0x71}, top, fileRecord(2, "a", 2*mib, mib, 1, 0, 1, 1, 1, 1))},
		{"manifest-zeros-first", "zeros with an ordinal", manifest(nil, top, fileRecord(2, "a", mib, mib, 0, 1, 1))},
		{"manifest-pack-order", "packs not in the order of their use", manifest([]byte{0x71, 0x72}, top, fileRecord(2, "a", 2*mib, mib, 2, 0, 1, 1, 0, 1))},
		{"manifest-pack-unused", "a pack that no run uses", manifest([]byte{0x71}, top)},
		{"manifest-more-early", "runs continued in a record without need", manifest([]byte{0x71}, top, fileRecord(2, "a", 2*mib, mib, 1, 0, 1), build{5}.uv(1, 0, 0, 1))},
		{"manifest-type", "a type of record that there is not", manifest(nil, top, record(6, "a"))},
	} {
		l.refused("payload", c.file, c.comment, 6, newVectorPack(6).add(2, c.segment).object(c.file, 6))
	}
}
