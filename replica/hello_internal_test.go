package replica

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"keepsake.example/anchor"
)

// When one starts again, or both at once, they find each other with a message each.
func TestRestarts(t *testing.T) {
	for name, restarted := range map[string][]uint64{"sender": {1}, "receiver": {2}, "both": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, 1, 2)
			w.meet(1, 2)
			for _, m := range restarted {
				w.start(m)
			}
			w.deliver(2, w.send(1, 2, 1))
			w.tick()
			w.heard, w.errs = nil, nil
			w.deliver(2, w.send(1, 2, 2))
			w.deliver(1, w.send(2, 1, 3))
			w.want([]string{"2<1:2", "1<2:3"})
		})
	}
}

// Hellos may be lost: the next message asks again, after a tick.
func TestLostHellos(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	w := newWire(t, 1, 2)
	for i := 0; len(w.heard) < 10; i++ {
		if i == 1000 {
			t.Fatal("two members do not find each other")
		}
		w.tick()
		queue := []struct {
			to uint64
			m  []byte
		}{{2, w.send(1, 2, 1)}, {1, w.send(2, 1, 1)}}
		for len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			if next.m == nil || random.IntN(2) == 0 {
				continue
			}
			if o, _ := w.members[next.to].open(next.m); o.reply != nil {
				queue = append(queue, struct {
					to uint64
					m  []byte
				}{o.from, o.reply})
			} else if o.plain != nil {
				w.heard = append(w.heard, "")
			}
		}
		if i%17 == 16 {
			w.start(uint64(1 + i/17%2))
		}
	}
}

// A host keeps hellos of an earlier run and plays them back: nobody goes back to
// that run, and messages go on.
func TestKeptHellosTakeNobodyBack(t *testing.T) {
	w := newWire(t, 1, 2)
	var kept [][]byte
	keep := func(to uint64, m []byte) {
		for m != nil {
			kept = append(kept, bytes.Clone(m))
			o, _ := w.members[to].open(m)
			m, to = o.reply, o.from
		}
	}
	for range 3 {
		keep(2, w.send(1, 2, 1))
		w.tick()
		keep(2, w.send(1, 2, 1))
		w.start(1)
	}
	w.meet(1, 2)
	boot := w.members[2].peers[1].boot
	for _, m := range kept {
		for _, to := range []uint64{1, 2} {
			w.deliver(to, bytes.Clone(m))
			w.tick()
		}
	}
	if w.members[2].peers[1].boot != boot || boot != w.members[1].boot {
		t.Error("an earlier run is believed")
	}
	w.heard, w.errs = nil, nil
	w.deliver(2, w.send(1, 2, 7))
	w.want([]string{"2<1:7"})
}

// Whatever is played to a member, it makes few hellos between two ticks, and keeps little.
func TestHellosAreBounded(t *testing.T) {
	w := newWire(t, 1, 2)
	hello := w.send(1, 2, 1)
	replies := 0
	for range 100 {
		if o, _ := w.members[2].open(hello); o.reply != nil {
			replies++
		}
	}
	if replies != maxHellos {
		t.Errorf("%d answers to one hello", replies)
	}
	w.tick()
	sealed := make([]byte, sealedOver+10)
	sealed[0], sealed[1], sealed[17], sealed[18] = wireVersion, wireSealed, 2, 1
	replies = 0
	for i := range 100_000 {
		be.PutUint64(sealed[2:], uint64(10+i))
		if o, err := w.members[2].open(sealed); o.reply != nil {
			replies++
		} else if err == nil {
			t.Fatal("taken")
		}
	}
	if replies > maxPeers || len(w.members[2].peers) != 1 {
		t.Errorf("%d hellos and %d members for messages of nobody", replies, len(w.members[2].peers))
	}
	for i := range uint64(maxPeers + 10) {
		other := must(newSessions(w.random, 10+i, anchor.KeyFromBytes(w.secret)))
		w.deliver2(2, must(other.seal(2, &peerMessage{refused: &refused{1}})))
	}
	if n := len(w.members[2].peers); n != maxPeers {
		t.Errorf("%d members are known", n)
	}
}

// A removed member is not heard, and gets nothing.
func TestDroppedMember(t *testing.T) {
	w := newWire(t, 1, 2)
	w.meet(1, 2)
	m, hello := w.send(1, 2, 1), w.members[1].greet(2, bootID{1}, bootID{})
	w.members[2].drop(1)
	w.deliver(2, m)
	w.deliver(2, hello)
	if _, err := w.members[2].seal(1, &peerMessage{refused: &refused{1}}); !errors.Is(err, errCrowd) {
		t.Errorf("sealed for it: %v", err)
	}
	w.want(nil, errForeign, errCrowd)
}

// Members that were removed take no room from those that come, however many, and are not forgotten.
func TestRemovedTakeNoRoom(t *testing.T) {
	w := newWire(t, 1, 2)
	for i := range uint64(2 * maxPeers) {
		w.members[2].drop(10 + i)
	}
	w.meet(1, 2)
	if _, err := w.members[2].meet(9); err != nil || !w.members[2].knows(1) {
		t.Errorf("a newcomer: %v; member 1 is known: %v", err, w.members[2].knows(1))
	}
	for i := range uint64(2 * maxPeers) {
		if _, err := w.members[2].meet(10 + i); !errors.Is(err, errCrowd) {
			t.Fatalf("member %d, which was removed: %v", 10+i, err)
		}
	}
	for i := range uint64(maxPeers) {
		_, _ = w.members[2].meet(10_000 + i)
	}
	w.members[2].drop(9_999) // in a crowd, too
	if _, err := w.members[2].meet(9_999); len(w.members[2].peers) != 3*maxPeers+1 || !w.members[2].peers[9_999].removed {
		t.Errorf("%d members are known; %v", len(w.members[2].peers), err)
	}
}

// A member that comes back in the same run goes on where it was: what it said before is
// not taken again, and nothing is sealed for it under a nonce that was used.
func TestMemberThatComesBack(t *testing.T) {
	w := newWire(t, 1, 2)
	w.meet(1, 2)
	heard, before := w.send(1, 2, 1), w.send(2, 1, 2)
	w.deliver(2, heard)
	w.want([]string{"2<1:1"})
	w.members[2].drop(1)
	w.members[2].admit(1)
	w.deliver(2, heard)
	w.want(nil, errReplay)
	after := w.send(2, 1, 3)
	if after[1] != wireSealed || bytes.Equal(before[:sealedHead], after[:sealedHead]) {
		t.Error("the same header twice")
	}
	w.deliver(2, w.send(1, 2, 4))
	w.deliver(1, after)
	w.want([]string{"2<1:4", "1<2:3"})
}
