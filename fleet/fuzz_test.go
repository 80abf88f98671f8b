package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// Bundles are fuzzed in a short form, in which each channel key is one byte that
// says which of ten it is: the fuzzer would lose itself in 1216 bytes of it.
const (
	front = 16 + 8 + 8 + 32 // before the number of keys
	entry = 8 + 8 + 1
)

// lengthen puts the keys in, and the identity that will have signed.
func lengthen(short []byte, keys [][]byte) []byte {
	if len(short) <= front {
		return short
	}
	long, rest := append(append([]byte{}, short[:32]...), publicOf(identity)...), short[front+1:]
	long = append(long, short[front])
	for range short[front] {
		if len(rest) < entry {
			break
		}
		long = append(append(long, rest[:16]...), keys[int(rest[16])%len(keys)]...)
		rest = rest[entry:]
	}
	return append(long, rest...)
}

// shorten takes keys and signature out of a vector.
func shorten(data []byte) []byte {
	if len(data) <= front+ed25519.SignatureSize {
		return data
	}
	rest := data[front+1 : len(data)-ed25519.SignatureSize]
	short := append([]byte{}, data[:front+1]...)
	for i := range data[front] {
		if len(rest) < 16+sealed.PublicKeySize {
			break
		}
		short = append(append(short, rest[:16]...), i)
		rest = rest[16+sealed.PublicKeySize:]
	}
	return append(short, rest...)
}

// FuzzOpen: the package and the independent reader agree on everything, signed and
// not, and what is accepted is signed to the same bytes.
func FuzzOpen(f *testing.F) {
	for _, v := range vectorFiles(f) {
		if len(v.Body) < 1<<14 {
			f.Add(shorten(v.Body))
		}
	}
	var keys [][]byte
	for i := range 9 {
		enc := channelKey(byte(i)).Bytes()
		keys = append(keys, enc[:])
	}
	keys = append(keys, bytes.Repeat([]byte{0xff}, sealed.PublicKeySize)) // not reduced
	f.Fuzz(func(t *testing.T, short []byte) {
		content := lengthen(short, keys)
		open(t, content, testID)
		data := sign(identity, content)
		b, err := open(t, data, testID)
		if err != nil {
			return
		}
		if again := must(b.Sign(identity)); !bytes.Equal(again, data) {
			t.Errorf("%x is signed as %x", data, again)
		}
	})
}

// FuzzParseID: whatever is read is written as 64 digits, which are read as the same.
func FuzzParseID(f *testing.F) {
	for _, v := range vectorFiles(f) {
		if text, ok := v.Get("text"); ok {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := fleet.ParseID(text)
		if err != nil {
			if id != (sealed.FleetID{}) {
				t.Errorf("%q is refused, and read as %x", text, id)
			}
			return
		}
		if again := must(fleet.ParseID(fleet.FormatID(id))); again != id {
			t.Errorf("%x is read again as %x", id, again)
		}
	})
}
