package faulty

import (
	"net"
	"sync"
)

// pipes is a listener inside the process, whose connections are not copied through
// the kernel once more.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})} }

// pipe is an end of one; both know the connection that it is for.
type pipe struct {
	net.Conn
	pair *pair
}

// pair is what both ends have in common. of is set before the first byte passes.
type pair struct{ of *connection }

func (p pipe) hand(c *connection) { p.pair.of = c }

func (l *pipes) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	shared := &pair{}
	select {
	case l.waiting <- pipe{theirs, shared}:
		return pipe{ours, shared}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "inside"} }
