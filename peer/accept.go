package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// guest is a connection behind which no member is known yet.
type guest struct {
	net.Conn
	host string
}

// guests are all of them, in the order in which they came.
type guests struct {
	limit                      int
	strangers, broken, crowded atomic.Uint64

	mu     sync.Mutex
	list   []*guest
	closed bool
}

func newGuests(limit int) *guests { return &guests{limit: limit} }

// enter lets a connection in, at the cost of another if there is no place.
func (g *guests) enter(c net.Conn) *guest {
	in := &guest{Conn: c, host: hostOf(c.RemoteAddr())}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		c.Close()
		return in
	}
	if g.list = append(g.list, in); len(g.list) > g.limit {
		g.crowded.Add(1)
		g.list[g.victim()].Close() // its handshake ends, and it leaves
		g.remove(g.victim())
	}
	return in
}

// victim is the oldest of the address with the most guests: whoever holds connections
// open from one address closes its own.
func (g *guests) victim() (oldest int) {
	count := map[string]int{}
	for _, in := range g.list {
		count[in.host]++
	}
	for i, in := range g.list {
		if count[in.host] > count[g.list[oldest].host] {
			oldest = i
		}
	}
	return oldest
}

func (g *guests) remove(i int) { g.list = append(g.list[:i], g.list[i+1:]...) }

func (g *guests) leave(out *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, in := range g.list {
		if in == out {
			g.remove(i)
			return
		}
	}
}

func (g *guests) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, in := range g.list {
		in.Close()
	}
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// accept takes connections until the listener is closed.
func (l *Links) accept() {
	for {
		raw, err := l.c.Listener.Accept()
		switch {
		case err == nil:
			in := l.guests.enter(raw)
			l.all.Go(func() { l.welcome(in) })
		case l.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no file descriptors, say: they come back
			l.log.Warn("accepting", "error", err)
			time.Sleep(l.limits.PauseFrom)
		}
	}
}

// welcome finds out who it is, and listens to them until the connection ends.
func (l *Links) welcome(in *guest) {
	c, hello, err := l.greet(in)
	l.guests.leave(in)
	if err != nil {
		l.guests.broken.Add(1)
		l.log.Debug("refused", "from", in.host, "error", err)
		return
	}
	defer c.cancel(nil)
	l.follow() // it may be new in the directory, or just gone
	k := l.to(hello.from)
	if k == nil || k.peer.Identity != c.identity || hello.to != l.c.Self {
		l.guests.strangers.Add(1)
		l.log.Debug("refused", "from", in.host, "member", hello.from, "to", hello.to)
		return
	}
	// The end of the link is that of membership, too: it waits for nothing.
	defer context.AfterFunc(k.ctx, func() { c.cancel(ErrClosed) })()
	c.ready(hello.lane, l.limits)
	k.adopt(c)
	defer k.leave(c)
	if c.lane == messages {
		k.take(c)
	} else {
		k.serve(c)
	}
}

// greet does the handshake and reads the hello.
func (l *Links) greet(in *guest) (*conn, frame, error) {
	c, err := shake(l.ctx, in.Conn, l.limits, func(under net.Conn) *tls.Conn { return tls.Server(under, l.server) })
	if err != nil {
		return nil, frame{}, err
	}
	f, err := readFrame(c.r, 0)
	if err == nil && f.kind != kindHello {
		err = errFrame
	}
	if err != nil {
		c.cancel(err)
		return nil, frame{}, err
	}
	return c, f, nil
}

var errReplaced = errors.New("peer: a newer connection took its place")

// adopt makes a connection the one of its lane, and wakes the dialing of our own lane:
// the way is free.
func (k *link) adopt(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.in[c.lane]; old != nil {
		old.cancel(errReplaced)
	}
	k.in[c.lane] = c
	if !k.up[c.lane] {
		select {
		case k.wakes[c.lane] <- struct{}{}:
		default:
		}
	}
}

func (k *link) leave(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.in[c.lane] == c {
		k.in[c.lane] = nil
	}
}

// take receives messages.
func (k *link) take(c *conn) {
	echo := k.answerBeats(c)
	c.hear(MaxMessage, func(f frame) error {
		switch f.kind {
		case kindBeat:
			echo(f)
		case kindMessage:
			k.l.c.Receive(k.peer.Number, f.group, f.body)
		default:
			return errFrame
		}
		return nil
	})
}

// answerBeats sends a beat at once, others now and then, and back what echo is given.
func (k *link) answerBeats(c *conn) (echo func(frame)) {
	back := make(chan frame, 1)
	back <- frame{kind: kindBeat} // says that the lane is up
	k.l.all.Go(func() {
		tick := time.NewTicker(k.l.limits.Beat)
		defer tick.Stop()
		for err := error(nil); err == nil; {
			select {
			case f := <-back:
				err = c.send(f)
			case <-tick.C:
				err = c.send(frame{kind: kindBeat})
			case <-c.ctx.Done():
				return
			}
			if err != nil {
				c.cancel(err)
			}
		}
	})
	return func(f frame) {
		select {
		case back <- f:
		default: // the last one is not sent back yet: the other side does not hear for now
		}
	}
}
