package cobblestone

import (
	"errors"
	"fmt"
	"io"
)

// NewReader decrypts a whole message as it arrives. It reads the header at once, so
// that a wrong key is known before the first byte is asked for and need not be kept:
// the error is ErrCommitment, ErrLength for a source shorter than a header, or wraps
// the source's own.
//
// Read returns only authenticated bytes, in batches of 256 KiB. It returns io.EOF
// only after the final chunk was authenticated and nothing follows it; a caller that
// acts on bytes before io.EOF acts on what may be a truncated message. After an error,
// every further Read returns the same error.
func NewReader(key *[KeySize]byte, context []byte, source io.Reader) (io.Reader, error) {
	var header [HeaderSize]byte
	_, err := fill(source, header[:])
	if err == io.EOF {
		return nil, ErrLength
	}
	if err != nil {
		return nil, fmt.Errorf("cobblestone: reading header: %w", err)
	}
	o, err := NewOpener(key, context, &header)
	if err != nil {
		return nil, err
	}
	return &reader{opener: o, source: source}, nil
}

type reader struct {
	redacted
	opener *Opener
	source io.Reader
	sealed []byte // one batch
	opened []byte // one batch
	unread []byte // the tail of opened that was not yet handed over
	chunk  int64  // number of the next chunk to open
	err    error
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.unread) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.err = r.next()
	}
	n := copy(p, r.unread)
	clear(r.unread[:n])
	r.unread = r.unread[n:]
	return n, nil
}

// next opens one batch. It returns io.EOF with the last.
func (r *reader) next() error {
	if r.sealed == nil {
		r.sealed = make([]byte, batchSealed)
		r.opened = make([]byte, 0, batchChunks*ChunkSize)
	}
	n, end := fill(r.source, r.sealed)
	if end != nil && end != io.EOF {
		return fmt.Errorf("cobblestone: reading chunk %d: %w", r.chunk+int64(n/sealedChunk), end)
	}
	// A full batch is of full chunks, so another must follow; if none does, the
	// next call finds an empty run that is final, and that is ErrTruncated.
	opened, err := r.opener.Open(r.opened, r.sealed[:n], r.chunk, end == io.EOF)
	if err != nil {
		return err
	}
	r.unread = opened
	r.chunk += batchChunks
	return end
}

// fill is io.ReadFull, except that the end of the source is io.EOF however much was
// read. A source may itself return io.ErrUnexpectedEOF for a broken connection,
// which must reach the caller as that and not as damage.
func fill(source io.Reader, p []byte) (int, error) {
	const patience = 100 // reads in a row that bring nothing, as in bufio
	n := 0
	for idle := 0; n < len(p); {
		m, err := source.Read(p[n:])
		if m < 0 || m > len(p)-n {
			return n, errors.New("cobblestone: source returned an impossible count")
		}
		n += m
		if n < len(p) && err != nil {
			return n, err
		}
		if idle++; m > 0 {
			idle = 0
		}
		if idle == patience {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}
