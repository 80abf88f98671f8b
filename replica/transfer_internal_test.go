package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"
)

// A shelf is a disk that knows scratch files only.
type shelf struct {
	Disk
	files []*shelved
	fault error
}

type shelved struct {
	s      *shelf
	data   []byte
	closed bool
}

func (s *shelf) Scratch() (File, error) {
	if s.fault != nil {
		return nil, s.fault
	}
	f := &shelved{s: s}
	s.files = append(s.files, f)
	return f, nil
}

// open counts the files that are not closed.
func (s *shelf) open() (n int) {
	for _, f := range s.files {
		if !f.closed {
			n++
		}
	}
	return n
}

func (f *shelved) WriteAt(p []byte, at int64) (int, error) {
	if f.s.fault != nil {
		return 0, f.s.fault
	}
	f.data = append(f.data, make([]byte, max(0, at+int64(len(p))-int64(len(f.data))))...)
	return copy(f.data[at:], p), nil
}

func (f *shelved) ReadAt(p []byte, at int64) (int, error) {
	if at > int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *shelved) Size() (int64, error) { return int64(len(f.data)), nil }
func (f *shelved) Sync() error          { return nil }
func (f *shelved) Close() error         { f.closed = true; return nil }

// A blob is a machine that is some bytes, and its own picture.
type blob struct {
	Machine
	data     []byte
	leave    int // bytes that Restore leaves unread
	err      error
	released int
	writing  func()
}

func (b *blob) WriteTo(w io.Writer) (n int64, err error) {
	if b.writing != nil {
		b.writing()
	}
	for left := b.data; len(left) > 0 && err == nil; {
		var m int
		m, err = w.Write(left[:min(100_000, len(left))])
		left, n = left[m:], n+int64(m)
	}
	return n, errors.Join(err, b.err)
}

func (b *blob) Release() { b.released++ }

func (b *blob) Restore(r io.Reader) (err error) {
	b.data, err = io.ReadAll(r)
	if b.leave > 0 {
		b.data = b.data[:len(b.data)-b.leave]
	}
	return errors.Join(err, b.err)
}

// A sender is one side of a transfer.
type sender struct {
	*transfers
	shelf *shelf
	later []func()
}

func newSender() *sender {
	s := &sender{shelf: &shelf{}}
	s.transfers = newTransfers(s.shelf, rand.NewChaCha8([32]byte{2}), func(f func()) { s.later = append(s.later, f) })
	return s
}

func (s *sender) background() {
	for _, f := range s.later {
		f()
	}
	s.later = nil
}

// with is a sender that offers a picture taken at an index.
func (s *sender) with(t testing.TB, index uint64, data []byte) *raftpb.Snapshot {
	t.Helper()
	if _, ok := s.offer(index); ok || !s.wants() {
		t.Fatal("offers what it does not have")
	}
	check(t, s.begin(index, 3, []uint64{1, 2}, []uint64{3}, &blob{data: data}))
	s.background()
	check(t, s.poll())
	snapshot, ok := s.offer(index)
	if !ok {
		t.Fatal("offers nothing")
	}
	return snapshot
}

func picture(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	return b
}

func newFetchOf(t testing.TB, s *shelf, snapshot *raftpb.Snapshot) *fetch {
	t.Helper()
	return must(newFetch(s, rand.NewChaCha8([32]byte{3}), 1, must(ticketOf(snapshot))))
}

// exchange lets a member fetch over a network that loses and reorders by chance, until
// all is there.
func exchange(t testing.TB, s *sender, to uint64, f *fetch, lossless bool, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	var asks []chunkRequest
	var chunks []*chunk
	for ticks := 0; !f.complete(); {
		switch {
		case len(asks) > 0 && random.IntN(2) == 0:
			i := random.IntN(len(asks))
			if lossless || random.IntN(4) > 0 {
				if c := must(s.request(to, &asks[i])); c != nil {
					chunks = append(chunks, c)
				}
			}
			asks = slices.Delete(asks, i, i+1)
		case len(chunks) > 0:
			i := random.IntN(len(chunks))
			if lossless || random.IntN(4) > 0 {
				asks = append(asks, must(f.receive(1, chunks[i]))...)
			}
			if lossless || random.IntN(8) > 0 { // or it comes again
				chunks = slices.Delete(chunks, i, i+1)
			}
		default:
			more, gone := f.tick(comesBack)
			if ticks++; gone || len(s.tick(comesBack)) > 0 || ticks > 100_000 {
				t.Fatal("given up")
			}
			asks = append(asks, more...)
		}
	}
}

// A picture of any size comes over as it was, over any network that lets something
// through, and nothing of it is readable on either disk.
func TestTransfer(t *testing.T) {
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 20*chunkSize + 7} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(size, seed), func(t *testing.T) {
				s, data := newSender(), picture(size)
				snapshot := s.with(t, 40, data)
				if !s.start(2, snapshot) {
					t.Fatal("does not start")
				}
				disk := &shelf{}
				f := newFetchOf(t, disk, snapshot)
				exchange(t, s, 2, f, seed == 0, seed)
				machine, own, err := installed(f)
				check(t, err)
				if !bytes.Equal(machine, data) || !bytes.Equal(own, data) {
					t.Error("something else came")
				}
				for _, d := range []*shelf{s.shelf, disk} {
					if size >= 16 && bytes.Contains(d.files[0].data, data[:16]) {
						t.Error("readable on the disk")
					}
				}
				s.stop()
				if s.shelf.open()+disk.open() != 0 {
					t.Error("a file is left open")
				}
			})
		}
	}
}

// Two members fetch at a time, only what they were offered; who is silent is given up, and
// makes room. A picture nobody fetches goes after a while.
func TestTransfersAreBounded(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(10))
	id := must(ticketOf(snapshot)).id
	if !s.start(2, snapshot) || !s.start(3, snapshot) || !s.start(2, snapshot) || s.start(4, snapshot) {
		t.Error("not two at a time")
	}
	if _, ok := s.offer(40); ok {
		t.Error("offered to a third")
	}
	if c := must(s.request(4, &chunkRequest{id, 0})); c != nil {
		t.Error("given to whom it was not offered")
	}
	if c := must(s.request(2, &chunkRequest{[16]byte{9}, 0})); c != nil {
		t.Error("given for another id")
	}
	for i := range patience {
		if i%10 == 0 {
			must(s.request(3, &chunkRequest{id, 0}))
		}
		if gone := s.tick(comesBack); fmt.Sprint(gone) != map[bool]string{true: "[2]", false: "[]"}[i == patience-1] {
			t.Fatalf("tick %d: gives up %v", i, gone)
		}
	}
	if !s.start(4, snapshot) {
		t.Error("no place became free")
	}
	s.reached(3, 39)
	if s.start(5, snapshot) {
		t.Error("a place is free of one who is not there yet")
	}
	s.reached(3, 40)
	s.reached(4, 50)
	if !s.start(5, snapshot) {
		t.Error("no place became free of one who is done")
	}
	s.reached(5, 40)
	s.drop(2) // who was away, and is a member no more
	for range patience {
		s.tick(comesBack)
	}
	if _, ok := s.offer(40); ok || s.shelf.open() > 0 {
		t.Error("kept for ever")
	}
	if s.start(2, snapshot) {
		t.Error("starts with what is gone")
	}
}

// Who is away for a while finds what it fetched, and goes on where there is a place; for minutes, and no longer than
// others on a disk without room.
func TestTransfersAwait(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(2*chunkSize))
	first := chunkRequest{must(ticketOf(snapshot)).id, 0}
	s.start(2, snapshot)
	pass := func(ticks, keep int) (gone []uint64) {
		for range ticks {
			gone = append(gone, s.tick(keep)...)
		}
		return gone
	}
	if gone := pass(comesBack-1, comesBack); fmt.Sprint(gone) != "[2]" {
		t.Errorf("gives up %v", gone)
	}
	s.start(3, snapshot)
	s.start(4, snapshot)
	if must(s.request(2, &first)) != nil {
		t.Error("three fetch at a time")
	}
	s.reached(3, 40)
	s.reached(4, 40)
	if must(s.request(2, &first)) == nil {
		t.Error("what it fetched is gone")
	}
	if s.offer(50); !s.wants() {
		t.Error("no newer picture is wanted")
	}
	if s.rest(); s.wants() {
		t.Error("one that leads no more makes a picture")
	}
	if got, ok := s.offer(40); got != snapshot || !ok || must(s.request(2, &first)) == nil {
		t.Error("leads again, and has another picture, or none")
	}
	if gone := pass(2*patience, patience); fmt.Sprint(gone) != "[2]" || s.shelf.open() > 0 {
		t.Errorf("gives up %v, and keeps what takes the room", gone)
	}
}

// What is behind the log is kept for nobody who is away: a newer picture takes the place.
func TestTransfersOutdated(t *testing.T) {
	s := newSender()
	old := s.with(t, 40, picture(10))
	s.start(2, old)
	for range patience {
		s.tick(comesBack)
	}
	s.start(3, s.with(t, 50, picture(20)))
	if s.shelf.open() != 1 || must(s.request(2, &chunkRequest{must(ticketOf(old)).id, 0})) != nil {
		t.Error("both are kept")
	}
	if gone := s.tick(comesBack); len(gone) > 0 {
		t.Errorf("gives up %v once more", gone)
	}
}

// A picture that is behind the log is not offered; a newer one is made beside it, no third.
func TestTransfersNewerPicture(t *testing.T) {
	s := newSender()
	old := s.with(t, 40, picture(10))
	s.start(2, old)
	fresh := s.with(t, 50, picture(20))
	if i, ok := s.least(); i != 40 || !ok {
		t.Errorf("entries after %d are kept", i)
	}
	if !s.start(3, fresh) || must(s.request(2, &chunkRequest{must(ticketOf(old)).id, 0})) == nil {
		t.Error("the old one is gone, or the new one not there")
	}
	if _, ok := s.offer(60); ok || s.wants() {
		t.Error("a third one is wanted")
	}
	s.stop()
	if _, ok := s.least(); ok || s.shelf.open() > 0 {
		t.Error("something is left")
	}
}

// A spool that cannot be written, or a machine that fails, leaves nothing, and
// the picture is released.
func TestSpoolFails(t *testing.T) {
	full := errors.New("disk full")
	for name, tt := range map[string]struct {
		spoil func(*sender, *blob)
		want  error
	}{
		"file":    {func(s *sender, _ *blob) { s.shelf.fault = full }, full},
		"write":   {func(s *sender, b *blob) { b.writing = func() { s.shelf.fault = full } }, full},
		"machine": {func(_ *sender, b *blob) { b.err = io.ErrNoProgress }, io.ErrNoProgress},
		"panic":   {func(_ *sender, b *blob) { b.writing = func() { panic("spoilt") } }, nil},
		"stopped": {func(s *sender, b *blob) { b.writing = s.stop }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := newSender(), &blob{data: picture(chunkSize + 1)}
			tt.spoil(s, b)
			err := s.begin(40, 3, []uint64{1}, nil, b)
			s.background()
			err = errors.Join(err, s.poll())
			if tt.want != nil && !errors.Is(err, tt.want) || name == "panic" && err == nil {
				t.Errorf("got %v", err)
			}
			if name == "stopped" && len(s.shelf.files[0].data) > 0 {
				t.Error("goes on writing what nobody wants")
			}
			if _, ok := s.offer(1); ok || b.released != 1 || s.shelf.open() > 0 {
				t.Errorf("offered, or released %d times, or left open", b.released)
			}
		})
	}
}

// Stopping while nobody has picked up what the background did leaves nothing open.
func TestStopAfterTheBackground(t *testing.T) {
	s := newSender()
	check(t, s.begin(40, 3, []uint64{1}, nil, &blob{data: picture(10)}))
	s.background()
	s.stop()
	if s.shelf.open() > 0 {
		t.Error("left open")
	}
}

// What a disk changed in a spool is found on either side, before anything of it is used.
func TestSpoolTampered(t *testing.T) {
	s := newSender()
	snapshot := s.with(t, 40, picture(2*chunkSize))
	s.start(2, snapshot)
	disk := &shelf{}
	f := newFetchOf(t, disk, snapshot)
	exchange(t, s, 2, f, true, 1)
	swap := func(d []byte) {
		half := chunkSize + tagSize
		copy(d, slices.Concat(d[half:2*half], d[:half]))
	}
	swap(disk.files[0].data)
	if _, _, err := installed(f); !errors.Is(err, errChunk) {
		t.Errorf("chunks swapped: %v", err)
	}
	s.shelf.files[0].data[7] ^= 1
	if _, err := s.request(2, &chunkRequest{f.ticket.id, 0}); !errors.Is(err, errChunk) {
		t.Errorf("sent: %v", err)
	}
	if gone := s.tick(comesBack); fmt.Sprint(gone) != "[2]" {
		t.Errorf("goes on with a bad spool: gives up %v", gone)
	}
}

func TestTicket(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		want := ticket{size: rapid.Uint64Range(0, maxPicture).Draw(r, "size")}
		copy(want.id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(r, "id"))
		copy(want.digest[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(r, "digest"))
		if got, err := ticketOf(&raftpb.Snapshot{Data: want.bytes()}); err != nil || got != want {
			r.Errorf("%v became %v, %v", want, got, err)
		}
		if n := want.chunks(); n > 0 && (n-1)*chunkSize+uint64(want.length(n-1)) != want.size {
			r.Errorf("%d bytes are %d chunks, the last of %d", want.size, n, want.length(n-1))
		}
	})
	for _, bad := range [][]byte{nil, make([]byte, ticketSize-1), make([]byte, ticketSize+1), (ticket{size: maxPicture + 1}).bytes()} {
		if _, err := ticketOf(&raftpb.Snapshot{Data: bad}); !errors.Is(err, errMessage) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}
