package replica

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"go.etcd.io/raft/v3/raftpb"
)

// spec/replication.md §14.
const (
	maxTransfers = 2    // members that fetch at a time
	maxSpools    = 2    // pictures kept at a time: one that is fetched, and a newer one
	patience     = 100  // ticks after which a member that asks for nothing has its place no more
	comesBack    = 6000 // for which it may go on with what it fetched: five minutes
)

// transfers is the leader's side of catching up: pictures of the machine, each
// written once to a spool, and who fetches them. It has no clock and reads from
// disk only what it is asked for.
type transfers struct {
	disk       Disk
	random     io.Reader
	background func(func())

	wanted  bool               // raft asked and there was nothing
	making  *offered           // being spooled
	offers  []*offered         // ready, oldest first
	readers map[uint64]*reader // who fetches, and who is away
}

// offered is one picture.
type offered struct {
	snapshot *raftpb.Snapshot
	ticket   ticket
	spool    *spool
	state    atomic.Int32 // of writing it
	done     chan error   // of the background's part
	idle     int          // ticks without a reader
}

// What of a picture is done. Who makes the last of these steps closes the spool.
const (
	spooling int32 = iota
	spooled
	unwanted
)

// reader is a member that fetches. Who asked for nothing for a while is away: its place is free, and raft looks
// where it is; but what it fetched is there still.
type reader struct {
	from *offered
	idle int // ticks since it asked
}

func (r *reader) away() bool { return r.idle >= patience }

// free says whether a member may fetch.
func (t *transfers) free(to uint64) bool {
	others := 0
	for member, r := range t.readers {
		if member != to && !r.away() {
			others++
		}
	}
	return others < maxTransfers
}

func newTransfers(disk Disk, random io.Reader, background func(func())) *transfers {
	return &transfers{disk: disk, random: random, background: background, readers: make(map[uint64]*reader)}
}

// offer returns what raft sends to a member that is behind the log: a picture
// taken at index first or later, after which the log goes on. If there is none, wants
// says so from now on.
func (t *transfers) offer(first uint64) (*raftpb.Snapshot, bool) {
	t.outdated(first)
	if n := len(t.offers); n > 0 && t.offers[n-1].index() >= first {
		return t.offers[n-1].snapshot, t.free(0)
	}
	t.wanted = true
	return nil, false
}

func (o *offered) index() uint64 { return o.snapshot.GetMetadata().GetIndex() }

// outdated throws away what helps nobody who comes back: after it the log does not go on, and a newer picture
// needs the place.
func (t *transfers) outdated(first uint64) {
	for _, o := range slices.Clone(t.offers) {
		if o.index() < first && !t.read(o) {
			t.discard(o)
		}
	}
}

// read says whether somebody fetches a picture now.
func (t *transfers) read(o *offered) bool {
	for _, r := range t.readers {
		if r.from == o && !r.away() {
			return true
		}
	}
	return false
}

// wants says that a picture should be taken, and begin called.
func (t *transfers) wants() bool { return t.wanted && t.making == nil && len(t.offers) < maxSpools }

// begin writes a picture that was taken at index, an entry of that term, to a spool
// in the background. The picture is released when that is done, whatever comes of it.
func (t *transfers) begin(index, term uint64, voters, learners []uint64, picture Checkpoint) error {
	o := &offered{done: make(chan error, 1)}
	o.snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(index), Term: new(term), ConfState: &raftpb.ConfState{Voters: voters, Learners: learners},
	}}
	t.wanted = false
	err := readSalt(t.random, o.ticket.id[:])
	if err == nil {
		o.spool, err = newSpool(t.disk, t.random)
	}
	if err != nil {
		picture.Release()
		return err
	}
	t.making = o
	t.background(func() { o.done <- o.write(picture) })
	return nil
}

// write runs in the background.
func (o *offered) write(picture Checkpoint) (err error) {
	defer picture.Release()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("replica: internal error: %v", p)
		}
		if err != nil {
			err = errors.Join(err, o.spool.close())
		}
	}()
	w := newSpoolWriter(o.spool, func() bool { return o.state.Load() == unwanted })
	defer w.wipe()
	if _, err = picture.WriteTo(w); err != nil {
		return err
	}
	if o.ticket.size, o.ticket.digest, err = w.finish(); err == nil && !o.state.CompareAndSwap(spooling, spooled) {
		err = errStopped
	}
	return err
}

// poll looks whether a spool is done. An error says why there is none: raft will
// ask again.
func (t *transfers) poll() error {
	if t.making == nil {
		return nil
	}
	select {
	case err := <-t.making.done:
		o := t.making
		t.making = nil
		if err != nil {
			return fmt.Errorf("spooling a picture for another member: %w", err)
		}
		o.snapshot.Data = o.ticket.bytes()
		t.offers = append(t.offers, o)
	default:
	}
	return nil
}

// start says whether a MsgSnap may leave: a place to fetch is free, and what it
// offers is still there.
func (t *transfers) start(to uint64, s *raftpb.Snapshot) bool {
	id, err := ticketOf(s)
	o := t.find(id.id)
	if err != nil || o == nil || !t.free(to) {
		return false
	}
	t.readers[to] = &reader{from: o}
	return true
}

func (t *transfers) find(id [idSize]byte) *offered {
	for _, o := range t.offers {
		if o.ticket.id == id {
			return o
		}
	}
	return nil
}

// request answers a request for a chunk; nil: there is nothing to send. Only who was offered
// the picture gets it. Who was away goes on, if there is a place.
func (t *transfers) request(from uint64, q *chunkRequest) (*chunk, error) {
	r := t.readers[from]
	if r == nil || t.find(q.id) != r.from || !t.free(from) {
		return nil, nil
	}
	r.idle = 0
	if q.index >= r.from.ticket.chunks() {
		return nil, nil // it has all of it, and is at work
	}
	data, err := r.from.spool.get(q.index, r.from.ticket.length(q.index))
	if err != nil {
		t.discard(r.from)
		return nil, err
	}
	return &chunk{id: q.id, index: q.index, data: data}, nil
}

// tick returns the members that are away from now on: raft then looks where they are,
// and offers them a picture again. What they fetched is kept for so many ticks, and what nobody fetched for
// a shorter while.
func (t *transfers) tick(keep int) (gone []uint64) {
	for _, member := range sortedKeys(t.readers) {
		r := t.readers[member]
		lost := t.find(r.from.ticket.id) == nil
		r.from.idle = 0
		if r.idle++; r.idle == patience || lost && !r.away() {
			gone = append(gone, member)
		}
		if lost || r.idle >= keep {
			delete(t.readers, member)
		}
	}
	for _, o := range slices.Clone(t.offers) {
		if o.idle++; o.idle >= patience {
			t.discard(o)
		}
	}
	return gone
}

// reached says how far a member's log is. From what it fetched on it needs no more,
// and its place is free for another: then it answers true.
func (t *transfers) reached(member, index uint64) bool {
	r := t.readers[member]
	if r == nil || index < r.from.index() {
		return false
	}
	t.drop(member)
	return true
}

// drop keeps nothing more for a member.
func (t *transfers) drop(member uint64) { delete(t.readers, member) }

// least is the lowest index of what is offered: the entries after it must stay in
// the log, or who fetched it is behind once more.
func (t *transfers) least() (index uint64, ok bool) {
	for _, o := range append([]*offered{t.making}, t.offers...) {
		if o == nil {
			continue
		}
		if i := o.index(); !ok || i < index {
			index, ok = i, true
		}
	}
	return index, ok
}

// discard throws a picture away.
func (t *transfers) discard(o *offered) {
	for i, other := range t.offers {
		if other == o {
			t.offers = append(t.offers[:i:i], t.offers[i+1:]...)
			o.spool.close() // a file without a name: nothing is lost
			return
		}
	}
}

// rest makes nothing new: this member leads no more. But it may lead again, perhaps because who fetches is back: so
// that one may go on. A part in the background ends by itself.
func (t *transfers) rest() {
	if o := t.making; o != nil && o.state.Swap(unwanted) == spooled {
		o.spool.close()
	}
	t.making, t.wanted = nil, false
}

// stop ends everything: this member is closed.
func (t *transfers) stop() {
	t.rest()
	for len(t.offers) > 0 {
		t.discard(t.offers[0])
	}
	clear(t.readers)
}
