package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// installed restores a machine from what came, and returns what was written as the
// member's own picture.
func installed(f *fetch) (machine, own []byte, err error) {
	m := &blob{}
	a := f.arrive(m)
	defer a.Release()
	var out bytes.Buffer
	n, err := a.WriteTo(&out)
	if err == nil && n != int64(out.Len()) {
		err = fmt.Errorf("says %d bytes of %d", n, out.Len())
	}
	return m.data, out.Bytes(), err
}

// The fetch asks for a window of chunks, and holds that many at most; chunks that
// were not asked for change nothing.
func TestFetchWindow(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(40*chunkSize))
	s.start(2, snapshot)
	f := newFetchOf(t, &shelf{}, snapshot)
	get := func(index uint64) *chunk { return must(s.request(2, &chunkRequest{f.ticket.id, index})) }
	if more := must(f.receive(1, get(0))); more != nil || f.next != 0 {
		t.Error("took what it did not ask for")
	}
	ask, _ := f.tick(comesBack)
	if len(ask) != fetchWindow || ask[0].index != 0 || ask[fetchWindow-1].index != fetchWindow-1 {
		t.Fatalf("asks for %v", ask)
	}
	for _, tt := range []struct{ index, next, more uint64 }{{3, 0, 0}, {3, 0, 0}, {0, 1, 1}, {0, 1, 0}, {2, 1, 0}, {1, 4, 3}, {30, 4, 0}} {
		more := must(f.receive(1, get(tt.index)))
		if uint64(len(more)) != tt.more || f.next != tt.next {
			t.Errorf("chunk %d: asks for %v, goes on at %d", tt.index, more, f.next)
		}
	}
	again := get(3)
	again.data[0]++
	f.next, f.have = 3, 1 // as it was before the first three came
	if must(f.receive(1, again)); must(f.spool.get(3, chunkSize))[0] == again.data[0] {
		t.Error("wrote a chunk twice, under one nonce")
	}
	f.next, f.have = 4, 0
	other := get(5)
	other.id[0]++
	if must(f.receive(1, other)); f.have != 0 {
		t.Error("took another picture's chunk")
	}
	if must(f.receive(9, get(5))); f.have != 0 {
		t.Error("took another member's chunk")
	}
	short := get(5)
	short.data = short.data[1:]
	if _, err := f.receive(1, short); !errors.Is(err, errDigest) {
		t.Errorf("short chunk: %v", err)
	}
}

// What did not come is asked for again after a while; a fetch without any answer
// is given up after minutes, and one that has everything says only that it is at work.
func TestFetchAsksAgain(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(3*chunkSize))
	s.start(2, snapshot)
	f := newFetchOf(t, &shelf{}, snapshot)
	var asked []string
	for i := range comesBack + 6 {
		ask, gone := f.tick(comesBack)
		if len(ask) > 0 {
			asked = append(asked, fmt.Sprint(i, ":", len(ask)))
		}
		if i == 5 {
			must(f.receive(1, must(s.request(2, &chunkRequest{f.ticket.id, 1}))))
		}
		if gone != (i == 5+comesBack) {
			t.Fatalf("tick %d: gone is %v", i, gone)
		}
	}
	if fmt.Sprint(asked[:3]) != "[0:3 15:2 25:2]" {
		t.Errorf("asks at %v", asked)
	}
	for i := range f.ticket.chunks() {
		f.quiet = 0
		must(f.receive(1, must(s.request(2, &chunkRequest{f.ticket.id, i}))))
	}
	for range 3 * patience {
		ask, gone := f.tick(patience)
		if gone || len(ask) > 1 || len(ask) == 1 && ask[0].index != 3 {
			t.Fatalf("whole, and asks for %v", ask)
		}
		for i := range ask {
			if c := must(s.request(2, &ask[i])); c != nil {
				t.Fatal("gets a chunk after the last")
			}
		}
		if gone := s.tick(comesBack); len(gone) > 0 {
			t.Fatal("the sender gives up who is at work")
		}
	}
}

// The same bytes under another name, of another member, are gone on with: there, and from what is here.
func TestFetchGoesOnElsewhere(t *testing.T) {
	s, data := newSender(), picture(3*chunkSize)
	snapshot := s.with(t, 40, data)
	s.start(2, snapshot)
	f := newFetchOf(t, &shelf{}, snapshot)
	f.tick(comesBack)
	must(f.receive(1, must(s.request(2, &chunkRequest{f.ticket.id, 0}))))
	other := newSender()
	other.random = rand.NewChaCha8([32]byte{4})
	again := other.with(t, 45, data)
	next := must(ticketOf(again))
	if next.id == f.ticket.id || !f.goOn(4, next) || !other.start(2, again) {
		t.Fatal("begins again")
	}
	if must(f.receive(1, must(s.request(2, &chunkRequest{must(ticketOf(snapshot)).id, 1})))); f.have != 0 {
		t.Error("takes chunks of who offered it before")
	}
	for range askAgain {
		ask, _ := f.tick(comesBack)
		for i := range ask {
			must(f.receive(4, must(other.request(2, &ask[i]))))
		}
	}
	if got, _, err := installed(f); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
	}
	longer := next
	longer.size++
	if next.digest[0]++; f.goOn(4, next) || f.goOn(4, longer) {
		t.Error("goes on with other bytes")
	}
}

// A picture that is here, and waits until another checkpoint is written, is not thrown away for another one. The same
// bytes of a newer leader are installed as its: its log goes on there, and not where the one before them did.
func TestWholePictureIsKept(t *testing.T) {
	offers := func(from uint64, s *raftpb.Snapshot) *raftpb.Message {
		return &raftpb.Message{From: new(from), Snapshot: s}
	}
	s, other, data := newSender(), newSender(), picture(chunkSize)
	other.random = rand.NewChaCha8([32]byte{4})
	n := &Node{disk: &shelf{}}
	n.c.Rand, n.base.member = rand.NewChaCha8([32]byte{3}), 3
	snapshot := s.with(t, 40, data)
	s.start(3, snapshot)
	n.hold(offers(1, snapshot))
	ask, _ := n.fetch.tick(comesBack)
	must(n.fetch.receive(1, must(s.request(3, &ask[0]))))
	whole, newer := n.fetch, other.with(t, 45, data)
	n.hold(offers(2, newer))
	n.hold(offers(2, other.with(t, 50, picture(10))))
	if n.fetch != whole || !whole.complete() || n.held.GetSnapshot() != newer {
		t.Error("begins again, or installs what is old")
	}
}

// A picture that is not the announced one is not taken, nor one that the machine
// does not read to its end.
func TestArrivalRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*fetch, *blob)
		want   error
	}{
		"another digest": {func(f *fetch, _ *blob) { f.ticket.digest[0]++ }, errDigest},
		"machine fails":  {func(_ *fetch, b *blob) { b.err = io.ErrNoProgress }, io.ErrNoProgress},
	} {
		s := newSender()
		snapshot := s.with(t, 40, picture(chunkSize+5))
		s.start(2, snapshot)
		f := newFetchOf(t, &shelf{}, snapshot)
		exchange(t, s, 2, f, true, 1)
		m := &blob{}
		tt.change(f, m)
		if _, err := f.arrive(m).WriteTo(io.Discard); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lazy reads nothing.
type lazy struct{ Machine }

func (lazy) Restore(io.Reader) error { return nil }

func TestArrivalLeftUnread(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(100))
	s.start(2, snapshot)
	f := newFetchOf(t, &shelf{}, snapshot)
	exchange(t, s, 2, f, true, 1)
	if _, err := f.arrive(lazy{}).WriteTo(io.Discard); err == nil {
		t.Error("taken")
	}
}
