package replica

import (
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// spec/replication.md §6.1.
const (
	checkpointMagic  = "ksp-chk\x02"
	checkpointHeader = len(checkpointMagic) + keyIDSize + saltSize
	chunkSize        = 256 << 10 // of plaintext, in every chunk but the last
	maxChunks        = 1 << 32
	firstRoom        = 8 << 10 // of a writer's buffer: many groups are small
)

// A checkpointHead begins a checkpoint.
type checkpointHead struct {
	keyID [keyIDSize]byte
	salt  [saltSize]byte
}

func (h checkpointHead) append(to []byte) []byte {
	to = append(to, checkpointMagic...)
	to = append(to, h.keyID[:]...)
	return append(to, h.salt[:]...)
}

func decodeCheckpointHead(b []byte) (h checkpointHead, err error) {
	if err := checkMagic(b, checkpointMagic); err != nil {
		return h, err
	}
	if len(b) < checkpointHeader {
		return h, errHead
	}
	b = b[len(checkpointMagic):]
	copy(h.keyID[:], b)
	copy(h.salt[:], b[keyIDSize:])
	return h, nil
}

// A chunkCipher seals or opens the chunks of one checkpoint, one after the
// other. The nonce holds the chunk's place and whether it is the last, so that chunks
// neither move nor vanish from the end; the header is authenticated with each.
type chunkCipher struct {
	aead  cipher.AEAD
	head  []byte
	index uint64
	tags  hash.Hash // over the header and every chunk's tag, for the chain
}

func newChunkCipher(e *epoch, h checkpointHead) (*chunkCipher, error) {
	aead, err := e.aead(labelCheckpoint, h.salt[:])
	if err != nil {
		return nil, err
	}
	c := &chunkCipher{aead: aead, head: h.append(nil), tags: sha256.New()}
	c.tags.Write(c.head)
	return c, nil
}

func (c *chunkCipher) nonce(last bool) []byte {
	n := make([]byte, 12)
	if last {
		n[0] = 1
	}
	be.PutUint64(n[4:], c.index)
	c.index++
	return n
}

// seal seals a chunk in its own memory.
func (c *chunkCipher) seal(chunk []byte, last bool) []byte {
	out := c.aead.Seal(chunk[:0], c.nonce(last), chunk, c.head)
	c.tags.Write(out[len(out)-tagSize:])
	return out
}

func (c *chunkCipher) open(sealed []byte, last bool) ([]byte, error) {
	if len(sealed) < tagSize {
		return nil, errChunk
	}
	c.tags.Write(sealed[len(sealed)-tagSize:])
	return c.aead.Open(sealed[:0], c.nonce(last), sealed, c.head)
}

// after returns where the chain is after a checkpoint. The tags stand for the chunks:
// under a key that sealed this one checkpoint, only this replica could have
// made others.
func (c *chunkCipher) after(prev chain) chain {
	h := sha256.New()
	io.WriteString(h, labelCheckpoint)
	h.Write(be.AppendUint64(nil, prev.number+1))
	h.Write(prev.head[:])
	h.Write(c.tags.Sum(nil))
	return prev.next([headSize]byte(h.Sum(nil)))
}

// A chunkWriter seals a stream.
type chunkWriter struct {
	to     io.Writer
	cipher *chunkCipher
	buf    []byte
}

func newChunkWriter(to io.Writer, random io.Reader, e *epoch) (*chunkWriter, error) {
	h := checkpointHead{keyID: e.id}
	if err := readSalt(random, h.salt[:]); err != nil {
		return nil, err
	}
	c, err := newChunkCipher(e, h)
	if err != nil {
		return nil, err
	}
	if _, err := to.Write(c.head); err != nil {
		return nil, err
	}
	return &chunkWriter{to: to, cipher: c, buf: make([]byte, 0, firstRoom)}, nil
}

// Write keeps a whole chunk back until more comes: only finish knows the last.
func (w *chunkWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(w.buf) == chunkSize {
			if err := w.flush(false); err != nil {
				return total - len(p), err
			}
		}
		n := min(len(p), chunkSize-len(w.buf))
		w.grow(n)
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	return total, nil
}

// grow makes room for n more bytes of the chunk and its tag. What held them before is
// cleared: append would leave plaintext behind.
func (w *chunkWriter) grow(n int) {
	need := len(w.buf) + n + tagSize
	if need <= cap(w.buf) {
		return
	}
	more := make([]byte, len(w.buf), max(need, min(4*cap(w.buf), chunkSize+tagSize)))
	copy(more, w.buf)
	clear(w.buf)
	w.buf = more
}

func (w *chunkWriter) flush(last bool) error {
	_, err := w.to.Write(w.cipher.seal(w.buf, last))
	w.buf = w.buf[:0]
	return err
}

func (w *chunkWriter) finish() error { return w.flush(true) }

// wipe overwrites what was not sealed, of a stream that was given up.
func (w *chunkWriter) wipe() { clear(w.buf) }

var errChunk = errors.New("the chunk does not open")

// A chunkReader opens a sealed stream. What it returns is authentic, and in its
// place; that the stream is whole is known at its end.
type chunkReader struct {
	from   io.ReaderAt
	size   int64 // of the file
	at     int64 // of the next chunk
	cipher *chunkCipher
	buf    []byte
	left   []byte // opened and not yet read
}

func newChunkReader(from io.ReaderAt, size int64, e *epoch, h checkpointHead) (*chunkReader, error) {
	if (size-int64(checkpointHeader))/(chunkSize+tagSize) >= maxChunks {
		return nil, fmt.Errorf("%w: %d bytes", errChunk, size)
	}
	c, err := newChunkCipher(e, h)
	if err != nil {
		return nil, err
	}
	return &chunkReader{from: from, size: size, at: int64(checkpointHeader), cipher: c, buf: make([]byte, min(chunkSize+tagSize, max(size-int64(checkpointHeader), 0)))}, nil
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// fill opens the next chunk; io.EOF after the last.
func (r *chunkReader) fill() error {
	if r.at >= r.size && r.cipher.index > 0 {
		return io.EOF
	}
	n := min(int64(len(r.buf)), r.size-r.at)
	last := r.at+n == r.size
	if _, err := r.from.ReadAt(r.buf[:max(n, 0)], r.at); err != nil && err != io.EOF {
		return err
	}
	plain, err := r.cipher.open(r.buf[:max(n, 0)], last)
	if err != nil {
		return errChunk
	}
	r.at += n
	r.left = plain
	return nil
}
