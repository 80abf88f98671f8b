package cobblestone

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
)

// Seal encrypts plaintext under a fresh random salt and returns the whole message.
// For plaintexts of more than a few megabytes a [Sealer] needs less memory. The
// inputs are only read.
func Seal(key *[KeySize]byte, context, plaintext []byte) []byte {
	return NewSealer(key, context, plaintext).whole()
}

// Sealer is one sealed message as a stream: an [io.ReadSeeker] and [io.WriterTo]
// over the ciphertext, which it makes as it is read, 256 KiB at a time. Reading the
// same place again gives the same bytes, so an upload can be retried.
//
// The plaintext must not change while the Sealer lives. To seal two plaintexts
// under one salt is to use a GCM nonce twice: whoever saw both ciphertexts learns
// the XOR of the plaintexts and can forge chunks. A Sealer remembers the tags it
// has handed out and returns ErrChanged, for good, rather than hand out another for
// the same chunk; but it cannot undo a change between a first and a second part of
// one message, which would then open to a mixture of the two.
//
// A Sealer is not safe for concurrent use.
type Sealer struct {
	redacted
	cipher    chunkCipher
	header    [HeaderSize]byte
	plaintext []byte
	size      int64
	position  int64    // of the next byte read; may lie beyond size
	batch     []byte   // ciphertext of the batch numbered current
	current   int64    // -1 when batch holds nothing
	tags      [][]byte // by batch; nil until it was first sealed
	err       error
}

// NewSealer begins a message with a fresh random salt. It keeps plaintext, which
// the caller must not change from now on, and does not keep key or context.
func NewSealer(key *[KeySize]byte, context, plaintext []byte) *Sealer {
	var salt [SaltSize]byte
	rand.Read(salt[:]) // never fails: the runtime ends the program first
	return newSealer(key, &salt, context, plaintext)
}

func newSealer(key *[KeySize]byte, salt *[SaltSize]byte, context, plaintext []byte) *Sealer {
	s := &Sealer{plaintext: plaintext, size: SealedSize(int64(len(plaintext))), current: -1}
	derived := derive(key, salt, context)
	copy(s.header[:], salt[:])
	copy(s.header[SaltSize:], derived.commitment[:])
	s.cipher = derived.cipher()
	batches := (s.chunks() + batchChunks - 1) / batchChunks
	s.tags = make([][]byte, batches)
	return s
}

// Size is the length of the whole message in bytes, SealedSize of the plaintext's.
func (s *Sealer) Size() int64 { return s.size }

func (s *Sealer) chunks() int64 { return chunkCount(int64(len(s.plaintext))) }

func (s *Sealer) whole() []byte {
	out := append(make([]byte, 0, s.size), s.header[:]...)
	return s.sealChunks(out, 0, s.chunks())
}

// sealChunks appends the chunks numbered first up to but not including end.
func (s *Sealer) sealChunks(dst []byte, first, end int64) []byte {
	var nonce [nonceSize]byte
	for k := first; k < end; k++ {
		s.cipher.nonce(&nonce, k)
		plain := s.plaintext[k*ChunkSize:]
		plain = plain[:min(len(plain), ChunkSize)]
		dst = s.cipher.aead.Seal(dst, nonce[:], plain, nil)
	}
	return dst
}

// Read implements [io.Reader].
func (s *Sealer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	part, err := s.next()
	n := copy(p, part)
	s.position += int64(n)
	return n, err
}

// WriteTo implements [io.WriterTo]: it writes what is left of the message.
func (s *Sealer) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		part, err := s.next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(part)
		s.position += int64(n)
		total += int64(n)
		if err == nil && n < len(part) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}

// Seek implements [io.Seeker]. A position beyond the end is allowed and reads as io.EOF.
func (s *Sealer) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += s.position
	case io.SeekEnd:
		offset += s.size
	default:
		return 0, errors.New("cobblestone: invalid whence")
	}
	if offset < 0 {
		return 0, errors.New("cobblestone: seek before the start of the message")
	}
	s.position = offset
	return offset, nil
}

// next is the ciphertext from position to the end of the header or of a batch. It
// is valid until the next call.
func (s *Sealer) next() ([]byte, error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case s.position >= s.size:
		return nil, io.EOF
	case s.position < HeaderSize:
		return s.header[s.position:], nil
	}
	body := s.position - HeaderSize
	if err := s.load(body / batchSealed); err != nil {
		return nil, err
	}
	return s.batch[body%batchSealed:], nil
}

// load seals a batch, unless it is the current one. Batches begin at fixed chunks,
// so what is sealed does not depend on how it is read.
func (s *Sealer) load(number int64) error {
	if s.current == number {
		return nil
	}
	if s.batch == nil {
		s.batch = make([]byte, 0, min(batchSealed, s.size-HeaderSize))
	}
	first := number * batchChunks
	s.batch = s.sealChunks(s.batch[:0], first, min(first+batchChunks, s.chunks()))
	s.current = number
	tags := tagsOf(s.batch)
	if s.tags[number] == nil {
		s.tags[number] = tags
	}
	if !bytes.Equal(s.tags[number], tags) {
		clear(s.batch) // sealed under a nonce that is spent; must not be seen
		s.err = ErrChanged
	}
	return s.err
}

// tagsOf copies the tags of consecutive chunks. Two plaintexts under one nonce have
// the same tag with a chance of at most 2⁻¹¹⁷ (1025 blocks of 2¹²⁸).
func tagsOf(sealed []byte) []byte {
	var tags []byte
	for len(sealed) > 0 {
		n := min(len(sealed), sealedChunk)
		tags = append(tags, sealed[n-TagSize:n]...)
		sealed = sealed[n:]
	}
	return tags
}
