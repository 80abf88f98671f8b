package peer

import (
	"cmp"
	"slices"
	"time"
)

// LinkStatus is how it stands with one member.
type LinkStatus struct {
	Number    uint64
	Connected bool          // both our lanes to it are up
	Incoming  bool          // its lane of messages to us is up
	RTT       time.Duration // the last way there and back, the queue of the kernel included; 0: not measured yet
	Queued    int           // bytes that wait
	Dropped   uint64        // messages, since Since or before
	Since     time.Time     // when Connected last changed, or the member came into the directory
	Problem   string        // why it is not connected
}

// Refused counts connections that came to nothing, since the start.
type Refused struct {
	Strangers uint64 // showed a key that is not in the directory, or took another's number
	Broken    uint64 // no handshake or no hello, strangers of the handshake included
	Crowded   uint64 // closed because there were too many handshakes at once
}

// Status returns how it stands with each member, by number.
func (l *Links) Status() []LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]LinkStatus, 0, len(l.links))
	for _, k := range l.links {
		all = append(all, k.status())
	}
	slices.SortFunc(all, func(a, b LinkStatus) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// Refused returns how many were turned away.
func (l *Links) Refused() Refused {
	g := l.guests
	return Refused{Strangers: g.strangers.Load(), Broken: g.broken.Load(), Crowded: g.crowded.Load()}
}

func (k *link) status() LinkStatus {
	s := LinkStatus{Number: k.peer.Number}
	s.Queued, s.Dropped = k.queue.state()
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Connected, s.Incoming, s.RTT = k.up[messages] && k.up[calls], k.in[messages] != nil, k.rtt
	s.Since = k.since[messages]
	if k.since[calls].After(s.Since) {
		s.Since = k.since[calls]
	}
	for n := range k.up {
		if !k.up[n] && k.reason[n] != nil && s.Problem == "" {
			s.Problem = lane(n).String() + ": " + k.reason[n].Error()
		}
	}
	return s
}

// rise notes that a lane is up.
func (k *link) rise(n lane) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.up[n], k.since[n], k.reason[n] = true, time.Now(), nil
	select {
	case <-k.wakes[n]: // what woke it is past
	default:
	}
	k.l.log.Info("connected", "member", k.peer.Number, "lane", n.String())
}

// down notes that a lane is not up, and why. Further attempts are not
// logged, nor is the end of the link itself.
func (k *link) down(n lane, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.up[n] {
		k.up[n], k.since[n] = false, time.Now()
	}
	if k.reason[n] == nil && k.ctx.Err() == nil {
		k.l.log.Warn("not connected", "member", k.peer.Number, "lane", n.String(), "error", err)
	}
	k.reason[n] = err
}
