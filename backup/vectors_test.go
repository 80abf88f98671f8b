package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/key"
	"keepsake.example/vectors"
)

var update = flag.Bool("update", false, "write vectors/backup")

func allVectors() vectorList {
	var l vectorList
	l.rings()
	l.heads()
	l.snapshots()
	l.indexes()
	l.packs()
	l.manifests()
	return l
}

// encode makes the file of a case.
func (c *vectorCase) encode() []byte {
	v := &vectors.Vector{Body: c.object}
	add := func(name, value string) { v.Fields = append(v.Fields, vectors.Field{Name: name, Value: value}) }
	add("comment", c.comment)
	add("expect", c.expect)
	if c.layer != "" {
		add("layer", c.layer)
	}
	add("name", c.name)
	add("repository", hex.EncodeToString(vectorRepo))
	if strings.HasPrefix(c.name, "ring/") {
		add("key", hex.EncodeToString(vectorK))
	} else {
		add("data-key-1", hex.EncodeToString(vectorD1))
		add("data-key-2", hex.EncodeToString(vectorD2))
		add("id-key", hex.EncodeToString(vectorI))
	}
	if c.expect == "opens" {
		add("payload-length", fmt.Sprint(len(c.payload)))
		sum := sha256.Sum256(c.payload)
		add("payload-sha256", hex.EncodeToString(sum[:]))
	}
	if v.Body == nil {
		v.Body = []byte{}
	}
	return v.Encode()
}

// vectors/backup is what the second implementation makes.
func TestVectorsAreCurrent(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range allVectors() {
		path := "backup/" + c.file + ".txt"
		if names[path] {
			t.Errorf("%s is there twice", path)
		}
		names[path] = true
		if *update {
			must(t, os.WriteFile(filepath.Join("../vectors", path), c.encode(), 0o644))
		} else if got, err := vectors.FS.ReadFile(path); err != nil || !bytes.Equal(got, c.encode()) {
			t.Errorf("%s: differs from what the test makes (%v); see -update", path, err)
		}
	}
	all, err := vectors.All("backup")
	must(t, err)
	if !*update && len(all) != len(names) {
		t.Errorf("%d files, %d cases", len(all), len(names))
	}
}

// An opener opens the object of a vector and returns its payload.
type opener func(v *vectors.Vector) (payload []byte, refusedBy string)

// Both implementations come to the outcome that each vector states.
func TestVectors(t *testing.T) {
	all, err := vectors.All("backup")
	must(t, err)
	for name, open := range map[string]opener{"package backup": openVector, "second implementation": openIndependently} {
		outcomes := make(map[string]int)
		for _, v := range all {
			expect, layer := field(v, "expect"), field(v, "layer")
			if expect != "opens" && layer == "" {
				layer = expect
			}
			payload, refused := open(v)
			if refused != layer {
				t.Errorf("%s: %s: refused by %q, want %q (%s)", name, v.Path, refused, layer, field(v, "comment"))
			} else if sum := sha256.Sum256(payload); layer == "" && hex.EncodeToString(sum[:]) != field(v, "payload-sha256") {
				t.Errorf("%s: %s: %d bytes of payload that are not those", name, v.Path, len(payload))
			}
			outcomes[layer]++
		}
		for _, layer := range []string{"", "wrong key", "header", "version", "foreign", "swapped", "key", "commitment", "segment", "payload", "table", "chunk"} {
			if outcomes[layer] == 0 {
				t.Errorf("no vector for %q", layer)
			}
		}
	}
}

func field(v *vectors.Vector, name string) string {
	s, _ := v.Get(name)
	return s
}

func fieldBytes(v *vectors.Vector, name string) []byte {
	b, err := hex.DecodeString(field(v, name))
	if err != nil {
		panic(err)
	}
	return b
}

func openVector(v *vectors.Vector) (payload []byte, refused string) {
	var k *key.Key
	var idKey [32]byte
	var data [][32]byte
	if strings.HasPrefix(field(v, "name"), "ring/") {
		k = key.FromBytes([32]byte(fieldBytes(v, "key")))
	} else {
		idKey = [32]byte(fieldBytes(v, "id-key"))
		data = [][32]byte{[32]byte(fieldBytes(v, "data-key-1")), [32]byte(fieldBytes(v, "data-key-2"))}
	}
	payload, err := backup.OpenVector(field(v, "name"), backup.ID(fieldBytes(v, "repository")), k, idKey, data, v.Body)
	switch d := damageOf(err); {
	case d != nil:
		return nil, d.Layer
	case errors.Is(err, backup.ErrWrongKey):
		return nil, "wrong key"
	case err != nil:
		return nil, err.Error()
	}
	return payload, ""
}

func openIndependently(v *vectors.Vector) (payload []byte, refused string) {
	defer func() {
		if e, ok := recover().(indieError); ok {
			refused, _, _ = strings.Cut(string(e), ":")
		}
	}()
	name := field(v, "name")
	x := &indie{objects: map[string][]byte{name: v.Body}, repo: field(v, "repository"), chunks: make(map[string][]byte), moved: make(map[string]string)}
	if strings.HasPrefix(name, "ring/") {
		x.repo = ""
		x.openRing(key.FromBytes([32]byte(fieldBytes(v, "key"))))
		return x.payload(name, fieldBytes(v, "key")), ""
	}
	x.idKey, x.data = fieldBytes(v, "id-key"), [][]byte{fieldBytes(v, "data-key-1"), fieldBytes(v, "data-key-2")}
	folder, id, _ := strings.Cut(name, "/")
	switch folder {
	case "data", "meta":
		return x.wholePack(name, id), ""
	case "head":
		payload = x.payload(name, nil)
		f := fields(payload)
		x.readHead(&f, name)
	case "snap":
		payload = x.payload(name, nil)
		f := fields(payload)
		x.readSnapshot(&f)
	case "index":
		payload = x.payload(name, nil)
		f := fields(payload)
		for range f.uvarint() {
			x.readTable(&f)
		}
		f.end()
	default:
		payload = x.payload(name, nil)
	}
	return payload, ""
}

// wholePack reads a pack by the table at its end, and as a list of files if it holds one.
func (x *indie) wholePack(name, id string) (chunks []byte) {
	plain := x.plaintext(name, nil)
	n := int(binary.BigEndian.Uint32(plain[len(plain)-4:]))
	f := fields(plain[len(plain)-4-n : len(plain)-4])
	t := x.ownTable(&f, name, id)
	x.readPack(t)
	m := &indieManifest{x: x, out: make(map[string]string), dry: true}
	place := 0
	for _, b := range t.blocks {
		for range b.lengths {
			chunk := x.chunks[at(id, place)]
			chunks = append(chunks, chunk...)
			if strings.HasPrefix(name, "meta/") {
				m.segment(chunk)
			}
			place++
		}
	}
	m.finish()
	return slices.Clip(chunks)
}
