package replica

import "sync"

// maxHeld is how many bytes of one member's messages a Replica holds: four of the longest, or the
// chunks that a member asks for at a time and as much again. As many wait at their sender (package
// peer). What finds no room comes again, as what a network loses.
const maxHeld = 8 << 20

// inbox holds what came from the network until it is worked off, which takes as long as the disk
// does. Nothing of it is authentic yet: so each member has room of its own, which others do not fill.
type inbox struct {
	ready chan struct{} // has a token when something may wait

	mu      sync.Mutex
	waiting []letter // in the order in which they came
	working []letter // taken, and not yet worked off
	held    map[uint64]holding
}

// letter is a message of a member, as it says.
type letter struct {
	from    uint64
	message []byte
}

// holding is what is held of one member.
type holding struct{ count, bytes int }

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1), held: make(map[uint64]holding)} }

// put takes a message, or says that there is no room for it.
func (i *inbox) put(message []byte) bool {
	from := Sender(message)
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held[from]
	if h.count >= maxInbox || h.bytes+len(message) > maxHeld || h.count == 0 && len(i.held) >= maxPeers {
		return false
	}
	i.held[from] = holding{h.count + 1, h.bytes + len(message)}
	i.waiting = append(i.waiting, letter{from, message})
	i.wake()
	return true
}

func (i *inbox) wake() {
	select {
	case i.ready <- struct{}{}:
	default:
	}
}

// take gives the messages that waited longest. They have their room until done is called.
func (i *inbox) take() []letter {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := min(len(i.waiting), maxInbox)
	i.working, i.waiting = i.waiting[:n:n], i.waiting[n:]
	if len(i.waiting) > 0 {
		i.wake()
	}
	return i.working
}

// done says that everything taken is worked off.
func (i *inbox) done() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range i.working {
		h := i.held[l.from]
		if i.held[l.from] = (holding{h.count - 1, h.bytes - len(l.message)}); h.count == 1 {
			delete(i.held, l.from)
		}
	}
	clear(i.working)
	i.working = nil
}
