// Package faulty stands between a client and a real server and does what networks
// and busy clouds do: it delays, narrows, resets, falls silent, refuses, cuts
// short and lies. For tests and measurements; no program that is shipped links it.
//
// A [Proxy] has two layers. The way ([Way]) is that of bytes and is there for any
// protocol, SSH too: latency, rate, connections that are reset or fall silent at a
// byte. The plan ([Fault] by request) is that of HTTP: refusals, answers that are
// lost or cut off, lengths that are not true, a clock that is off. Both can be
// changed at any time. What passes is counted.
package faulty

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Way is what the network is like. The zero value carries bytes as they come.
type Way struct {
	// Latency is that of one direction; a new connection takes a round trip
	// more, as TCP's does.
	Latency time.Duration
	// Rate is bytes a second in each direction, of all connections together;
	// 0 means no limit.
	Rate int64
	// Cut says, for the nth connection from 1, after how many bytes in either
	// direction it ends; 0: never. Nil: never.
	Cut func(n int) (up, down int64)
	// Silent has connections that are cut stay open, and nothing passes any
	// more: what a NAT that forgot a connection does. Otherwise they are reset.
	Silent bool
}

// Counts is what has passed.
type Counts struct {
	Connections int
	Up, Down    int64 // bytes, headers included

	// Of HTTP.
	Requests         map[string]int // by method
	BodyUp, BodyDown int64          // bytes of bodies that were carried on
	Faults           int            // requests that got a Fault
}

// Total is the number of requests.
func (c Counts) Total() (n int) {
	for _, of := range c.Requests {
		n += of
	}
	return n
}

// Proxy carries connections to one server. It may be used concurrently.
type Proxy struct {
	listener net.Listener
	back     func() (net.Conn, error) // where connections go
	stop     func()

	mu       sync.Mutex
	way      Way
	plan     func(Request) Fault
	counts   Counts
	open     map[*connection]bool
	up, down link
	closed   bool
	all      sync.WaitGroup
}

// TCP listens on a port of loopback of its own and carries every connection on to
// target ("host:port").
func TCP(target string) (*Proxy, error) {
	p, err := newProxy()
	if err != nil {
		return nil, err
	}
	p.back = func() (net.Conn, error) { return net.Dial("tcp", target) }
	p.stop = func() {}
	p.start()
	return p, nil
}

// HTTP is TCP for a target that speaks HTTP/1.1 without TLS, whose requests can
// have faults. Host stays as the client has it, for that is what it signs.
func HTTP(target string) (*Proxy, error) {
	p, err := newProxy()
	if err != nil {
		return nil, err
	}
	inside := newPipes()
	server := &http.Server{Handler: newRelay(p, target), ErrorLog: silence, ConnContext: withConnection}
	p.back = inside.dial
	p.stop = func() { server.Close() } // connections of pipes, which close without an error
	p.all.Go(func() { server.Serve(inside) })
	p.start()
	return p, nil
}

func newProxy() (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faulty: %w", err)
	}
	return &Proxy{listener: l, open: make(map[*connection]bool), counts: Counts{Requests: make(map[string]int)}}, nil
}

func (p *Proxy) start() {
	p.all.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.carry(client) })
		}
	})
}

// Addr is where to connect, "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetWay changes the network. Latency and Rate hold at once, Cut for new
// connections.
func (p *Proxy) SetWay(w Way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.way = w
	p.up.set(w)
	p.down.set(w)
}

// SetPlan decides about each request from now on; nil: no faults. plan is called
// concurrently.
func (p *Proxy) SetPlan(plan func(Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Counts tells what has passed since the start or the last Forget.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.Requests = maps.Clone(c.Requests)
	return c
}

// Forget starts counting anew.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = Counts{Requests: make(map[string]int)}
}

func (p *Proxy) count(change func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.counts)
}

// Reset resets every open connection.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		c.reset()
	}
}

// Close resets what is open and frees the port.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.stop()
	p.Reset()
	p.all.Wait()
	return err
}

type connectionKey struct{}

// withConnection lets a handler get at the client's connection.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(pipe); ok {
		return context.WithValue(ctx, connectionKey{}, c.pair)
	}
	return ctx
}
