package replica

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"keepsake.example/anchor"
)

// spec/replication.md §6.2: what the chunks of a checkpoint hold.
const (
	maxFrame  = maxBody
	maxVoters = 64
)

// A base is where a machine's picture was taken. A member that joined and was given
// nothing yet has index and term 0, and no voters.
type base struct {
	member      uint64
	index, term uint64
	secret      *anchor.Key // of the group
	voters      []uint64
}

func baseSize(b base) int { return 3*8 + anchor.KeySize + 1 + 8*len(b.voters) }

func (b base) append(to []byte) []byte {
	to = be.AppendUint64(to, b.member)
	to = be.AppendUint64(to, b.index)
	to = be.AppendUint64(to, b.term)
	b.secret.Use(func(secret *[anchor.KeySize]byte) { to = append(to, secret[:]...) })
	to = append(to, byte(len(b.voters)))
	for _, v := range b.voters {
		to = be.AppendUint64(to, v)
	}
	return to
}

var errPicture = errors.New("no checkpoint")

func readBase(r io.Reader) (b base, err error) {
	var fixed [3*8 + anchor.KeySize + 1]byte
	defer clear(fixed[:])
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return b, cutShort(err)
	}
	b = base{member: be.Uint64(fixed[:]), index: be.Uint64(fixed[8:]), term: be.Uint64(fixed[16:])}
	b.secret = anchor.KeyFromBytes([anchor.KeySize]byte(fixed[24:]))
	count := int(fixed[24+anchor.KeySize])
	empty := b.index == 0
	if b.member == 0 || empty != (b.term == 0) || empty != (count == 0) || count > maxVoters {
		return b, fmt.Errorf("%w: member %d at %d of term %d among %d", errPicture, b.member, b.index, b.term, count)
	}
	ids := make([]byte, 8*count)
	if _, err := io.ReadFull(r, ids); err != nil {
		return b, cutShort(err)
	}
	for i := range count {
		b.voters = append(b.voters, be.Uint64(ids[8*i:]))
	}
	return b, nil
}

// cutShort tells a stream that ends too early from one that cannot be read now.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", errPicture)
	}
	return err
}

// writeFrame writes one part of a list; an empty one ends the list.
func writeFrame(w io.Writer, p []byte) error {
	if _, err := w.Write(be.AppendUint32(nil, uint32(len(p)))); err != nil {
		return err
	}
	_, err := w.Write(p)
	return err
}

// frameWriter writes what comes as parts.
type frameWriter struct{ to io.Writer }

func (w frameWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), maxFrame)
		if err := writeFrame(w.to, p[:n]); err != nil {
			return total - len(p), err
		}
		p = p[n:]
	}
	return total, nil
}

// writeFrames lets write write a list of parts, and ends it.
func writeFrames(to io.Writer, write io.WriterTo) error {
	// The buffer makes parts of a good size of a machine's small writes.
	b := buffers.Get().(*bufio.Writer)
	b.Reset(frameWriter{to})
	defer wipeBuffer(b)
	if _, err := write.WriteTo(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return writeFrame(to, nil)
}

var buffers = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, 64<<10) }}

// wipeBuffer overwrites what a writer's buffer still holds, and gives it back.
func wipeBuffer(b *bufio.Writer) {
	b.Reset(io.Discard)
	room := b.AvailableBuffer() // after Reset the whole of it
	clear(room[:cap(room)])
	buffers.Put(b)
}

// readFrameSize reads the length of the next part, 0 at the end of the list.
func readFrameSize(r io.Reader) (int, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, cutShort(err)
	}
	n := be.Uint32(size[:])
	if n > maxFrame {
		return 0, fmt.Errorf("%w: a part of %d bytes", errPicture, n)
	}
	return int(n), nil
}

// frameReader reads a list of parts as one stream.
type frameReader struct {
	from io.Reader
	left int // of this part
	end  bool
	err  error // of the sealed stream: more telling than what a machine makes of it
}

func (r *frameReader) Read(p []byte) (int, error) {
	if r.left == 0 && !r.end {
		n, err := readFrameSize(r.from)
		if err != nil {
			r.err = err
			return 0, err
		}
		r.left, r.end = n, n == 0
	}
	if r.end {
		return 0, io.EOF
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	if err != nil {
		r.err = cutShort(err)
		return n, r.err
	}
	return n, nil
}

// readBatches reads the entries that a checkpoint carries, one batch after another.
func readBatches(r io.Reader, each func(*batch) error) error {
	for {
		n, err := readFrameSize(r)
		if err != nil || n == 0 {
			return err
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return cutShort(err)
		}
		b, err := decodeBatch(body)
		if err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
}

// The trailer says which place in the chain the checkpoint takes: what came before
// it. It comes last, because the log goes on while the picture is written.
func appendTrailer(to []byte, prev chain) []byte {
	to = be.AppendUint64(to, prev.number+1)
	return append(to, prev.head[:]...)
}

// readTrailer reads it, and that nothing follows.
func readTrailer(r io.Reader) (prev chain, err error) {
	b, err := io.ReadAll(io.LimitReader(r, 8+headSize+1))
	if err != nil {
		return prev, cutShort(err)
	}
	if len(b) != 8+headSize || be.Uint64(b) == 0 {
		return prev, fmt.Errorf("%w: %d bytes at the end", errPicture, len(b))
	}
	return chain{be.Uint64(b) - 1, [headSize]byte(b[8:])}, nil
}
