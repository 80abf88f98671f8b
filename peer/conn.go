package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var errSilent = errors.New("peer: nothing was heard for too long")

// patient is a TCP connection under TLS, whose reads end when not one byte comes for
// a time. Writes need no such bound: the other side's beats stop when it does.
type patient struct {
	net.Conn
	silence time.Duration // 0: deadlines are set by hand
}

func (p *patient) Read(b []byte) (int, error) {
	if p.silence > 0 {
		p.SetReadDeadline(time.Now().Add(p.silence))
	}
	n, err := p.Conn.Read(b)
	if p.silence > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSilent
	}
	return n, err
}

// conn is one lane's connection after TLS. It is closed by ending its context.
type conn struct {
	lane     lane
	identity [32]byte
	raw      *patient
	tls      *tls.Conn
	r        *bufio.Reader
	ctx      context.Context
	cancel   context.CancelCauseFunc
	since    time.Time // when it was up

	mu sync.Mutex // guards w
	w  *bufio.Writer
}

// shake does TLS over a raw connection; the caller's hello comes next, and then ready.
// The end of ctx closes the connection.
func shake(ctx context.Context, raw net.Conn, limits Limits, side func(net.Conn) *tls.Conn) (*conn, error) {
	c := &conn{raw: &patient{Conn: raw}}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	// Not the TLS connection, whose Close would wait for room for its farewell.
	context.AfterFunc(c.ctx, func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(limits.Handshake))
	t := side(c.raw)
	if err := t.HandshakeContext(c.ctx); err != nil {
		c.cancel(err)
		return nil, fmt.Errorf("handshake: %w", err)
	}
	id, err := identityOf(t.ConnectionState())
	if err != nil {
		c.cancel(err)
		return nil, err
	}
	c.identity, c.tls, c.r, c.w = id, t, bufio.NewReaderSize(t, 32<<10), bufio.NewWriterSize(t, 64<<10)
	return c, nil
}

// ready ends the time of the handshake's deadline, and begins that of beats.
func (c *conn) ready(n lane, limits Limits) {
	c.lane, c.since = n, time.Now()
	c.raw.SetDeadline(time.Time{})
	c.raw.silence = limits.Silence
}

// write puts a frame into the buffer, which flush sends.
func (c *conn) write(f frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var fixed [32]byte
	if _, err := c.w.Write(f.head(fixed[:0])); err != nil {
		return err
	}
	_, err := c.w.Write(f.body)
	return err
}

func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w.Flush()
}

func (c *conn) send(f frame) error {
	if err := c.write(f); err != nil {
		return err
	}
	return c.flush()
}

// finish says that nothing more comes, and waits until the other side has taken what came: a connection that is
// closed while something of the other side's is unread takes along what is on its way. Whoever
// calls it bounds it.
func (c *conn) finish() error {
	if err := c.tls.CloseWrite(); err != nil {
		c.cancel(err)
	}
	<-c.ctx.Done()
	return context.Cause(c.ctx)
}

// hear reads frames until one is wrong or the connection ends, which it then does, and
// gives them to f.
func (c *conn) hear(limit int, f func(frame) error) error {
	for {
		next, err := readFrame(c.r, limit)
		if err == nil {
			err = f(next)
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("peer: closed by the other side")
			}
			c.cancel(err)
			return context.Cause(c.ctx) // the first reason
		}
	}
}
