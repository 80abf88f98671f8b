package process

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn makes a connection of two streams. Nothing that is done with it here has
// deadlines: the other end is a process of this computer, and its end is seen.
type conn struct {
	in     io.Reader
	out    io.Writer
	once   sync.Once
	closed chan struct{}
	lost   atomic.Bool // the other end went first

	began time.Time
	heard atomic.Int64 // when the last byte came, in nanoseconds after that
}

func newConn(in io.Reader, out io.Writer) *conn {
	return &conn{in: in, out: out, closed: make(chan struct{}), began: time.Now()}
}

// silence is for how long nothing has come.
func (c *conn) silence() time.Duration { return time.Since(c.began) - time.Duration(c.heard.Load()) }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if n > 0 {
		c.heard.Store(int64(time.Since(c.began)))
	}
	c.watch(err)
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.watch(err)
	return n, err
}

func (c *conn) watch(err error) {
	if err == nil {
		return
	}
	select {
	case <-c.closed:
	default:
		c.lost.Store(true)
	}
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		for _, end := range []any{c.out, c.in} {
			if end, ok := end.(io.Closer); ok {
				end.Close()
			}
		}
	})
	return nil
}

func (c *conn) LocalAddr() net.Addr              { return addr{} }
func (c *conn) RemoteAddr() net.Addr             { return addr{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

type addr struct{}

func (addr) Network() string { return "stdio" }
func (addr) String() string  { return "stdio" }

// onlyOne listens for one connection, and until that ends.
type onlyOne struct {
	conn *conn
	once sync.Once
}

func (l *onlyOne) Accept() (c net.Conn, err error) {
	l.once.Do(func() { c = l.conn })
	if c != nil {
		return c, nil
	}
	<-l.conn.closed
	return nil, net.ErrClosed
}

func (l *onlyOne) Close() error   { return nil }
func (l *onlyOne) Addr() net.Addr { return addr{} }
