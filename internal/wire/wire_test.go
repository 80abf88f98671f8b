package wire_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/internal/wire"
)

// value has a field of every form.
type value struct {
	A    uint8
	B    uint16
	C    uint32
	D    uint64
	Flag bool
	Key  [4]byte
	Blob []byte
	Name string
	List []uint16
}

func (v *value) layout(w *wire.Codec) {
	w.Constant("value\x01")
	w.U8(&v.A)
	w.U16(&v.B)
	w.U32(&v.C)
	w.U64(&v.D)
	w.Flag(&v.Flag)
	w.Bytes(v.Key[:])
	w.Counted(&v.Blob, 1, 4)
	w.Text(&v.Name, 0, 5)
	wire.List(w, &v.List, 3, w.U16)
}

func (v *value) encode() []byte {
	w := wire.Append(nil)
	v.layout(w)
	return w.Written()
}

func decode(b []byte) (*value, bool) {
	v, w := new(value), wire.Read(b)
	v.layout(w)
	return v, w.Done()
}

func full() *value {
	return &value{1, 0x0203, 0x04050607, 0x08090a0b0c0d0e0f, true, [4]byte{0x10, 0x11, 0x12, 0x13}, []byte{0x14}, "name", []uint16{0x15, 0x16}}
}

func TestBytes(t *testing.T) {
	want := "value\x01\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x01\x10\x11\x12\x13\x00\x01\x14\x00\x04name\x02\x00\x15\x00\x16"
	b := full().encode()
	if string(b) != want {
		t.Errorf("written as\n%x, want\n%x", b, want)
	}
	got, ok := decode(b)
	if diff := cmp.Diff(full(), got); !ok || diff != "" {
		t.Errorf("read: %v (-want +got):\n%s", ok, diff)
	}
}

func TestRefuses(t *testing.T) {
	for name, change := range map[string]func(*value){
		"a blob of nothing": func(v *value) { v.Blob = nil },
		"a long blob":       func(v *value) { v.Blob = make([]byte, 5) },
		"a long name":       func(v *value) { v.Name = "longer" },
		"a long list":       func(v *value) { v.List = make([]uint16, 4) },
	} {
		v := full()
		change(v)
		if got, ok := decode(v.encode()); ok {
			t.Errorf("%s is read as %+v", name, got)
		}
	}
	flag := full().encode()
	flag[6+1+2+4+8] = 2
	if _, ok := decode(flag); ok {
		t.Error("a flag of 2 is read")
	}
}

// canonical checks that bytes are refused, or are the one form of what they are read as.
func canonical(t *testing.T, b []byte) {
	t.Helper()
	if v, ok := decode(b); ok && !bytes.Equal(v.encode(), b) {
		t.Errorf("%x is written as %x", b, v.encode())
	}
}

func TestMangled(t *testing.T) {
	b := full().encode()
	for n := range b {
		if v, ok := decode(b[:n]); ok {
			t.Errorf("%d of %d bytes are read as %+v", n, len(b), v)
		}
		for x := range 256 {
			m := bytes.Clone(b)
			m[n] = byte(x)
			canonical(t, m)
		}
	}
	if _, ok := decode(append(b, 0)); ok {
		t.Error("a byte more is read")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(full().encode())
	f.Fuzz(canonical)
}

// After the first field that does not fit nothing is filled in: no half-read value
// looks like one.
func TestBadForGood(t *testing.T) {
	w := wire.Read([]byte{0xff, 0xff, 1, 2, 3, 4})
	var blob []byte
	w.Counted(&blob, 0, 1<<16-1) // claims 65535 bytes
	var a uint8
	var list []uint16
	w.U8(&a)
	wire.List(w, &list, 255, w.U16)
	if blob != nil || a != 0 || list != nil || w.Done() {
		t.Errorf("read %x, %d, %v", blob, a, list)
	}
	w = wire.Read(nil)
	w.Must(false)
	if w.Done() {
		t.Error("what must not be is done")
	}
}

// A writer that was given room makes no second buffer: copies of secrets would stay
// in the first.
func TestAppendKeepsTheBuffer(t *testing.T) {
	room := make([]byte, 0, 64)
	w := wire.Append(room)
	full().layout(w)
	w.Must(false) // is about reading
	if b := w.Written(); &b[0] != &room[:1][0] || w.Reading() {
		t.Error("written to another buffer")
	}
	r := wire.Read([]byte{1, 2, 3})
	var a uint8
	r.U8(&a)
	if rest := r.Rest(); !r.Reading() || string(rest) != "\x02\x03" || !r.Done() {
		t.Errorf("the rest is %x", rest)
	}
}
