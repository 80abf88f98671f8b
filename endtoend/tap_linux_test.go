package endtoend_test

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
)

// A tap is a place on the way between two programs.
type tap struct {
	listener net.Listener
	raw      buffer // all that passed, both ways, as on the wire
	plain    buffer // the same without TLS, where the tap holds the keys of both ends

	mu     sync.Mutex
	target string
	conns  map[net.Conn]bool
	watch  func(up bool, data []byte) (pass bool)
	inner  *innerTLS
}

// innerTLS lets a tap see what the program at the far end of a TLS connection sees.
// Only who holds the keys of the servers can do that: it stands for a relay that was
// taken over.
type innerTLS struct{ server, client *tls.Config }

func newTap(t *testing.T) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &tap{listener: l, conns: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(func() {
		l.Close()
		p.cut()
	})
	return p
}

func (p *tap) url() string { return "https://" + p.listener.Addr().String() }

func (p *tap) point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// cut ends every connection there is.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// onData has f decide on every piece that passes: false ends the connection instead.
// It sees TLS records, whose sizes tell a sealed block from other things.
func (p *tap) onData(f func(up bool, data []byte) (pass bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = f
}

func (p *tap) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.carry(c)
	}
}

func (p *tap) carry(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	p.hold(near, far)
	defer p.release(near, far)
	near = &recorded{near, p}
	if p.inner != nil {
		near, far = tls.Server(near, p.inner.server), tls.Client(far, p.inner.client)
	}
	done := make(chan struct{})
	go func() {
		p.copy(far, near, true)
		close(done)
	}()
	p.copy(near, far, false)
	<-done
}

func (p *tap) hold(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *tap) release(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

func (p *tap) passes(up bool, data []byte) bool {
	p.mu.Lock()
	watch := p.watch
	p.mu.Unlock()
	return watch == nil || watch(up, data)
}

// copy carries one direction until either end is closed.
func (p *tap) copy(to, from net.Conn, up bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if p.inner != nil {
				p.plain.Write(b[:n])
			}
			if !p.passes(up, b[:n]) {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// recorded keeps what passes through a connection.
type recorded struct {
	net.Conn
	tap *tap
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.tap.raw.Write(b[:n])
	return n, err
}

func (r *recorded) Write(b []byte) (int, error) {
	r.tap.raw.Write(b)
	return r.Conn.Write(b)
}
