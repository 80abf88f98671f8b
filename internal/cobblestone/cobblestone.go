// Package cobblestone seals and opens messages in the format of
// c2sp.org/chunked-encryption, instance Cobblestone-256: chunks of 16 KiB under
// AES-256-GCM, with a per-message key taken from a 24-byte salt by HKDF-Expand
// with SHA-512, and a 32-byte commitment to the key.
//
// A sealed message is
//
//	offset        size         field
//	0             24           salt, random, never twice under one key
//	24            32           commitment to key, salt and context
//	56 + k*16400  up to 16400  chunk k: its ciphertext, then a 16-byte tag
//
// Every chunk holds 16384 bytes of plaintext except the last, which always holds
// fewer, perhaps none. That is how the end of a message is authenticated: a
// message cut at a chunk boundary ends in a full chunk, and is refused. A chunk's
// nonce is the message's base nonce XOR its number, so a chunk opens at its own
// place in its own message and nowhere else; any run of chunks can be fetched and
// opened alone.
//
// The context binds a message to its use. It is not stored: whoever opens must
// supply the same bytes as whoever sealed, or gets [ErrCommitment].
//
// Keys must be uniformly random. What this package derives from them lives inside
// the standard library's AES and HKDF state, which cannot be wiped; no copy of the
// input key is kept once a constructor has returned.
//
// The standard library's FIPS mode (GODEBUG=fips140=only) refuses AES-GCM with
// nonces it did not choose itself, so this package panics under it.
package cobblestone

import "errors"

// Sizes in bytes, c2sp.org/chunked-encryption "Key derivation" and "Message chunking".
const (
	KeySize    = 32    // input key, and AES-256 key
	SaltSize   = 24    // first field of the header
	HeaderSize = 56    // salt and commitment
	ChunkSize  = 16384 // plaintext of every chunk but the last
	TagSize    = 16    // added to every chunk

	// MaxPlaintext is the longest message: 2³⁸ chunks, the last one short.
	MaxPlaintext = maxChunks*ChunkSize - 1
)

const (
	commitmentSize = 32
	nonceSize      = 12
	sealedChunk    = ChunkSize + TagSize
	maxChunks      = 1 << 38
	// batchChunks is how many chunks the reader of NewReader holds at once: 256 KiB,
	// few calls for a large message, and small enough that what was opened is still
	// in a core's second-level cache when it is copied out.
	batchChunks = 16
	batchSealed = batchChunks * sealedChunk
)

// The ways in which a message is refused. None of them tells more than where the
// fault lies, and no plaintext comes with them.
var (
	// ErrCommitment says that the key, the context or the 56 bytes of the header
	// are not those the message was sealed with; which one cannot be known.
	ErrCommitment = errors.New("cobblestone: wrong key or damaged header")
	// ErrChunk is what every [ChunkError] unwraps to.
	ErrChunk = errors.New("cobblestone: damaged chunk")
	// ErrTruncated says that a message stops at a chunk boundary, before its
	// final short chunk.
	ErrTruncated = errors.New("cobblestone: message ends before its final chunk")
	// ErrLength says that no message, or no run of chunks at that place, has this length.
	ErrLength = errors.New("cobblestone: impossible message length")
)

// SealedSize is the length in bytes of a message that seals plaintext bytes.
// It panics outside 0..MaxPlaintext, which only a broken caller can ask for.
func SealedSize(plaintext int64) int64 {
	if plaintext < 0 || plaintext > MaxPlaintext {
		panic("cobblestone: internal error: plaintext length out of range")
	}
	return HeaderSize + plaintext + chunkCount(plaintext)*TagSize
}

// PlaintextSize is the inverse of [SealedSize]: the number of plaintext bytes in a
// message of sealed bytes, header included. The length of a message is not to be
// believed until its final chunk has been opened. The error is ErrTruncated or
// ErrLength.
func PlaintextSize(sealed int64) (int64, error) {
	if sealed < HeaderSize {
		return 0, ErrLength
	}
	return runSize(sealed-HeaderSize, 0, true)
}

// chunkCount includes the final short chunk, so it is never zero.
func chunkCount(plaintext int64) int64 { return plaintext/ChunkSize + 1 }

// runSize is the plaintext length of a run of sealed bytes that begins at chunk
// number first and, if final, ends the message.
func runSize(sealed, first int64, final bool) (int64, error) {
	full, rest := sealed/sealedChunk, sealed%sealedChunk
	switch {
	// One more than full, because a run that is not final needs room behind it
	// for the final chunk. Spec "Message chunking": at 2³⁸ chunks, abort.
	case first < 0 || first > maxChunks-(full+1):
		return 0, ErrLength
	case !final && (full == 0 || rest != 0):
		return 0, ErrLength
	case !final:
		return full * ChunkSize, nil
	case rest == 0:
		return 0, ErrTruncated
	case rest < TagSize:
		return 0, ErrLength
	}
	return full*ChunkSize + rest - TagSize, nil
}
