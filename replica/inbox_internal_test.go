package replica

import "testing"

// letterFrom is a message of so many bytes that says that it is of a member. Nobody made it.
func letterFrom(from byte, size int) []byte {
	b := make([]byte, size)
	b[0], b[1], b[9], b[18] = wireVersion, wireSealed, from, 1
	return b
}

// fill puts messages until there is no room, and says how many there were room for.
func (i *inbox) fill(from byte, size int) (n int) {
	for i.put(letterFrom(from, size)) {
		n++
	}
	return n
}

// While the disk hangs, a member's messages take bounded memory, whatever their size, also those
// that are in work; and they leave the others the room that honest ones need.
func TestInboxHasRoomForEachMember(t *testing.T) {
	for _, c := range []struct{ size, want int }{
		{maxMessage, 4}, {maxMessage / 2, 8}, {sealedOver, maxInbox},
		{sealedOver + messageHead + chunkHead + chunkSize, 31}, // a picture's chunks, of which a member asks for 16
	} {
		i := newInbox()
		i.fill(3, maxMessage) // a liar that fills its room
		if n := i.fill(2, c.size); n != c.want {
			t.Errorf("room for %d messages of %d bytes, not %d", n, c.size, c.want)
		}
		i.take()
		if i.put(letterFrom(2, c.size)) {
			t.Errorf("what is in work has no room of its own, of %d bytes", c.size)
		}
	}
}

// Who writes many names on messages gets no more room than so many members have.
func TestInboxHasRoomForSoManyMembers(t *testing.T) {
	i, senders := newInbox(), 0
	for from := range byte(255) {
		if i.put(letterFrom(from, sealedOver)) {
			senders++
		}
	}
	if senders != maxPeers || !i.put(letterFrom(0, sealedOver)) {
		t.Errorf("room for messages of %d members, not %d", senders, maxPeers)
	}
}

// What is worked off has its room no more; order is kept, and nothing is left lying.
func TestInboxIsWorkedOff(t *testing.T) {
	i := newInbox()
	for range 3 {
		many := i.fill(2, sealedOver) + i.fill(3, sealedOver)
		for last := byte(2); many > 0; i.done() {
			<-i.ready
			for _, l := range i.take() {
				if byte(l.from) < last {
					t.Fatal("not in the order in which they came")
				}
				last, many = byte(l.from), many-1
			}
		}
		if len(i.held) != 0 || len(i.waiting) != 0 {
			t.Fatalf("%v is held, and %d messages wait", i.held, len(i.waiting))
		}
	}
}
