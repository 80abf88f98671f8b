package replica

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"keepsake.example/anchor"
)

// a wire carries messages between members of one group that are in memory.
type wire struct {
	t       testing.TB
	random  *rand.ChaCha8
	secret  [32]byte
	members map[uint64]*sessions
	heard   []string // what members opened, as "to<from:sequence"
	errs    []error
}

func newWire(t testing.TB, members ...uint64) *wire {
	w := &wire{t: t, random: rand.NewChaCha8([32]byte{1}), secret: [32]byte{5}, members: map[uint64]*sessions{}}
	for _, m := range members {
		w.start(m)
	}
	return w
}

// start begins another run of a member.
func (w *wire) start(member uint64) {
	w.members[member] = must(newSessions(w.random, member, anchor.KeyFromBytes(w.secret)))
}

func (w *wire) tick() {
	for _, m := range sortedKeys(w.members) {
		w.members[m].tick()
	}
}

// send seals a message that can be told from others by its number.
func (w *wire) send(from, to, number uint64) []byte {
	return must(w.members[from].seal(to, &peerMessage{refused: &refused{number}}))
}

// deliver gives bytes to a member, and its reply to whom it is for, and so on.
// It returns how many were replies.
func (w *wire) deliver(to uint64, message []byte) (replies int) {
	for message != nil {
		o, err := w.members[to].open(message)
		if err != nil {
			w.errs = append(w.errs, err)
		}
		if o.plain != nil {
			m := must(decodeMessage(o.plain, o.from, to))
			w.heard = append(w.heard, string([]rune{rune('0' + to), '<', rune('0' + o.from), ':', rune('0' + m.refused.sequence)}))
		}
		if message = o.reply; message != nil {
			replies, to = replies+1, o.from
		}
	}
	return replies
}

// want compares what was heard and which errors there were since the last call.
func (w *wire) want(heard []string, errs ...error) {
	w.t.Helper()
	if len(w.heard) != len(heard) || len(w.errs) != len(errs) {
		w.t.Fatalf("heard %q with %v, want %q with %v", w.heard, w.errs, heard, errs)
	}
	for i := range heard {
		if w.heard[i] != heard[i] {
			w.t.Fatalf("heard %q, want %q", w.heard, heard)
		}
	}
	for i := range errs {
		if !errors.Is(w.errs[i], errs[i]) {
			w.t.Fatalf("got %v, want %v", w.errs, errs)
		}
	}
	w.heard, w.errs = nil, nil
}

// meet lets two members know each other.
func (w *wire) meet(a, b uint64) {
	w.t.Helper()
	w.deliver(b, w.send(a, b, 0))
	w.tick()
	w.want(nil)
}

// The first message is lost and makes the two known to each other; then both ways are open.
func TestSessionsMeet(t *testing.T) {
	w := newWire(t, 1, 2)
	if n := w.deliver(2, w.send(1, 2, 1)); n != 2 {
		t.Errorf("%d hellos after the first one, want an answer with a question, and an answer", n)
	}
	w.want(nil)
	w.deliver(2, w.send(1, 2, 2))
	w.deliver(1, w.send(2, 1, 3))
	w.want([]string{"2<1:2", "1<2:3"})
}

func TestBothMeetAtOnce(t *testing.T) {
	w := newWire(t, 1, 2)
	a, b := w.send(1, 2, 1), w.send(2, 1, 1)
	w.deliver(2, a)
	w.deliver(1, b)
	w.want(nil)
	w.deliver(2, w.send(1, 2, 2))
	w.deliver(1, w.send(2, 1, 3))
	w.want([]string{"2<1:2", "1<2:3"})
}

// A message is taken once, and nothing that was sealed is taken by another member, in another
// direction, in another group, or in another run of either side.
func TestSessionRefusesWhatIsNotForIt(t *testing.T) {
	w := newWire(t, 1, 2, 3)
	w.meet(1, 2)
	w.meet(1, 3)
	w.meet(3, 2)
	m := w.send(1, 2, 1)
	w.deliver(2, bytes.Clone(m))
	w.want([]string{"2<1:1"})
	w.deliver(2, bytes.Clone(m))
	w.want(nil, errReplay)
	w.deliver(3, bytes.Clone(m))
	w.deliver(1, bytes.Clone(m))
	w.want(nil, errForeign, errForeign)

	fresh := w.send(1, 2, 2)
	relabeled := bytes.Clone(fresh)
	relabeled[9] = 3 // from
	_, err := w.members[2].open(relabeled)
	if err == nil {
		t.Error("taken as another member's")
	}
	turned := bytes.Clone(fresh)
	turned[9], turned[17] = fresh[17], fresh[9] // to and from
	copy(turned[18:34], fresh[34:50])
	copy(turned[34:50], fresh[18:34])
	if _, err = w.members[1].open(turned); !errors.Is(err, errForged) {
		t.Errorf("sent back to its sender: %v", err)
	}

	other := newWire(t, 1, 2)
	other.secret[0]++
	other.start(1)
	other.start(2)
	if _, err := other.members[2].open(w.members[1].greet(2, bootID{1}, bootID{})); !errors.Is(err, errForged) {
		t.Errorf("hello of another group: %v", err)
	}
	other.members[2].boot, other.members[1].boot = w.members[2].boot, w.members[1].boot
	other.meet(1, 2)
	if _, err := other.members[2].open(fresh); !errors.Is(err, errForged) {
		t.Errorf("message of another group: %v", err)
	}

	w.tick()
	w.start(2)
	w.deliver(2, bytes.Clone(fresh))
	w.want(nil, errForeign)
	w.tick()
	w.deliver(2, w.send(1, 2, 3))
	w.want([]string{"2<1:3"})
	w.tick()
	old := w.send(1, 2, 4)
	w.start(1)
	w.meet(1, 2)
	w.deliver(2, old)
	w.want(nil, errForeign)
}

// No byte of a sealed message or a hello can be changed, cut off or added.
func TestMangleSealed(t *testing.T) {
	w := newWire(t, 1, 2)
	hello := w.send(1, 2, 1)
	w.tick()
	w.meet(1, 2)
	sealed := w.send(1, 2, 1)
	for _, m := range [][]byte{sealed, hello} {
		for i := range m {
			for _, flip := range []byte{1, 0x80} {
				bad := bytes.Clone(m)
				bad[i] ^= flip
				if o, err := w.members[2].open(bad); err == nil || o.plain != nil {
					t.Fatalf("byte %d of %d changed, and taken", i, len(m))
				}
			}
		}
		for n := range m {
			if _, err := w.members[2].open(m[:n:n]); err == nil {
				t.Fatalf("taken with %d bytes of %d", n, len(m))
			}
		}
		if _, err := w.members[2].open(append(bytes.Clone(m), 0)); err == nil {
			t.Fatal("taken with a byte more")
		}
	}
	w.deliver(2, sealed)
	w.want([]string{"2<1:1"})
}

// Messages may come in any order, and late by less than the window; each once.
func TestSessionTakesEachOnceInAnyOrder(t *testing.T) {
	w := newWire(t, 1, 2)
	w.meet(1, 2)
	var messages [][]byte
	for range 3000 {
		messages = append(messages, w.send(1, 2, 0))
	}
	order := rand.New(rand.NewPCG(1, 2)).Perm(windowSize)
	for round := range 2 {
		for _, i := range order {
			_, err := w.members[2].open(messages[i])
			if (err == nil) != (round == 0) {
				t.Fatalf("round %d, message %d: %v", round, i, err)
			}
		}
	}
	if _, err := w.members[2].open(messages[2999]); err != nil {
		t.Error(err)
	}
	_, late := w.members[2].open(messages[2999-windowSize])
	_, again := w.members[2].open(messages[windowSize-1])
	if !errors.Is(late, errReplay) || !errors.Is(again, errReplay) {
		t.Errorf("too late: %v; again: %v", late, again)
	}
}

// Asking a member again which run it is in, as any forged message makes us do, does
// not make us forget what came from that run.
func TestWindowOutlivesAQuestion(t *testing.T) {
	w := newWire(t, 1, 2)
	w.meet(1, 2)
	m := w.send(1, 2, 1)
	w.deliver(2, bytes.Clone(m))
	w.want([]string{"2<1:1"})
	forged := bytes.Clone(m)
	forged[18]++ // of another run
	if w.deliver(2, forged) != 2 || w.members[2].peers[1].asked != (bootID{}) {
		t.Error("no question, or no answer")
	}
	w.want(nil, errForeign)
	w.deliver(2, m)
	w.want(nil, errReplay)
}

// The window against a plain list of what came.
func TestWindowProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var w window
		seen, last := map[uint64]bool{}, uint64(0)
		for range rapid.IntRange(0, 60).Draw(r, "messages") {
			c := rapid.OneOf(
				rapid.Uint64Range(0, 10), rapid.Uint64Range(windowSize-3, windowSize+3),
				rapid.Uint64Range(max(last, 5)-5, last+5), rapid.Uint64Range(last, last+2*windowSize), rapid.Just(^uint64(0)>>1),
			).Draw(r, "counter")
			want := c != 0 && !seen[c] && (c > last || last-c < windowSize)
			if got := w.take(c); got != want {
				r.Fatalf("counter %d after %d: %v", c, last, got)
			}
			seen[c], last = true, max(last, c)
		}
	})
}

// Newest is said of the messages that nothing later came before.
func TestNewest(t *testing.T) {
	w := newWire(t, 1, 2)
	w.meet(1, 2)
	a, b, c := w.send(1, 2, 1), w.send(1, 2, 2), w.send(1, 2, 3)
	for i, tt := range []struct {
		m    []byte
		want bool
	}{{a, true}, {c, true}, {b, false}} {
		if o := must(w.members[2].open(tt.m)); o.newest != tt.want {
			t.Errorf("message %d: newest is %v", i, o.newest)
		}
	}
}

// deliver2 delivers without the reply.
func (w *wire) deliver2(to uint64, message []byte) { _, _ = w.members[to].open(message) }

// No two messages are sealed under one key and nonce, whoever starts again when.
func TestNoNonceTwice(t *testing.T) {
	w := newWire(t, 1, 2)
	seen := map[string]bool{}
	for i := range 40 {
		if i%3 == 2 {
			w.start(2)
		}
		if i%7 == 6 {
			w.start(1)
		}
		w.tick()
		m := w.send(1, 2, 1)
		if m[1] == wireSealed && seen[string(m[2:sealedHead])] {
			t.Fatal("a header twice")
		}
		seen[string(m[2:sealedHead])] = true
		w.deliver(2, m)
	}
}

func TestWipe(t *testing.T) {
	key := anchor.KeyFromBytes([32]byte{1})
	s := must(newSessions(rand.NewChaCha8([32]byte{}), 1, key))
	s.wipe()
	if key.Equal(anchor.KeyFromBytes([32]byte{1})) || !bytes.Equal(s.hello, make([]byte, len(s.hello))) || len(s.peers) > 0 {
		t.Error("something is left")
	}
}

// A random source that fails is an error, never a run or a question of zeros.
func TestSessionWithoutRandomBytes(t *testing.T) {
	if _, err := newSessions(bytes.NewReader(nil), 1, anchor.KeyFromBytes([32]byte{1})); err == nil {
		t.Error("a run of zeros")
	}
	s := must(newSessions(bytes.NewReader(make([]byte, 20)), 1, anchor.KeyFromBytes([32]byte{1})))
	if _, err := s.seal(2, &peerMessage{refused: &refused{1}}); err == nil {
		t.Error("a question of zeros")
	}
}

// FuzzOpen: nothing that is not sealed by a member is taken.
func FuzzOpen(f *testing.F) {
	w := newWire(f, 1, 2)
	hello := w.send(1, 2, 1)
	w.tick()
	w.meet(1, 2)
	f.Add(hello)
	f.Add(w.send(1, 2, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := w.members[2].open(data)
		if o.plain != nil && !bytes.Equal(data[18:34], w.members[1].boot[:]) {
			t.Errorf("taken: %x", data)
		}
		if err == nil && o.plain == nil && data[1] != wireHello {
			t.Errorf("neither taken nor refused: %x", data)
		}
	})
}

func BenchmarkSealAndOpen(b *testing.B) {
	w := newWire(b, 1, 2)
	w.meet(1, 2)
	m := &peerMessage{forward: &forward{origin: 1, sequence: 1, entry: make([]byte, 1000)}}
	b.SetBytes(1000)
	for b.Loop() {
		o := must(w.members[2].open(must(w.members[1].seal(2, m))))
		must(decodeMessage(o.plain, 1, 2))
	}
}
