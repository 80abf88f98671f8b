package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/internal/cobblestone"
)

// Every decoder takes any bytes without a panic, refuses with the right kind of error, allocates in proportion to what it is given, and
// what it accepts encodes to the same bytes: one value, one form.

// bounded fails if reading n bytes allocated far more than n.
func bounded(t *testing.T, n int, read func()) {
	t.Helper()
	if got := allocated(read); got > uint64(64*n+(64<<10)) {
		t.Errorf("%d bytes allocated for an input of %d", got, n)
	}
}

func wantMalformed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, errMalformed) {
		t.Errorf("refused with %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header{kind: kindHead, key: 7, repo: ID{1}, id: ID{2}}.bytes())
	f.Add([]byte("KEEPSAKE\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader("x", b)
		if err == nil && !bytes.Equal(h.bytes(), b[:headerSize]) {
			t.Errorf("%x is written as %x", b[:headerSize], h.bytes())
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("refused with %v", err)
		}
	})
}

func FuzzRing(f *testing.F) {
	g := newRing(time.Unix(1, 2))
	f.Add(g.marshal())
	f.Add(g.next(time.Unix(3, 4)).marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		var g ring
		var err error
		bounded(t, len(b), func() { err = g.unmarshal(b) })
		if err == nil && !bytes.Equal(g.marshal(), b) {
			t.Error("another form is accepted")
		} else if err != nil {
			wantMalformed(t, err)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add((&head{seq: 5, time: -1, ancestors: []ID{{1}}, snapshots: []ID{{2}, {3}}, indexes: []ID{{4}}}).marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		var err error
		bounded(t, len(b), func() { err = h.unmarshal(b) })
		if err == nil && !bytes.Equal(h.marshal(), b) {
			t.Error("another form is accepted")
		} else if err != nil {
			wantMalformed(t, err)
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	s := &Snapshot{Seq: 3, Time: time.Unix(5, 6), Source: "chats", Files: 1, Bytes: 300, packs: []ID{{1}, {2}}, segments: []run{{1, 0, 2}, {2, 4, 1}}}
	f.Add(s.marshal(ID{9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Snapshot
		var err error
		bounded(t, len(b), func() { err = s.unmarshal(b) })
		if err != nil {
			wantMalformed(t, err)
			return
		}
		device, err := parseID(s.Device)
		if err != nil || !bytes.Equal(s.marshal(device), b) {
			t.Error("another form is accepted")
		}
	})
}

func exampleTable() *table {
	t := &table{pack: ID{1}, kind: kindData, size: 5000}
	t.addBlock(codecRaw, classFile, 30, []ID{{5}, {6}}, []uint32{10, 20})
	t.addBlock(codecZstd, classPage, 100, []ID{{7}}, []uint32{4096})
	t.origins = []origin{{pack: ID{2}, first: 4, count: 2}, {pack: ID{3}, first: 9, count: 1}}
	return t
}

func FuzzIndex(f *testing.F) {
	var w wireWriter
	w.uvarint(2)
	exampleTable().marshal(&w)
	exampleTable().marshal(&w)
	f.Add(w.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var again wireWriter
		var n int
		var err error
		bounded(t, len(b), func() {
			err = parseIndex(b, func(tb *table, _ int) error {
				n++
				tb.marshal(&again)
				return nil
			})
		})
		if err != nil {
			wantMalformed(t, err)
		} else if whole := append(binary.AppendUvarint(nil, uint64(n)), again.b...); !bytes.Equal(whole, b) {
			t.Error("another form is accepted")
		}
	})
}

func FuzzSegment(f *testing.F) {
	seed := segmentSeed()
	f.Add(seed)
	f.Add(append(slices.Clone(seed), seed...))
	f.Fuzz(func(t *testing.T, b []byte) {
		names := newPackNames()
		enc := segmentEncoder{names: names, local: make(map[uint32]uint32)}
		var err error
		bounded(t, len(b), func() {
			err = parseSegment(b, names, func(e *entry) error {
				if !validPath(e.path) {
					t.Errorf("path %q", e.path)
				}
				enc.add(e)
				return nil
			})
		})
		if err != nil {
			wantMalformed(t, err)
		} else if !bytes.Equal(enc.bytes(), b) {
			t.Errorf("%x is written as %x", b, enc.bytes())
		}
		_, err = readManifest(names, [][]byte{b})
		if err != nil {
			wantMalformed(t, err)
		}
	})
}

// segmentSeed is a segment with one record of each type.
func segmentSeed() (segment []byte) {
	names := newPackNames()
	m := newManifestWriter(names, (&ring{}).digester(cutPurpose), func(s []byte) error { segment = slices.Clone(s); return nil })
	for _, e := range []*entry{{kind: recordDir, mode: 0o700}, {kind: recordFile, path: "a", size: 30, unit: 10, runs: []run{{names.number(ID{1}), 5, 2}, {count: 1}}},
		{kind: recordLink, path: "b", target: "a"}, {kind: recordDB, path: "c", size: 20, unit: 10, runs: []run{{names.number(ID{2}), 0, 1}, {names.number(ID{1}), 9, 1}}}} {
		m.add(e)
	}
	m.flush()
	return segment
}

// A segmentEncoder writes records as they come, without cutting.
type segmentEncoder struct {
	names *packNames
	packs []ID
	local map[uint32]uint32
	body  wireWriter
}

func (s *segmentEncoder) add(e *entry) {
	m := manifestWriter{names: s.names, packs: s.packs, local: s.local, body: s.body}
	if e.kind == recordMore {
		s.body.u8(byte(recordMore))
		m.body = s.body
		m.addRuns(e.runs)
	} else {
		m.record(e)
	}
	s.packs, s.body = m.packs, m.body
}

func (s *segmentEncoder) bytes() []byte {
	var w wireWriter
	w.ids(s.packs)
	return append(w.b, s.body.b...)
}

// An oneObject is a store with one object in it.
type oneObject struct {
	cloud.Store
	object []byte
}

func (s oneObject) Get(_ context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	if offset > int64(len(s.object)) {
		return nil, io.ErrUnexpectedEOF
	}
	rest := s.object[offset:]
	if length >= 0 {
		rest = rest[:min(length, int64(len(rest)))]
	}
	return io.NopCloser(bytes.NewReader(rest)), nil
}

// repoOf is a repository that has only keys and one object.
func repoOf(object []byte) *Repo {
	return &Repo{store: oneObject{object: object}, ring: &ring{repo: ID{1}, keys: []dataKey{{}, {secret: [32]byte{1}}}}}
}

// sealed makes an object of any plaintext.
func sealed(h header, plaintext []byte) []byte {
	context := h.bytes()
	return slices.Concat(context, cobblestone.Seal(&[32]byte{}, context, plaintext))
}

// The inputs of the next three are what an object is made of, not the object: the fuzzer spends its time on making an input that
// found something short, and cannot shorten a kilobyte of padding.

// fuzzedPack is the plaintext of a pack with these blocks. bare says that table is a whole table; else it is what follows the object's size.
func fuzzedPack(blocks, table []byte, bare bool) []byte {
	t := table
	for size := 0; ; {
		if !bare {
			w := wireWriter{}
			w.id(ID{2})
			w.u8(byte(kindData))
			w.uvarint(uint64(size))
			t = append(w.b, table...)
		}
		n := len(blocks) + len(t) + 4
		plain := slices.Concat(blocks, make([]byte, padme(int64(n))-int64(n)), t, binary.BigEndian.AppendUint32(nil, uint32(len(t))))
		got := headerSize + int(cobblestone.SealedSize(int64(len(plain))))
		if got == size || bare {
			return plain
		}
		size = got
	}
}

// Whatever a pack's authenticated contents are, reading its table and its blocks ends in an error or in chunks of the lengths it says.
func FuzzPack(f *testing.F) {
	t := &table{pack: ID{2}, kind: kindData}
	t.addBlock(codecRaw, classFile, 5, []ID{{5}}, []uint32{5})
	blocks := []byte("hello")
	raw := bytes.Repeat([]byte("a"), 90)
	_, zstd := compress(raw, nil, zstdFastest())
	_, snappy := compressFast(raw, nil)
	t.addBlock(codecZstd, classFile, len(zstd), []ID{{6}, {7}}, []uint32{20, 70})
	t.addBlock(codecSnappy, classPage, len(snappy), []ID{{8}}, []uint32{90})
	blocks = slices.Concat(blocks, zstd, snappy)
	t.origins = []origin{{pack: ID{3}, first: 4, count: 5}}
	var w wireWriter
	t.marshal(&w)
	f.Add(blocks, w.b[len(ID{})+2:], false) // behind the size, of which a zero is one byte long
	f.Add(blocks, w.b, true)
	f.Fuzz(func(t *testing.T, blocks, table []byte, bare bool) {
		if len(blocks)+len(table) > 4<<10 {
			return
		}
		object := sealed(header{kind: kindData, key: 1, repo: ID{1}, id: ID{2}}, fuzzedPack(blocks, table, bare))
		r := repoOf(object)
		tb, err := r.readPackTable(t.Context(), kindData, ID{2}, int64(len(object)))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("refused with %v", err)
			}
			return
		}
		want := make([]int, len(tb.blocks))
		for i := range want {
			want[i] = i
		}
		_, err = r.readBlocks(t.Context(), tb, want, func(b *block, raw []byte) error {
			if int64(len(raw)) != b.raw {
				t.Errorf("a block of %d bytes has %d", b.raw, len(raw))
			}
			chunkAt(tb, b, raw, b.first+b.n-1)
			return nil
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("refused with %v", err)
		}
	})
}

// The seeds of FuzzPack reach what they are to reach: all blocks of the first can be read.
func TestFuzzedPackIsWhole(t *testing.T) {
	tb := &table{pack: ID{2}, kind: kindData}
	tb.addBlock(codecRaw, classFile, 5, []ID{{5}}, []uint32{5})
	var w wireWriter
	tb.marshal(&w)
	object := sealed(header{kind: kindData, key: 1, repo: ID{1}, id: ID{2}}, fuzzedPack([]byte("hello"), w.b[len(ID{})+2:], false))
	r := repoOf(object)
	got, err := r.readPackTable(t.Context(), kindData, ID{2}, int64(len(object)))
	if err != nil || len(got.blocks) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = r.readBlocks(t.Context(), got, []int{0}, func(b *block, raw []byte) error {
		if string(raw) != "hello" {
			t.Errorf("%q", raw)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Any bytes under any object's name are damage, or the very object; nothing else comes of them.
func FuzzObject(f *testing.F) {
	names := []string{headName(3, ID{2}), "snap/" + ID{2}.String(), "index/" + ID{2}.String(), "lock/" + ID{2}.String(), "ring/" + ID{2}.String(), "data/" + ID{2}.String()}
	for i, k := range []kind{kindHead, kindSnapshot, kindIndex, kindLock, kindRing, kindData} {
		head := header{kind: k, key: 1, repo: ID{1}, id: ID{2}}.bytes()
		for _, pad := range []bool{true, false} {
			f.Add(i, head, []byte("payload"), pad, 0)
		}
		f.Add(i, head[:20], []byte{}, true, -1)
		f.Add(i, head, []byte{}, true, 1)
	}
	f.Fuzz(func(t *testing.T, i int, head, payload []byte, pad bool, grow int) {
		if len(payload) > 4<<10 {
			return
		}
		name := names[uint(i)%uint(len(names))]
		k, _, id, err := splitName(name)
		if err != nil {
			t.Fatal(err)
		}
		object := fuzzedObject(k, head, payload, pad, grow)
		r := repoOf(object)
		switch k {
		case kindRing:
			_, err = checkRing(name, object)
		case kindData:
			_, err = r.readPackTable(t.Context(), k, id, int64(len(object)))
		default:
			var payload []byte
			payload, err = r.readSmall(t.Context(), k, id, name)
			if err == nil && len(payload) > len(object) {
				t.Errorf("a payload of %d bytes out of %d", len(payload), len(object))
			}
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("refused with %v", err)
		}
	})
}

// fuzzedObject seals a payload, padded or not, behind any header, and cuts the object or adds to it.
func fuzzedObject(k kind, head, payload []byte, pad bool, grow int) []byte {
	context := append(slices.Clone(head), make([]byte, headerSize)...)[:headerSize]
	if pad {
		payload = padPayload(payload)
	}
	object := slices.Concat(context, cobblestone.Seal(&[32]byte{}, context, payload))
	if k == kindRing {
		object = append(object, ringChecksum(object)...)
	}
	if grow < 0 {
		return object[:max(0, len(object)+max(grow, -len(object)))]
	}
	return append(object, make([]byte, grow%200)...)
}

// A stubAt is an object of which only the beginning can be read.
type stubAt []byte

func (s stubAt) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, s[min(off, int64(len(s))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func FuzzInspect(f *testing.F) {
	object := sealed(header{kind: kindHead, key: 1, repo: ID{1}, id: ID{2}}, padPayload([]byte("payload")))
	f.Add(headName(3, ID{2}), []byte(object[:stubSize]), int64(len(object)))
	f.Add("retired/"+ID{2}.String(), []byte(object[:stubSize]), int64(stubSize))
	f.Add("", []byte(object[:stubSize-1]), int64(stubSize-1))
	f.Fuzz(func(t *testing.T, name string, stub []byte, size int64) {
		size = max(size, int64(min(len(stub), stubSize)))
		e, err := Inspect(name, stubAt(stub), size)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("refused with %v", err)
		}
		if err == nil && (e.Size != size || e.PlaintextSize > e.Size || strings.Contains(fmt.Sprint(e.Notes), "%!")) {
			t.Errorf("%+v", e)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(headName(3, ID{2}))
	f.Add("data/" + ID{2}.String())
	f.Fuzz(func(t *testing.T, name string) {
		k, seq, id, err := splitName(name)
		if err != nil {
			return
		}
		again := objectName(k, id)
		if k == kindHead {
			again = headName(seq, id)
		}
		if again != name {
			t.Errorf("%q is taken for %q", name, again)
		}
	})
}
