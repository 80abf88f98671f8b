package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// link is what there is between this process and one other member. When anything of
// the member changes in the directory, it gets a new link.
type link struct {
	l      *Links
	peer   Peer
	queue  *queue
	calls  *caller
	serves chan struct{}   // a place for each call that is being served
	ctx    context.Context // ends with membership
	cancel context.CancelFunc
	out    context.Context // of our messages' lane: ends a little later where the member was removed
	cut    context.CancelFunc
	wakes  [lanes]chan struct{} // the other side has connected

	mu     sync.Mutex
	in     [lanes]*conn
	up     [lanes]bool
	since  [lanes]time.Time
	reason [lanes]error
	rtt    time.Duration
}

// link makes a link and starts dialing. l.mu is held.
func (l *Links) link(p Peer) *link {
	k := &link{l: l, peer: p, queue: newQueue(l.limits.Queue), calls: newCaller(l.limits.Calls), serves: make(chan struct{}, l.limits.Calls)}
	k.ctx, k.cancel = context.WithCancel(l.ctx)
	k.out, k.cut = context.WithCancel(l.ctx)
	for n := range k.wakes {
		k.wakes[n], k.since[n] = make(chan struct{}, 1), time.Now()
		l.all.Go(func() { k.keep(lane(n)) })
	}
	return k
}

// close ends all connections of the link, and calls that wait for one.
func (k *link) close() {
	k.cancel()
	k.cut()
}

// part does the same where the member was removed; but what waits for it leaves still, if it takes it soon: the last
// message says that it was removed, and without it the member would not know why nobody talks to it.
// All of it was said while it belonged.
func (k *link) part() {
	k.cancel()
	time.AfterFunc(k.l.limits.Parting, k.cut)
}

// life is how long a lane may last.
func (k *link) life(n lane) context.Context {
	if n == messages {
		return k.out
	}
	return k.ctx
}

// watch looks at the directory when it is told to, and now and then, so that a member
// that was removed is cut off even if somebody forgot to tell.
func (l *Links) watch() {
	tick := time.NewTicker(l.limits.Beat)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.changed:
		case <-tick.C:
		}
		l.follow()
	}
}

// follow makes the links be what the directory says.
func (l *Links) follow() {
	l.following.Lock()
	defer l.following.Unlock()
	now := map[uint64]Peer{}
	for _, p := range l.c.Directory() {
		if p.Number != l.c.Self {
			now[p.Number] = p
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return
	}
	for n, k := range l.links {
		switch p, ok := now[n]; {
		case !ok:
			k.part()
		case p != k.peer:
			k.close()
		default:
			continue
		}
		delete(l.links, n)
	}
	for n, p := range now {
		if l.links[n] == nil {
			l.links[n] = l.link(p)
		}
	}
}

// keep holds a lane to the other side up, for as long as the link is.
func (k *link) keep(n lane) {
	limits := k.l.limits
	pause := limits.PauseFrom
	for k.ctx.Err() == nil {
		lived, err := k.session(n)
		if errors.Is(err, errWoken) {
			pause = limits.PauseFrom
			continue
		}
		k.down(n, err)
		if n == calls && lived == 0 {
			k.calls.set(nil, true)
		}
		if lived >= limits.Silence {
			pause = limits.PauseFrom
		}
		if k.rest(n, pause) {
			pause = limits.PauseFrom
		} else {
			pause = min(2*pause, limits.PauseTo)
		}
	}
	if k.down(n, ErrClosed); n == calls {
		k.calls.set(nil, true)
	}
}

// rest waits between two attempts, not always as long, so that members that lost each
// other at one time do not dial at one time. Woken says that the other side has connected.
func (k *link) rest(n lane, pause time.Duration) (woken bool) {
	t := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.ctx.Done():
	case <-k.wakes[n]:
		return true
	}
	return false
}

// session dials and uses the connection until it ends.
func (k *link) session(n lane) (lived time.Duration, err error) {
	c, err := k.dial(n)
	if err != nil {
		return 0, err
	}
	defer c.cancel(nil)
	k.rise(n)
	if n == messages {
		err = k.pour(c)
	} else {
		err = k.calls.run(k, c)
	}
	return time.Since(c.since), err
}

// dial connects, and waits until the other side has said that this lane is up.
func (k *link) dial(n lane) (*conn, error) {
	raw, err := k.connect(n)
	if err != nil {
		return nil, err
	}
	config := k.l.dialing(k.peer)
	c, err := shake(k.life(n), raw, k.l.limits, func(under net.Conn) *tls.Conn { return tls.Client(under, config) })
	if err != nil {
		return nil, err
	}
	sent := c.send(frame{kind: kindHello, lane: n, from: k.l.c.Self, to: k.peer.Number})
	f, err := readFrame(c.r, 0) // also when nothing could be sent: there may be a reason to read
	if err == nil && f.kind != kindBeat {
		err = errFrame
	}
	if err = cmp.Or(refusal(err), sent, err); err != nil {
		c.cancel(err)
		return nil, err
	}
	c.ready(n, k.l.limits)
	return c, nil
}

// errNotWanted is as good as the other side's signature: TLS has shown that it has the identity key of
// the directory before it says this, and seals what it says.
var errNotWanted = errors.New("peer: it refuses this machine's identity key: the operators removed this machine from the fleet, or it has not heard yet " +
	"that they added it; if others say so too, look at a member that serves: vaultd status, vaultd operator show")

// refusal is errNotWanted for what TLS says when the other side does not take our key, and else nil.
func refusal(err error) error {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" && e.Err.Error() == "tls: bad certificate" {
		return errNotWanted
	}
	return nil
}

var errWoken = errors.New("peer: the other side has connected meanwhile")

// connect makes a TCP connection. When the other side connects meanwhile the way is
// free, and it is better to begin anew than to wait for TCP's next try.
func (k *link) connect(n lane) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(k.life(n), k.l.limits.Connect, errors.New("peer: no answer to a connection"))
	defer cancel()
	ctx, wake := context.WithCancelCause(ctx)
	defer wake(nil)
	go func() {
		select {
		case <-k.wakes[n]:
			wake(errWoken)
		case <-ctx.Done():
		}
	}()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", k.peer.Address)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return raw, err
}

// pour sends the queue's messages, and beats between them.
func (k *link) pour(c *conn) error {
	k.l.all.Go(func() { c.hear(0, k.beatOnly) })
	k.queue.forget(time.Now().Add(-k.l.limits.Silence))
	tick := time.NewTicker(k.l.limits.Beat)
	defer tick.Stop()
	for err := k.beat(c); err == nil; {
		parting := k.ctx.Err() != nil // seen before the queue was empty
		if i, ok := k.queue.pop(); ok {
			err = c.write(frame{kind: kindMessage, group: i.group, body: i.message})
		} else if err = c.flush(); err == nil && parting {
			return c.finish()
		} else if err == nil {
			select {
			case <-k.ctx.Done():
			case <-k.queue.ready:
			case <-tick.C:
				err = k.beat(c)
			case <-c.ctx.Done():
				err = c.ctx.Err()
			}
			continue
		}
		select {
		case <-tick.C: // it comes round to this on a busy lane too
			err = k.beat(c)
		default:
		}
	}
	c.cancel(errors.New("peer: writing failed"))
	return context.Cause(c.ctx)
}

// started is what stamps count from.
var started = time.Now()

func (k *link) beat(c *conn) error {
	return c.send(frame{kind: kindBeat, stamp: uint64(time.Since(started))})
}

// beatOnly is what the dialer of messages hears.
func (k *link) beatOnly(f frame) error {
	if f.kind != kindBeat {
		return errFrame
	}
	k.heard(f)
	return nil
}

// heard measures the way there and back by a beat that came back.
func (k *link) heard(f frame) {
	if rtt := time.Since(started) - time.Duration(f.stamp); f.stamp != 0 && rtt >= 0 {
		k.mu.Lock()
		k.rtt = rtt
		k.mu.Unlock()
	}
}
