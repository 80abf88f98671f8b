package cobblestone

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// label starts the HKDF info: the scheme's name, the AEAD's name in the IANA
// registry, and a zero byte. Spec "Key derivation".
const label = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"

// secrets is what HKDF-Expand gives for one message, in the order it gives it.
type secrets struct {
	key        [KeySize]byte
	baseNonce  [nonceSize]byte
	commitment [commitmentSize]byte
}

func derive(key *[KeySize]byte, salt *[SaltSize]byte, context []byte) *secrets {
	info := label + string(salt[:]) + string(context)
	okm, err := hkdf.Expand(sha512.New, key[:], info, KeySize+nonceSize+commitmentSize)
	if err != nil {
		panic("cobblestone: internal error: " + err.Error()) // 76 bytes is under the limit of 255*64
	}
	defer clear(okm)
	s := new(secrets)
	copy(s.key[:], okm)
	copy(s.baseNonce[:], okm[KeySize:])
	copy(s.commitment[:], okm[KeySize+nonceSize:])
	return s
}

// chunkCipher seals and opens the chunks of one message.
type chunkCipher struct {
	aead      cipher.AEAD
	baseNonce [nonceSize]byte
}

// cipher makes the message's AEAD and wipes s.
func (s *secrets) cipher() chunkCipher {
	block, err := aes.NewCipher(s.key[:])
	if err != nil {
		panic("cobblestone: internal error: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("cobblestone: internal error: " + err.Error())
	}
	c := chunkCipher{aead, s.baseNonce}
	*s = secrets{}
	return c
}

// nonce writes the nonce of chunk number into dst. Spec "AEAD usage": the number
// is a big-endian integer as wide as the nonce, so its high four bytes are zero.
func (c *chunkCipher) nonce(dst *[nonceSize]byte, number int64) {
	*dst = c.baseNonce
	low := dst[nonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(number))
}

// Commitment is the second field of the header: what key, salt and context commit
// to. To try many keys against one header use [Check], which costs a third
// (BenchmarkCommitment, BenchmarkCheckWrongKey).
func Commitment(key *[KeySize]byte, salt *[SaltSize]byte, context []byte) [32]byte {
	s := derive(key, salt, context)
	defer func() { *s = secrets{} }()
	return s.commitment
}

// Check returns a function that says whether candidate is the key of the message
// with this header and context. It is for trying hundreds of thousands of keys: a
// wrong one costs four SHA-512 compressions (about 2.4 µs at 2.5 GHz,
// BenchmarkCheckWrongKey) and no allocation. It may be called from many
// goroutines at once, keeps nothing of a candidate, and does not refer to header
// or context after Check has returned.
func Check(header *[HeaderSize]byte, context []byte) func(candidate *[KeySize]byte) bool {
	kept := *header
	kctx := slices.Clone(context)
	info := slices.Concat([]byte(label), kept[:SaltSize], kctx, []byte{1})
	return func(candidate *[KeySize]byte) bool {
		return likely(candidate, info, &kept) && matches(candidate, &kept, kctx)
	}
}

// matches compares in constant time; the commitment is public but, until it has
// been matched, the one derived from a key is not.
func matches(key *[KeySize]byte, header *[HeaderSize]byte, context []byte) bool {
	want := Commitment(key, (*[SaltSize]byte)(header[:SaltSize]), context)
	return subtle.ConstantTimeCompare(want[:], header[SaltSize:]) == 1
}

// likely computes only the first block of HKDF-Expand, whose last 20 bytes are the
// first 20 of the commitment: a wrong key passes once in 2¹⁶⁰. It decides nothing,
// it saves the second block, 5 of 9 SHA-512 compressions, for keys that are wrong;
// that it returns sooner for those tells an observer only that they were wrong.
func likely(key *[KeySize]byte, info []byte, header *[HeaderSize]byte) bool {
	first := hmacSHA512(key, info)
	part := first[KeySize+nonceSize:]
	ok := subtle.ConstantTimeCompare(part, header[SaltSize:SaltSize+len(part)]) == 1
	clear(first[:])
	return ok
}

// hmacSHA512 is HMAC (RFC 2104 §2) on the stack. crypto/hmac gives the same with
// six allocations, which hold pads of the key and are left to the collector.
func hmacSHA512(key *[KeySize]byte, message []byte) [sha512.Size]byte {
	var pad [sha512.BlockSize]byte
	var inner [3 * sha512.BlockSize]byte // room for contexts up to 183 bytes
	var outer [sha512.BlockSize + sha512.Size]byte
	copy(pad[:], key[:])
	for i := range pad {
		inner[i] = pad[i] ^ 0x36
		outer[i] = pad[i] ^ 0x5c
	}
	digest := sha512.Sum512(append(inner[:sha512.BlockSize], message...))
	copy(outer[sha512.BlockSize:], digest[:])
	sum := sha512.Sum512(outer[:])
	clear(pad[:])
	clear(inner[:])
	clear(outer[:])
	return sum
}
