package backup_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/bits"
	"testing"
)

// A second implementation of the format, written from spec/backup-format.md and what it refers to, and sharing no code with package backup:
// the encryption and digests are here, the rest in independent_test.go. It is simple and slow.

// indieDerive derives what c2sp.org/chunked-encryption needs for one message.
func indieDerive(key, salt, context []byte) (aead cipher.AEAD, nonce, commitment []byte) {
	info := "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + string(salt) + string(context)
	okm, err := hkdf.Expand(sha512.New, key, info, 32+12+32)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		panic(err)
	}
	if aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	return aead, okm[32:44], okm[44:]
}

func indieNonce(base []byte, chunk int) []byte {
	n := append([]byte(nil), base...)
	for i := 0; i < 8; i++ {
		n[11-i] ^= byte(uint64(chunk) >> (8 * i))
	}
	return n
}

// indieSeal makes salt ‖ commitment ‖ chunks.
func indieSeal(key, salt, context, plaintext []byte) []byte {
	aead, base, commitment := indieDerive(key, salt, context)
	out := append(append([]byte(nil), salt...), commitment...)
	for chunk := 0; ; chunk++ {
		n := min(16384, len(plaintext))
		out = aead.Seal(out, indieNonce(base, chunk), plaintext[:n], nil)
		plaintext = plaintext[n:]
		if n < 16384 {
			return out
		}
	}
}

func indieOpen(key, context, message []byte) ([]byte, error) {
	aead, base, commitment := indieDerive(key, message[:24], context)
	if string(commitment) != string(message[24:56]) {
		return nil, errors.New("commitment")
	}
	var out []byte
	rest := message[56:]
	for chunk := 0; ; chunk++ {
		n := min(16384+16, len(rest))
		plain, err := aead.Open(nil, indieNonce(base, chunk), rest[:n], nil)
		if err != nil {
			return nil, errors.New("segment")
		}
		out, rest = append(out, plain...), rest[n:]
		if len(plain) < 16384 {
			if len(rest) > 0 {
				return nil, errors.New("segment")
			}
			return out, nil
		}
	}
}

// BLAKE3, keyed, from its paper: one chunk of 1,024 bytes after the other, then the tree.
const (
	b3ChunkStart, b3ChunkEnd, b3Parent, b3Root, b3Keyed = 1, 2, 4, 8, 16
)

var (
	b3IV   = [8]uint32{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19}
	b3Perm = [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}
)

func b3Compress(cv [8]uint32, block [16]uint32, counter uint64, length, flags uint32) (out [16]uint32) {
	v := [16]uint32{cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], b3IV[0], b3IV[1], b3IV[2], b3IV[3], uint32(counter), uint32(counter >> 32), length, flags}
	g := func(a, b, c, d int, x, y uint32) {
		v[a] += v[b] + x
		v[d] = bits.RotateLeft32(v[d]^v[a], -16)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -12)
		v[a] += v[b] + y
		v[d] = bits.RotateLeft32(v[d]^v[a], -8)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -7)
	}
	m := block
	for round := 0; round < 7; round++ {
		g(0, 4, 8, 12, m[0], m[1])
		g(1, 5, 9, 13, m[2], m[3])
		g(2, 6, 10, 14, m[4], m[5])
		g(3, 7, 11, 15, m[6], m[7])
		g(0, 5, 10, 15, m[8], m[9])
		g(1, 6, 11, 12, m[10], m[11])
		g(2, 7, 8, 13, m[12], m[13])
		g(3, 4, 9, 14, m[14], m[15])
		var next [16]uint32
		for i := range next {
			next[i] = m[b3Perm[i]]
		}
		m = next
	}
	for i := 0; i < 8; i++ {
		out[i] = v[i] ^ v[i+8]
		out[i+8] = v[i+8] ^ cv[i]
	}
	return out
}

func b3Words(b []byte) (w [16]uint32) {
	var block [64]byte
	copy(block[:], b)
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	return w
}

// b3Node hashes a subtree of m that begins with chunk number first. root is b3Root at the top and else 0.
func b3Node(key [8]uint32, m []byte, first uint64, root uint32) [16]uint32 {
	if len(m) <= 1024 {
		cv := key
		for at := 0; ; at += 64 {
			flags := uint32(b3Keyed)
			if at == 0 {
				flags |= b3ChunkStart
			}
			n := min(64, len(m)-at)
			if at+64 >= len(m) {
				return b3Compress(cv, b3Words(m[at:at+n]), first, uint32(n), flags|b3ChunkEnd|root)
			}
			out := b3Compress(cv, b3Words(m[at:at+n]), first, 64, flags)
			copy(cv[:], out[:8])
		}
	}
	left := 1024 // the largest power of two of chunks that leaves something to the right
	for left*2 < len(m) {
		left *= 2
	}
	var block [16]uint32
	l := b3Node(key, m[:left], first, 0)
	r := b3Node(key, m[left:], first+uint64(left/1024), 0)
	copy(block[:8], l[:8])
	copy(block[8:], r[:8])
	return b3Compress(key, block, 0, 64, b3Parent|b3Keyed|root)
}

func indieBLAKE3(key, m []byte) []byte {
	var k [8]uint32
	for i := range k {
		k[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	out := b3Node(k, m, 0, b3Root)
	var b []byte
	for _, w := range out[:8] {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// indieDigest is spec §1's digest.
func indieDigest(idKey []byte, purpose string, m []byte) []byte {
	k, err := hkdf.Expand(sha256.New, idKey, purpose, 32)
	if err != nil {
		panic(err)
	}
	return indieBLAKE3(k, m)[:16]
}

// The official test vectors of BLAKE3, keyed mode: input bytes 0 … 250 repeating, key "whats the Elvish word for friend".
func TestIndependentBLAKE3(t *testing.T) {
	for n, want := range map[int]string{
		0:    "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
		1:    "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
		1023: "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
		1024: "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
		1025: "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
		2049: "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5",
	} {
		m := make([]byte, n)
		for i := range m {
			m[i] = byte(i % 251)
		}
		if got := hex.EncodeToString(indieBLAKE3([]byte("whats the Elvish word for friend"), m)); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}
