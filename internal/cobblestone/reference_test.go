package cobblestone_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"math/big"
	"math/rand/v2"
	"testing"

	"keepsake.example/internal/cobblestone"
)

// The reference: the specification written down as plainly as possible, whole
// messages only, with nothing in common with the package but the standard library.

func referenceSecrets(inputKey, salt, context []byte) (key, baseNonce, commitment []byte) {
	info := []byte("c2sp.org/chunked-encryption@v1+")
	info = append(info, "AEAD_AES_256_GCM"...)
	info = append(info, 0)
	info = append(info, salt...)
	info = append(info, context...)
	var okm, block []byte // RFC 5869 §2.3
	for i := byte(1); len(okm) < 76; i++ {
		mac := hmac.New(sha512.New, inputKey)
		mac.Write(block)
		mac.Write(info)
		mac.Write([]byte{i})
		block = mac.Sum(nil)
		okm = append(okm, block...)
	}
	return okm[:32], okm[32:44], okm[44:76]
}

func referenceAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func referenceNonce(base []byte, k int) []byte {
	sum := new(big.Int).Xor(new(big.Int).SetBytes(base), big.NewInt(int64(k)))
	return sum.FillBytes(make([]byte, 12))
}

func referenceSeal(inputKey, salt, context, plaintext []byte) []byte {
	key, base, commitment := referenceSecrets(inputKey, salt, context)
	aead := referenceAEAD(key)
	message := append(bytes.Clone(salt), commitment...)
	for k := 0; ; k++ {
		n := min(len(plaintext), 16384)
		sealed := aead.Seal(nil, referenceNonce(base, k), plaintext[:n], nil)
		message = append(message, sealed...)
		plaintext = plaintext[n:]
		if n < 16384 {
			return message
		}
	}
}

// referenceOpen returns false for anything wrong.
func referenceOpen(inputKey, context, message []byte) ([]byte, bool) {
	if len(message) < 56 {
		return nil, false
	}
	key, base, commitment := referenceSecrets(inputKey, message[:24], context)
	if !bytes.Equal(commitment, message[24:56]) {
		return nil, false
	}
	aead := referenceAEAD(key)
	message = message[56:]
	var plaintext []byte
	for k := 0; ; k++ {
		n := min(len(message), 16400)
		chunk, err := aead.Open(nil, referenceNonce(base, k), message[:n], nil)
		if err != nil {
			return nil, false
		}
		plaintext = append(plaintext, chunk...)
		message = message[n:]
		if n < 16400 {
			return plaintext, true
		}
	}
}

func TestAgreesWithReference(t *testing.T) {
	r := testRand(1)
	for range 150 {
		key, salt := (*[32]byte)(randomBytes(r, 32)), (*[24]byte)(randomBytes(r, 24))
		context := randomBytes(r, r.IntN(300)) // past the 183 bytes that fit Check's stack buffer
		plaintext := randomBytes(r, randomSize(r))
		want := referenceSeal(key[:], salt[:], context, plaintext)
		if got := cobblestone.TestingOnlySeal(key, salt, context, plaintext); !bytes.Equal(got, want) {
			t.Fatalf("Seal of %d bytes, context %d: differs from the reference", len(plaintext), len(context))
		}
		header := (*[56]byte)(want)
		if got := cobblestone.Commitment(key, salt, context); !bytes.Equal(got[:], header[24:]) {
			t.Fatalf("Commitment with context %d: differs from the reference", len(context))
		}
		if !cobblestone.Check(header, context)(key) {
			t.Fatalf("Check with context %d: refuses the right key", len(context))
		}
		mangled := mangle(r, want)
		got, err := openBoth(t, key, context, mangled)
		ref, ok := referenceOpen(key[:], context, mangled)
		if ok != (err == nil) || !bytes.Equal(got, ref) {
			t.Fatalf("opening a mangled message of %d bytes: %v, reference says %v", len(mangled), err, ok)
		}
	}
}

// mangle changes a message a little, or, one time in four, not at all.
func mangle(r *rand.Rand, message []byte) []byte {
	m := bytes.Clone(message)
	switch r.IntN(4) {
	case 0:
		m[r.IntN(len(m))] ^= 1 << r.IntN(8)
	case 1:
		m = m[:r.IntN(len(m))]
	case 2:
		m = append(m, randomBytes(r, 1+r.IntN(40))...)
	}
	return m
}

// randomSize favours the seams between chunks.
func randomSize(r *rand.Rand) int {
	if r.IntN(2) == 0 {
		return r.IntN(4 * cobblestone.ChunkSize)
	}
	return max(0, r.IntN(5)*cobblestone.ChunkSize+r.IntN(5)-2)
}
