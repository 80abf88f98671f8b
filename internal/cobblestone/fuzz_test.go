package cobblestone_test

import (
	"bytes"
	"testing"

	"keepsake.example/internal/cobblestone"
)

// FuzzOpen feeds anything at all. Whatever opens must be exactly what sealing its
// plaintext under its salt gives: there is one message for each plaintext.
func FuzzOpen(f *testing.F) {
	for _, n := range []int{0, 1, 100, chunk, chunk + 1} {
		_, message := testMessage(n)
		f.Add(message, testContext)
		f.Add(message[:len(message)-1], testContext)
	}
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, message, context []byte) {
		plaintext, err := openBoth(t, testKey, context, message)
		ref, ok := referenceOpen(testKey[:], context, message)
		if ok != (err == nil) || !bytes.Equal(ref, plaintext) {
			t.Fatalf("%v, reference says %v", err, ok)
		}
		if err != nil {
			return
		}
		if again := cobblestone.TestingOnlySeal(testKey, (*[24]byte)(message), context, plaintext); !bytes.Equal(again, message) {
			t.Fatal("two messages for one plaintext and salt")
		}
	})
}

// FuzzRoundTrip seals in two pieces, cut at an arbitrary place, and changes one byte
// at an arbitrary place.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("key"), []byte("context"), []byte("plaintext"), uint16(0), uint32(3))
	f.Add([]byte{}, []byte{}, []byte{}, uint16(0), uint32(60))
	f.Add([]byte{1}, make([]byte, 200), []byte("ab"), uint16(chunk/2), uint32(40000))
	f.Fuzz(func(t *testing.T, keyBytes, context, seed []byte, repeat uint16, at uint32) {
		var key [32]byte
		copy(key[:], keyBytes)
		plaintext := bytes.Repeat(seed, 1+int(repeat))
		plaintext = plaintext[:min(len(plaintext), 40*chunk)]
		b := cobblestone.NewBuilder(&key, context, nil)
		cut := int(at) % (len(plaintext) + 1)
		b.Write(plaintext[:cut])
		b.Write(plaintext[cut:])
		message := b.Finish()
		got, err := openBoth(t, &key, context, message)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("opening what was sealed: %v", err)
		}
		place := int(at) % len(message)
		message[place] ^= 1
		if _, err := openBoth(t, &key, context, message); err == nil {
			t.Fatalf("opened with byte %d changed", place)
		}
	})
}
