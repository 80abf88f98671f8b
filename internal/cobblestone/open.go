package cobblestone

import (
	"crypto/subtle"
	"fmt"
	"slices"
)

// ChunkError says which chunk was refused: it was changed, belongs at another place
// or to another message, or is not where the message ends. It unwraps to [ErrChunk].
type ChunkError struct {
	Number int64 // counted from zero
}

func (e *ChunkError) Error() string {
	return fmt.Sprintf("cobblestone: chunk %d is damaged or out of place", e.Number)
}

// Unwrap returns ErrChunk.
func (e *ChunkError) Unwrap() error { return ErrChunk }

// Open decrypts a whole message. The inputs are only read.
func Open(key *[KeySize]byte, context, message []byte) ([]byte, error) {
	if len(message) < HeaderSize {
		return nil, ErrLength
	}
	o, err := NewOpener(key, context, (*[HeaderSize]byte)(message))
	if err != nil {
		return nil, err
	}
	return o.Open(nil, message[HeaderSize:], 0, true)
}

// Opener decrypts the chunks of one message, in any order. It is safe for
// concurrent use.
type Opener struct {
	redacted
	cipher chunkCipher
}

// NewOpener checks the commitment, in constant time, and returns ErrCommitment if
// key or context is wrong or header was changed. It keeps none of its arguments.
func NewOpener(key *[KeySize]byte, context []byte, header *[HeaderSize]byte) (*Opener, error) {
	derived := derive(key, (*[SaltSize]byte)(header[:SaltSize]), context)
	defer func() { *derived = secrets{} }()
	if subtle.ConstantTimeCompare(derived.commitment[:], header[SaltSize:]) != 1 {
		return nil, ErrCommitment
	}
	return &Opener{cipher: derived.cipher()}, nil
}

// Open decrypts a run of whole consecutive chunks, the first of which has the
// number firstChunk, and appends the plaintext to dst. final says that the run ends
// the message: then its last chunk must be short, and otherwise none may be.
//
// The answer is all or nothing. On an error (ErrTruncated or ErrLength for a run of
// the wrong shape, a *ChunkError for the first bad chunk) it returns nil, and the
// spare capacity of dst that was written to is zeroed. dst must not share memory
// with ciphertext.
func (o *Opener) Open(dst, ciphertext []byte, firstChunk int64, final bool) ([]byte, error) {
	size, err := runSize(int64(len(ciphertext)), firstChunk, final)
	if err != nil {
		return nil, err
	}
	out := slices.Grow(dst, int(size))
	written := out[len(dst) : len(dst)+int(size)]
	var nonce [nonceSize]byte
	for k := firstChunk; len(ciphertext) > 0; k++ {
		n := min(len(ciphertext), sealedChunk)
		o.cipher.nonce(&nonce, k)
		next, err := o.cipher.aead.Open(out, nonce[:], ciphertext[:n], nil)
		if err != nil {
			clear(written)
			return nil, &ChunkError{k}
		}
		out, ciphertext = next, ciphertext[n:]
	}
	return out, nil
}
