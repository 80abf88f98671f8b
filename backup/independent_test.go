package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"keepsake.example/backup"
	"keepsake.example/key"
)

// An indie is the second implementation's view of a repository. Its methods panic with indieError at whatever the spec does not allow.
type indie struct {
	objects map[string][]byte
	repo    string
	idKey   []byte
	data    [][]byte // data key n is data[n-1]

	snapshots []string          // ids in hex, as the heads name them
	chunks    map[string][]byte // :: address → contents, of the packs read
	ids       [][]byte          // chunk ids seen
	moved     map[string]string // :: address → place

	segments, more int // of the last snapshot read
}

type indieError string

func refuse(layer, format string, args ...any) {
	panic(indieError(layer + ": " + fmt.Sprintf(format, args...)))
}

// a field reader; every method takes from the front.
type fields []byte

func (f *fields) bytes(n int) []byte {
	if n < 0 || n > len(*f) {
		refuse("payload", "%d bytes of %d", n, len(*f))
	}
	out := (*f)[:n]
	*f = (*f)[n:]
	return out
}

func (f *fields) u8() int      { return int(f.bytes(1)[0]) }
func (f *fields) u32() int     { return int(binary.BigEndian.Uint32(f.bytes(4))) }
func (f *fields) i64() int64   { return int64(binary.BigEndian.Uint64(f.bytes(8))) }
func (f *fields) id() string   { return hex.EncodeToString(f.bytes(16)) }
func (f *fields) text() string { return string(f.bytes(f.uvarint())) }

func (f *fields) uvarint() (v int) {
	for shift := 0; ; shift += 7 {
		b := f.u8()
		if shift > 0 && b == 0 || shift > 62 {
			refuse("payload", "uvarint not in its shortest form")
		}
		if v |= (b & 127) << shift; b < 128 {
			return v
		}
	}
}

func (f *fields) ids() (list []string) {
	for range f.uvarint() {
		list = append(list, f.id())
	}
	return list
}

// a run in the packs at hand.
type indieRun struct {
	pack         string // "" for zeros
	first, count int
}

func (f *fields) runs(packs []string) (list []indieRun) {
	for range f.uvarint() {
		n, r := f.uvarint(), indieRun{first: f.uvarint(), count: f.uvarint()}
		if n > len(packs) || r.first > 65535 || n > 0 && r.first+r.count > 65536 {
			refuse("payload", "a run out of bounds")
		}
		if n > 0 {
			r.pack = packs[n-1]
		}
		if k := len(list); k > 0 && list[k-1].pack == r.pack && (n == 0 || list[k-1].first+list[k-1].count == r.first) || r.count == 0 || n == 0 && r.first != 0 {
			refuse("payload", "runs not in their shortest form")
		}
		list = append(list, r)
	}
	return list
}

func (f *fields) end() {
	if len(*f) > 0 {
		refuse("payload", "%d bytes too many", len(*f))
	}
}

// indiePadded is PADMÉ by the spec's words, in floating point.
func indiePadded(l int) int {
	if l < 1024 {
		return 1024
	}
	e := int(math.Floor(math.Log2(float64(l))))
	s := int(math.Floor(math.Log2(float64(e)))) + 1
	unit := math.Pow(2, float64(e-s))
	return int(math.Ceil(float64(l)/unit) * unit)
}

var indieKinds = map[string]int{"ring": 1, "head": 2, "snap": 3, "index": 4, "data": 5, "meta": 6, "lock": 7}

// checkHeader applies spec §2 as far as the key number.
func (x *indie) checkHeader(name string, shortest int) (number int) {
	object, ok := x.objects[name]
	if !ok {
		refuse("missing", "%s", name)
	}
	folder, id, _ := strings.Cut(name, "/")
	if folder == "head" {
		_, id, _ = strings.Cut(id, "-")
	}
	switch h := object; {
	case len(h) < shortest || string(h[:8]) != "KEEPSAKE":
		refuse("header", "%s", name)
	case h[8] != 1:
		refuse("version", "%s", name)
	case h[10] != 0 || h[11] != 0 || h[9] < 1 || h[9] > 7:
		refuse("header", "%s", name)
	case x.repo != "" && hex.EncodeToString(h[16:32]) != x.repo:
		refuse("foreign", "%s", name)
	case int(h[9]) != indieKinds[folder] || hex.EncodeToString(h[32:48]) != id:
		refuse("swapped", "%s", name)
	}
	return int(binary.BigEndian.Uint32(object[12:]))
}

// plaintext opens an object; k is nil for those that a data key seals.
func (x *indie) plaintext(name string, k []byte) []byte {
	if n := x.checkHeader(name, 120); k == nil {
		if n == 0 || n > len(x.data) {
			refuse("key", "%s", name)
		}
		k = x.data[n-1]
	}
	object := x.objects[name]
	plain, err := indieOpen(k, object[:48], object[48:])
	if err != nil {
		refuse(err.Error(), "%s", name)
	}
	return plain
}

// payload is what a small object holds.
func (x *indie) payload(name string, k []byte) fields {
	plain := fields(x.plaintext(name, k))
	size := len(plain)
	n := int(plain.i64())
	payload := plain.bytes(n)
	if n > size {
		refuse("payload", "length of %s", name)
	}
	if size != indiePadded(8+n) || strings.Trim(string(plain), "\x00") != "" {
		refuse("payload", "padding of %s", name)
	}
	return payload
}

// indieRead opens a repository.
func indieRead(objects map[string][]byte, k *key.Key) *indie {
	x := &indie{objects: make(map[string][]byte), chunks: make(map[string][]byte), moved: make(map[string]string)}
	for name, object := range objects {
		x.objects[name] = object
	}
	x.openRing(k)
	var heads, indexes []string
	for _, name := range in(objects, "head") {
		if len(heads) > 0 && heads[0][:21] != name[:21] {
			heads = nil // names sort by number
		}
		heads = append(heads, name)
	}
	for _, name := range heads {
		f := x.payload(name, nil)
		snapshots, named := x.readHead(&f, name)
		for _, id := range snapshots {
			if !slices.Contains(x.snapshots, id) {
				x.snapshots = append(x.snapshots, id)
			}
		}
		for _, id := range named {
			if !slices.Contains(indexes, id) {
				indexes = append(indexes, id)
			}
		}
	}
	for _, id := range indexes {
		x.readIndex("index/" + id)
	}
	return x
}

func (x *indie) readHead(f *fields, name string) (snapshots, indexes []string) {
	if seq := f.i64(); fmt.Sprintf("head/%016x", seq) != name[:21] {
		refuse("payload", "number of %s", name)
	}
	f.bytes(8 + 16 + 4)
	if len(f.ids()) > 32 {
		refuse("payload", "ancestors")
	}
	snapshots, indexes = f.ids(), f.ids()
	f.end()
	return snapshots, indexes
}

func (x *indie) openRing(k *key.Key) {
	generation := 0
	for _, name := range in(x.objects, "ring") {
		number := x.checkHeader(name, 136)
		object := x.objects[name]
		n := len(object) - 16
		if sum := sha256.Sum256(object[:n]); !bytes.Equal(sum[:16], object[n:]) {
			refuse("header", "checksum of %s", name)
		}
		x.objects[name] = object[:n]
		k.Use(func(secret *[32]byte) {
			if _, _, commitment := indieDerive(secret[:], object[48:72], object[:48]); !bytes.Equal(commitment, object[72:104]) {
				return
			}
			f := x.payload(name, secret[:])
			g := f.u32()
			if g != number {
				refuse("payload", "generation of %s", name)
			}
			if g >= generation { // rings come in the order of their ids
				generation, x.repo = g, hex.EncodeToString(object[16:32])
				f.i64()
				x.idKey, x.data = f.bytes(32), nil
				for i := range f.uvarint() {
					if f.u32() != i+1 {
						refuse("payload", "data keys out of order")
					}
					f.i64()
					x.data = append(x.data, f.bytes(32))
				}
				if f.end(); len(x.data) == 0 {
					refuse("payload", "no data keys")
				}
			}
		})
	}
	if generation == 0 {
		refuse("wrong key", "")
	}
}

func at(pack string, n int) string { return fmt.Sprint(pack, " ", n) }

// readIndex reads the packs that an index names, wholly.
func (x *indie) readIndex(name string) {
	f := x.payload(name, nil)
	for range f.uvarint() {
		before := f
		t := x.readTable(&f)
		if own := x.readPack(t); !bytes.Equal(own, before[:len(before)-len(f)]) {
			refuse("table", "the index and %s differ", t.name)
		}
	}
	f.end()
}

type indieTable struct {
	pack, name string
	size       int
	blocks     []indieBlock
	origins    []indieRun
}

type indieBlock struct {
	codec, stored int
	lengths       []int
	ids           [][]byte
}

func (x *indie) readTable(f *fields) *indieTable {
	t := &indieTable{pack: f.id()}
	t.name = map[int]string{5: "data/", 6: "meta/"}[f.u8()] + t.pack
	t.size = f.uvarint()
	chunks := 0
	for range f.uvarint() {
		b := indieBlock{codec: f.u8()}
		if class := f.u8(); class > 2 || b.codec > 2 || t.name == t.pack {
			refuse("payload", "a table of what there is not")
		}
		b.stored = f.uvarint()
		n, raw := f.uvarint(), 0
		for range n {
			b.lengths = append(b.lengths, f.uvarint())
			if raw += b.lengths[len(b.lengths)-1]; b.lengths[len(b.lengths)-1] == 0 {
				refuse("payload", "a chunk of nothing")
			}
		}
		if chunks += n; n == 0 || b.codec == 0 && raw != b.stored || b.codec > 0 && raw <= b.stored || raw > 1<<20 {
			refuse("payload", "a block of %d bytes for %d", b.stored, raw)
		}
		for range n {
			b.ids = append(b.ids, f.bytes(16))
		}
		t.blocks = append(t.blocks, b)
	}
	for range f.uvarint() {
		t.origins = append(t.origins, indieRun{f.id(), f.uvarint(), f.uvarint()})
	}
	moved := 0
	for _, o := range t.origins {
		moved += o.count
	}
	if chunks == 0 || moved > 0 && moved != chunks {
		refuse("payload", "origins for %d of %d chunks", moved, chunks)
	}
	return t
}

// ownTable reads the table that a pack ends with.
func (x *indie) ownTable(f *fields, name, id string) *indieTable {
	defer func() {
		if e := recover(); e != nil {
			refuse("table", "%v", e)
		}
	}()
	t := x.readTable(f)
	if f.end(); t.name != name || t.pack != id || t.size != len(x.objects[name]) {
		refuse("table", "of another pack than %s", name)
	}
	return t
}

// readPack reads a pack's chunks under their addresses and returns the table it ends with.
func (x *indie) readPack(t *indieTable) []byte {
	plain := x.plaintext(t.name, nil)
	if len(x.objects[t.name]) != t.size {
		refuse("size", "%s", t.name)
	}
	rest, n := fields(plain), 0
	for _, b := range t.blocks {
		raw, length := rest.bytes(b.stored), 0
		for _, l := range b.lengths {
			length += l
		}
		if b.codec == 1 {
			d, err := zstd.NewReader(nil)
			if err == nil {
				raw, err = d.DecodeAll(raw, nil)
				d.Close()
			}
			if err != nil {
				refuse("chunk", "%s: %v", t.name, err)
			}
		}
		if b.codec == 2 {
			raw = indieSnappy(raw)
		}
		if len(raw) != length {
			refuse("chunk", "%s: a block of %d bytes has %d", t.name, length, len(raw))
		}
		for i, length := range b.lengths {
			chunk := raw[:length]
			raw = raw[length:]
			if !bytes.Equal(indieDigest(x.idKey, "keepsake/v1 chunk id", chunk), b.ids[i]) {
				refuse("chunk", "%d of %s is not what its id says", n, t.name)
			}
			x.chunks[at(t.pack, n)] = chunk
			x.ids = append(x.ids, b.ids[i])
			n++
		}
	}
	place := 0
	for _, o := range t.origins {
		for i := range o.count {
			x.moved[at(o.pack, o.first+i)] = at(t.pack, place)
			place++
		}
	}
	own := int(binary.BigEndian.Uint32(plain[len(plain)-4:]))
	padding := len(rest) - 4 - own
	if len(plain) != indiePadded(len(plain)-padding) {
		refuse("table", "%s has another size than its table needs", t.name)
	}
	if strings.Trim(string(rest[:padding]), "\x00") != "" {
		refuse("payload", "padding of %s", t.name)
	}
	return rest[padding : padding+own]
}

// chunk finds a chunk by its address.
func (x *indie) chunk(address string) []byte {
	if c, ok := x.chunks[address]; ok {
		return c
	}
	c, ok := x.chunks[x.moved[address]]
	if !ok {
		refuse("missing", "chunk %s", address)
	}
	return c
}

// readsIndependently holds what the second implementation reads to what was backed up.
func (p *phone) readsIndependently(trees map[string]map[string]string) (x *indie) {
	p.t.Helper()
	defer func() {
		if e, ok := recover().(indieError); ok {
			p.t.Fatal("the second implementation refuses: " + string(e))
		}
	}()
	x = indieRead(p.contents(), p.key)
	if len(x.snapshots) != len(trees) {
		p.t.Errorf("%d snapshots, want %d", len(x.snapshots), len(trees))
	}
	for _, id := range x.snapshots {
		same(p.t, trees[id], x.files(id))
	}
	return x
}

// The second implementation reads a repository with everything in it: odd names, a database, holes, copies, changed twice, pruned with copying,
// pruned again, rotated twice; and neither chunk ids nor keys lie in the cloud.
func TestIndependentDecoder(t *testing.T) {
	p := newPhone(t)
	trees := make(map[string]map[string]string)
	snapshot := func() {
		t.Helper()
		trees[p.backup(backup.BackupOptions{}).Snapshot.ID] = tree(t, p.chats)
	}
	prune := func(last int) {
		t.Helper()
		res := p.prune(backup.PruneOptions{Keep: backup.Policy{Last: last}, MaxUnused: 0.01})
		if res.Repacked == 0 {
			t.Error("nothing was repacked")
		}
		for _, s := range res.Removed {
			delete(trees, s.ID)
		}
		p.readsIndependently(trees)
	}
	p.history()
	snapshot()
	p.nextDay(1)
	must(t, os.Remove(filepath.Join(p.chats, "Notes/text.txt")))
	snapshot()
	p.nextDay(2)
	must(t, os.Remove(filepath.Join(p.chats, "Media/Images/IMG-01.jpg")))
	snapshot()
	prune(2)
	p.rotate()
	p.nextDay(3)
	must(t, os.Remove(filepath.Join(p.chats, "Media/Images/IMG-02.jpg")))
	snapshot()
	prune(1)
	p.rotate()
	x := p.readsIndependently(trees)
	if len(x.data) != 3 || len(x.moved) == 0 {
		t.Errorf("%d data keys, %d moved chunks", len(x.data), len(x.moved))
	}
	for name, object := range p.contents() {
		for i, secret := range slices.Concat(x.ids, x.data, [][]byte{x.idKey}) {
			if bytes.Contains(object, secret) {
				t.Errorf("%s holds secret %d", name, i)
			}
		}
	}
}

// Lists of files of many segments, and a file of more runs than one record takes.
func TestIndependentDecoderOfLongLists(t *testing.T) {
	p := newPhone(t)
	for i := range 1000 {
		p.write(fmt.Sprintf("folder %d/a file with a rather long name, number %d", i/40, i), fmt.Append(nil, i))
	}
	p.sql("db", "PRAGMA page_size=512", "CREATE TABLE m(id INTEGER PRIMARY KEY, t BLOB)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<8600) INSERT INTO m SELECT i, randomblob(400) FROM n")
	trees := map[string]map[string]string{p.backup(backup.BackupOptions{}).Snapshot.ID: tree(t, p.chats)}
	p.sql("db", "UPDATE m SET t=randomblob(400) WHERE id%2=0")
	trees[p.backup(backup.BackupOptions{}).Snapshot.ID] = tree(t, p.chats)
	if x := p.readsIndependently(trees); x.segments < 2 || x.more == 0 {
		t.Errorf("%d segments, %d records continued: not what this test is for", x.segments, x.more)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
}
