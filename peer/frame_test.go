package peer_test

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"keepsake.example/peer"
)

const limit = 64

func examples() []peer.Frame {
	return []peer.Frame{
		{Kind: peer.KindHello, Lane: 1, From: 1, To: math.MaxUint64},
		{Kind: peer.KindBeat, Stamp: 1 << 40},
		{Kind: peer.KindMessage, Group: 7, Body: []byte("a message")},
		{Kind: peer.KindMessage, Body: make([]byte, limit)},
		{Kind: peer.KindRequest, Number: 3, Left: 5000, Body: []byte("a request")},
		{Kind: peer.KindAnswer, Number: 3, Body: []byte("an answer")},
		{Kind: peer.KindAnswer, Number: math.MaxUint64, Code: 1, Body: []byte{}},
	}
}

func TestFrames(t *testing.T) {
	for _, f := range examples() {
		b := f.Bytes()
		got, err := peer.ReadFrame(bytes.NewReader(append(bytes.Clone(b), 1, 2, 3)), limit)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v came back as %+v, %v", f, got, err)
		}
		for n := range b {
			if _, err := peer.ReadFrame(bytes.NewReader(b[:n]), limit); err == nil {
				t.Errorf("kind %d cut to %d of %d bytes is read", f.Kind, n, len(b))
			}
		}
		for i := range b {
			for bit := range 8 {
				mangled := bytes.Clone(b)
				mangled[i] ^= 1 << bit
				got, err := peer.ReadFrame(bytes.NewReader(mangled), limit)
				if err == nil && !bytes.HasPrefix(mangled, got.Bytes()) {
					t.Errorf("kind %d with byte %d changed is read as %+v", f.Kind, i, got)
				}
			}
		}
	}
	huge := bytes.NewReader(append([]byte{0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...))
	if _, err := peer.ReadFrame(huge, limit); err == nil || huge.Len() != 100 {
		t.Errorf("a huge frame: %v, and %d bytes are left", err, huge.Len())
	}
	long := peer.Frame{Kind: peer.KindMessage, Body: make([]byte, limit+1)}
	if _, err := peer.ReadFrame(bytes.NewReader(long.Bytes()), limit); err == nil {
		t.Error("a frame over the limit is read")
	}
}

// What is read is what its bytes say, and no more bytes are read than it has.
func FuzzReadFrame(f *testing.F) {
	for _, e := range examples() {
		f.Add(e.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		got, err := peer.ReadFrame(r, limit)
		if err != nil {
			return
		}
		if read := b[:len(b)-r.Len()]; !bytes.Equal(got.Bytes(), read) || len(got.Body) > limit {
			t.Errorf("%x is read as %+v", read, got)
		}
	})
}
