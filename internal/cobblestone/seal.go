package cobblestone

import "crypto/rand"

// Seal encrypts plaintext under a fresh random salt and returns the whole message.
// The inputs are only read.
func Seal(key *[KeySize]byte, context, plaintext []byte) []byte {
	b := NewBuilder(key, context, make([]byte, 0, SealedSize(int64(len(plaintext)))))
	b.Write(plaintext)
	return b.Finish()
}

// A Builder seals one message as its plaintext arrives, in pieces of any length,
// and keeps the message whole, so that it can be sent as often as it takes. Since
// the plaintext is sealed when it comes and never read again, no chunk is sealed
// twice: to seal two plaintexts under one nonce would tell the XOR of the two and
// let chunks be forged.
//
// A Builder is not safe for concurrent use.
type Builder struct {
	redacted
	cipher  chunkCipher
	message []byte
	part    []byte // the beginning of the next chunk
	chunks  int64  // sealed
	done    bool
}

// NewBuilder begins a message with a fresh random salt and appends it to dst, which
// belongs to the Builder until Finish. With room for the whole message in dst none
// of it is moved. NewBuilder keeps neither key nor context.
func NewBuilder(key *[KeySize]byte, context, dst []byte) *Builder {
	var salt [SaltSize]byte
	rand.Read(salt[:]) // never fails: the runtime ends the program first
	return newBuilder(key, &salt, context, dst)
}

func newBuilder(key *[KeySize]byte, salt *[SaltSize]byte, context, dst []byte) *Builder {
	b := &Builder{part: make([]byte, 0, ChunkSize)}
	derived := derive(key, salt, context)
	b.message = append(append(dst, salt[:]...), derived.commitment[:]...)
	b.cipher = derived.cipher()
	return b
}

// Write adds plaintext. It takes all of p, without an error, and keeps none of it
// but what is short of a chunk.
func (b *Builder) Write(p []byte) (int, error) {
	if b.done {
		panic("cobblestone: internal error: writing to a finished message")
	}
	written := len(p)
	if len(b.part) > 0 {
		n := min(ChunkSize-len(b.part), len(p))
		b.part, p = append(b.part, p[:n]...), p[n:]
		if len(b.part) < ChunkSize {
			return written, nil
		}
		b.seal(b.part)
		b.part = b.part[:0]
	}
	for ; len(p) >= ChunkSize; p = p[ChunkSize:] {
		b.seal(p[:ChunkSize])
	}
	b.part = append(b.part, p...)
	return written, nil
}

// Finish seals the last chunk and returns dst of NewBuilder with the message behind
// it. The Builder is of no use afterwards.
func (b *Builder) Finish() []byte {
	if b.done {
		panic("cobblestone: internal error: finishing a message twice")
	}
	b.done = true
	b.seal(b.part)
	clear(b.part[:cap(b.part)])
	return b.message
}

// seal appends a chunk. Spec "Message chunking": a message has at most 2³⁸.
func (b *Builder) seal(plain []byte) {
	if b.chunks == maxChunks {
		panic("cobblestone: internal error: plaintext length out of range")
	}
	var nonce [nonceSize]byte
	b.cipher.nonce(&nonce, b.chunks)
	b.message = b.cipher.aead.Seal(b.message, nonce[:], plain, nil)
	b.chunks++
}
