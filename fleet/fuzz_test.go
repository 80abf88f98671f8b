package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
)

// FuzzOpen: the package and the independent reader agree on everything. The first
// argument says whether the bytes are signed before, so that the fuzzer gets
// behind the signature.
func FuzzOpen(f *testing.F) {
	for _, v := range vectorFiles(f) {
		if len(v.Body) >= ed25519.SignatureSize && len(v.Body) < 3000 {
			f.Add(true, v.Body[:len(v.Body)-ed25519.SignatureSize])
			f.Add(false, v.Body)
		}
	}
	f.Fuzz(func(t *testing.T, signed bool, data []byte) {
		if signed {
			// The bytes are changed to claim the identity that signs.
			if len(data) >= 64 {
				data = bytes.Clone(data)
				copy(data[32:64], publicOf(identity))
			}
			data = sign(identity, data)
		}
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
