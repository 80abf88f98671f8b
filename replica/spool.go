package replica

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"go.etcd.io/raft/v3/raftpb"
)

// spec/replication.md §14. A picture on its way from one member to another lies in a
// spool on both sides: it is larger than what a process should hold, and comes in pieces.

const (
	ticketSize = idSize + 8 + sha256.Size
	maxPicture = 1 << 40 // bytes
)

// A ticket says which picture to fetch, and what it must be.
type ticket struct {
	id     [idSize]byte // random
	size   uint64       // bytes
	digest [sha256.Size]byte
}

// chunks is how many there are. The last one has what is left, 1 byte or more.
func (t ticket) chunks() uint64 { return (t.size + chunkSize - 1) / chunkSize }

// length is the size of a chunk.
func (t ticket) length(index uint64) int { return int(min(chunkSize, t.size-index*chunkSize)) }

func (t ticket) bytes() []byte {
	b := be.AppendUint64(append(make([]byte, 0, ticketSize), t.id[:]...), t.size)
	return append(b, t.digest[:]...)
}

// ticketOf reads the ticket that comes with a MsgSnap.
func ticketOf(s *raftpb.Snapshot) (t ticket, err error) {
	b := s.GetData()
	if len(b) != ticketSize || be.Uint64(b[idSize:]) > maxPicture {
		return t, fmt.Errorf("%w: ticket of %d bytes", errMessage, len(b))
	}
	t.size = be.Uint64(b[idSize:])
	copy(t.id[:], b)
	copy(t.digest[:], b[idSize+8:])
	return t, nil
}

// A spool is a file without a name, sealed under a key that is nowhere else and is
// thrown away with it: the disk keeps nothing of what was in it.
type spool struct {
	file File
	aead cipher.AEAD
}

func newSpool(disk Disk, random io.Reader) (*spool, error) {
	key := make([]byte, 32)
	defer clear(key)
	if err := readSalt(random, key); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	s := &spool{}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	if s.file, err = disk.Scratch(); err != nil {
		return nil, fmt.Errorf("making a file for a picture: %w", err)
	}
	return s, nil
}

func (s *spool) place(index uint64) int64 { return int64(index) * (chunkSize + tagSize) }

// put writes one chunk, whose index must not have been written before: the index
// is the nonce.
func (s *spool) put(index uint64, chunk []byte) error {
	sealed := s.aead.Seal(make([]byte, 0, len(chunk)+tagSize), counterNonce(index), chunk, nil)
	if _, err := s.file.WriteAt(sealed, s.place(index)); err != nil {
		return fmt.Errorf("writing chunk %d of a picture: %w", index, err)
	}
	return nil
}

// get reads one chunk of size bytes, in new memory.
func (s *spool) get(index uint64, size int) ([]byte, error) {
	sealed := make([]byte, size+tagSize)
	if _, err := s.file.ReadAt(sealed, s.place(index)); err != nil {
		return nil, fmt.Errorf("reading chunk %d of a picture: %w", index, err)
	}
	chunk, err := s.aead.Open(sealed[:0], counterNonce(index), sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %d of a picture, where the disk kept it", errChunk, index)
	}
	return chunk, nil
}

func (s *spool) close() error { return s.file.Close() }

// A spoolWriter fills a spool from its begin.
type spoolWriter struct {
	to      *spool
	stopped func() bool
	buf     []byte
	index   uint64
	size    uint64
	sum     hash.Hash
}

func newSpoolWriter(to *spool, stopped func() bool) *spoolWriter {
	return &spoolWriter{to: to, stopped: stopped, buf: make([]byte, 0, chunkSize), sum: sha256.New()}
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), chunkSize-len(w.buf))
		w.buf, p = append(w.buf, p[:n]...), p[n:]
		if len(w.buf) < chunkSize {
			break
		}
		if err := w.flush(); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

func (w *spoolWriter) flush() error {
	if w.stopped() {
		return errStopped
	}
	if w.size += uint64(len(w.buf)); w.size > maxPicture {
		return errors.New("replica: the picture is larger than can be sent")
	}
	w.sum.Write(w.buf)
	err := w.to.put(w.index, w.buf)
	w.index, w.buf = w.index+1, w.buf[:0]
	return err
}

// finish writes what is left, and returns what was written.
func (w *spoolWriter) finish() (size uint64, digest [sha256.Size]byte, err error) {
	if len(w.buf) > 0 {
		err = w.flush()
	}
	w.wipe()
	return w.size, [sha256.Size]byte(w.sum.Sum(nil)), err
}

func (w *spoolWriter) wipe() { clear(w.buf[:cap(w.buf)]) }

var errDigest = errors.New("the picture that came is not the one that was announced")

// A spoolReader reads a picture that is whole. It ends with errDigest instead of
// io.EOF if it is not the one of its ticket.
type spoolReader struct {
	from   *spool
	ticket ticket
	index  uint64
	left   []byte
	buf    []byte
	sum    hash.Hash
}

func newSpoolReader(from *spool, t ticket) *spoolReader {
	return &spoolReader{from: from, ticket: t, sum: sha256.New()}
}

func (r *spoolReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *spoolReader) fill() (err error) {
	clear(r.buf)
	if r.index == r.ticket.chunks() {
		if [sha256.Size]byte(r.sum.Sum(nil)) != r.ticket.digest {
			return errDigest
		}
		return io.EOF
	}
	if r.buf, err = r.from.get(r.index, r.ticket.length(r.index)); err != nil {
		return err
	}
	r.sum.Write(r.buf)
	r.left, r.index = r.buf, r.index+1
	return nil
}
