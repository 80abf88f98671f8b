package faulty

import (
	"io"
	"net"
	"sync"
	"time"
)

// connection is one of a client, and the one that goes on from here.
type connection struct {
	client, server net.Conn
	done           chan struct{} // closed when it is over
	silenced       chan struct{} // closed when nothing passes any more
	over, silent   sync.Once
	quiet          bool // cuts are not told
}

// carry carries a connection until it ends.
func (p *Proxy) carry(client net.Conn) {
	server, err := p.back()
	if err != nil {
		reset(client)
		return
	}
	c := &connection{client: client, server: server, done: make(chan struct{}), silenced: make(chan struct{})}
	if s, ok := server.(pipe); ok {
		s.hand(c)
	}
	cutUp, cutDown, ok := p.opened(c)
	if !ok {
		c.reset()
		return
	}
	var both sync.WaitGroup
	wait(c.done, p.up.roundTrip())
	both.Go(func() { p.pump(c, c.client, c.server, &p.up, cutUp, func(n *Counts) *int64 { return &n.Up }) })
	both.Go(func() { p.pump(c, c.server, c.client, &p.down, cutDown, func(n *Counts) *int64 { return &n.Down }) })
	both.Wait()
	p.ended(c)
}

// opened counts a connection and says when it is cut; not ok when the proxy closes.
func (p *Proxy) opened(c *connection) (cutUp, cutDown int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, 0, false
	}
	p.counts.Connections++
	p.open[c] = true
	c.quiet = p.way.Silent
	if p.way.Cut != nil {
		cutUp, cutDown = p.way.Cut(p.counts.Connections)
	}
	return cutUp, cutDown, true
}

func (p *Proxy) ended(c *connection) {
	c.end(func() {})
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// piece is on the way.
type piece struct {
	data []byte
	due  time.Time
	last bool // the connection is cut behind it
}

// pump carries one direction to its end, or to where it is cut.
func (p *Proxy) pump(c *connection, from, to net.Conn, l *link, cut int64, counter func(*Counts) *int64) {
	queue := make(chan piece, onTheWay)
	var deliverer sync.WaitGroup
	deliverer.Go(func() { c.deliver(queue, to) })
	for sent := int64(0); cut <= 0 || sent < cut; {
		data := make([]byte, l.pieceSize())
		if cut > 0 {
			data = data[:min(int64(len(data)), cut-sent)]
		}
		n, err := from.Read(data)
		sent += int64(n)
		if n > 0 && !c.isSilent() {
			p.count(func(counts *Counts) { *counter(counts) += int64(n) })
			queue <- piece{data[:n], l.send(n), sent == cut}
		}
		if err != nil {
			break
		}
	}
	if c.quiet {
		io.Copy(io.Discard, from) // until it ends: what is sent to nobody is lost
	}
	close(queue)
	deliverer.Wait()
}

// deliver writes pieces when they are due, and then says that no more come. It
// empties the queue in any case, so that nobody waits to put into it.
func (c *connection) deliver(queue <-chan piece, to net.Conn) {
	var err error
	for piece := range queue {
		wait(c.done, time.Until(piece.due))
		if err == nil && !c.isSilent() {
			_, err = to.Write(piece.data)
		}
		if piece.last {
			c.cut()
		}
	}
	if err != nil || c.isSilent() { // the other side has gone
		c.reset()
		return
	}
	closeWrite(to)
}

// cut ends the connection as the way has it: reset, or silent until the client or
// the proxy ends it.
func (c *connection) cut() {
	if c.quiet {
		c.fallSilent()
		return
	}
	c.reset()
}

func (c *connection) fallSilent() { c.silent.Do(func() { close(c.silenced) }) }

func (c *connection) isSilent() bool {
	select {
	case <-c.silenced:
		return true
	default:
		return false
	}
}

// reset ends both sides with a reset.
func (c *connection) reset() { c.end(func() { reset(c.client) }) }

func (c *connection) end(how func()) {
	c.over.Do(func() {
		close(c.done)
		how()
		reset(c.server)
		c.client.Close() // closed already, or nothing is wanted of it
	})
}

// reset closes a connection without a farewell.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close() // it is thrown away
}

// closeWrite passes on that no more bytes come, where the connection can say it.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() // fails when it is closed already
		return
	}
	c.Close()
}

// wait waits, less long when done is closed.
func wait(done <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
}
