package replica

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// spec/replication.md §14.
const (
	fetchWindow = 16 // chunks that are asked for at a time, 4 MiB: at 100 ms there and back, 40 MB/s
	askAgain    = 10 // ticks without a chunk, after which what is missing is asked for again
)

// A fetch is the follower's side of catching up: it asks for the chunks of one
// picture, a few at a time, and keeps them in a spool. It holds none in memory. It has no clock.
// It outlasts a loss of the link, or of the leader; not a start of this member: the spool's key is in memory.
type fetch struct {
	from   uint64 // who offered it last
	ticket ticket
	spool  *spool
	next   uint64 // the first chunk that is missing
	have   uint64 // bit i: chunk next+i is here
	asked  uint64 // the first chunk that was never asked for
	quiet  int    // ticks since the last chunk
}

func newFetch(disk Disk, random io.Reader, from uint64, t ticket) (*fetch, error) {
	s, err := newSpool(disk, random)
	if err != nil {
		return nil, err
	}
	return &fetch{from: from, ticket: t, spool: s, quiet: askAgain - 1}, nil
}

// complete reports whether all chunks are here.
func (f *fetch) complete() bool { return f.next == f.ticket.chunks() }

// goOn reports whether what a leader offers is what is being fetched, and then goes on with it
// there. The same bytes are the same state, whoever wrote them; if what came of them before was false, the digest
// shows it.
func (f *fetch) goOn(from uint64, t ticket) bool {
	if t.size != f.ticket.size || t.digest != f.ticket.digest {
		return false
	}
	f.from, f.ticket.id = from, t.id
	return true
}

// receive takes a chunk and returns what to ask for next. A chunk that was not
// asked for, or is here already, changes nothing. After an error the fetch is over.
func (f *fetch) receive(from uint64, c *chunk) ([]chunkRequest, error) {
	if from != f.from || c.id != f.ticket.id || c.index < f.next || c.index >= f.asked || f.have&(1<<(c.index-f.next)) != 0 {
		return nil, nil
	}
	if len(c.data) != f.ticket.length(c.index) {
		return nil, fmt.Errorf("%w: %d bytes of it", errDigest, len(c.data))
	}
	if err := f.spool.put(c.index, c.data); err != nil {
		return nil, err
	}
	f.have |= 1 << (c.index - f.next)
	n := bits.TrailingZeros64(^f.have)
	f.have >>= n
	f.next += uint64(n)
	f.quiet = 0
	return f.more(), nil
}

// more asks for what the window has room for.
func (f *fetch) more() (ask []chunkRequest) {
	for f.asked < min(f.next+fetchWindow, f.ticket.chunks()) {
		ask = append(ask, chunkRequest{f.ticket.id, f.asked})
		f.asked++
	}
	return ask
}

// tick returns what to ask for, at first and when nothing came for a while, and
// whether the fetch is to be given up, because nothing came for so many ticks. When all is here it says from time to
// time that this member is at work.
func (f *fetch) tick(keep int) (ask []chunkRequest, gone bool) {
	f.quiet++
	switch {
	case f.quiet%askAgain != 0:
		return nil, false
	case f.complete():
		return []chunkRequest{{f.ticket.id, f.ticket.chunks()}}, false
	case f.quiet >= keep:
		return nil, true
	}
	for i := f.next; i < f.asked; i++ {
		if f.have&(1<<(i-f.next)) == 0 {
			ask = append(ask, chunkRequest{f.ticket.id, i})
		}
	}
	return append(ask, f.more()...), false
}

// close throws away what is here.
func (f *fetch) close() error { return f.spool.close() }

// An arrival is a picture that is here. As a Checkpoint it writes itself as this
// member's own next checkpoint, and fills a new machine by the way: so the bytes are
// read once, and no machine takes over that another start could not read.
type arrival struct {
	fetch   *fetch
	machine Machine // new; whole after WriteTo
}

// arrive goes on with a fetch that is complete. Release ends it.
func (f *fetch) arrive(m Machine) *arrival { return &arrival{fetch: f, machine: m} }

// WriteTo implements [Checkpoint]. It runs in the background; an error leaves
// everything as it was.
func (a *arrival) WriteTo(w io.Writer) (int64, error) {
	count := &countWriter{to: w}
	r := io.TeeReader(newSpoolReader(a.fetch.spool, a.fetch.ticket), count)
	if err := a.machine.Restore(r); err != nil {
		return count.n, fmt.Errorf("restoring the machine from another member's picture: %w", err)
	}
	// The end is reached by reading it: there the digest is compared.
	switch left, err := io.Copy(io.Discard, r); {
	case err != nil:
		return count.n, err
	case left > 0:
		return count.n, errors.New("replica: the machine left a part of another member's picture unread")
	}
	return count.n, nil
}

// Release implements [Checkpoint].
func (a *arrival) Release() { a.fetch.close() }

type countWriter struct {
	to io.Writer
	n  int64
}

func (w *countWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.n += int64(n)
	return n, err
}
