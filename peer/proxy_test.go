package peer_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy carries TCP connections on, and fails as networks do.
type proxy struct {
	address, to string

	mu    sync.Mutex
	way   sync.Cond // broadcast when hole changes
	hole  bool      // what is sent vanishes, and nobody is told
	delay time.Duration
	open  map[net.Conn]bool
}

func newProxy(t testing.TB, to string) *proxy {
	t.Helper()
	l := listen(t)
	p := &proxy{address: l.Addr().String(), to: to, open: map[net.Conn]bool{}}
	p.way.L = &p.mu
	t.Cleanup(func() { p.blackhole(false); p.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

func (p *proxy) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer out.Close()
	p.keep(in, out)
	done := make(chan struct{}, 2)
	for _, c := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() { p.copy(c[0], c[1]); done <- struct{}{} }()
	}
	<-done
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = true
	}
}

func (p *proxy) copy(from io.Reader, to io.Writer) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		p.wait()
		if _, e := to.Write(b[:n]); e != nil || err != nil {
			return
		}
	}
}

// wait holds everything back that passes, as long as the network does.
func (p *proxy) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.hole {
		p.way.Wait()
	}
	if d := p.delay; d > 0 {
		p.mu.Unlock()
		time.Sleep(d)
		p.mu.Lock()
	}
}

func (p *proxy) blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hole = on
	p.way.Broadcast()
}

// slow delays every piece that passes.
func (p *proxy) slow(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.Close()
		delete(p.open, c)
	}
}
