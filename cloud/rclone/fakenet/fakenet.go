// Package fakenet is a network for tests in which the names of real clouds
// lead to servers in the same process. A back end of rclone, unmodified, is
// told of its proxy and of its certificate authority and then speaks HTTPS to
// "www.googleapis.com" or "setup.icloud.com" as it always does; nothing
// leaves the machine, and a name the test did not expect is refused and
// remembered.
//
// Nothing but tests may use it: whoever holds the authority's key can be any
// server for a client that trusts it. The key is made anew each time and kept
// in memory alone.
package fakenet

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Net is such a network: an HTTP proxy that answers CONNECT (RFC 9110 section
// 9.3.6) by speaking TLS as the host that was asked for. Its methods may be
// called concurrently.
type Net struct {
	hosts    map[string]http.Handler
	ca       *authority
	caFile   string
	listener net.Listener
	inner    *inner
	servers  []*http.Server

	mu       sync.Mutex
	requests map[string]int
	refused  []string
}

// Start starts a network with these hosts: exact names, or "*.example.com"
// for all below one. The authority's certificate is written to dir.
func Start(dir string, hosts map[string]http.Handler) (*Net, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	n := &Net{hosts: hosts, ca: ca, caFile: filepath.Join(dir, "fakenet-ca.pem"), requests: map[string]int{}}
	if err := os.WriteFile(n.caFile, ca.pem, 0o600); err != nil {
		return nil, fmt.Errorf("fakenet: writing the certificate: %w", err)
	}
	if n.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("fakenet: listening: %w", err)
	}
	n.inner = &inner{conns: make(chan net.Conn), done: make(chan struct{}), addr: n.listener.Addr()}
	n.serve()
	return n, nil
}

func (n *Net) serve() {
	proxy := &http.Server{Handler: http.HandlerFunc(n.connect), ReadHeaderTimeout: time.Minute, ErrorLog: quiet}
	hosts := &http.Server{
		Handler:           http.HandlerFunc(n.dispatch),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          quiet,
		Protocols:         oldHTTP(),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return n.ca.leaf(h.ServerName) },
		},
	}
	n.servers = []*http.Server{proxy, hosts}
	go proxy.Serve(n.listener)
	go hosts.ServeTLS(n.inner, "", "")
}

// oldHTTP is HTTP/1.1 alone, so that a handler which panics with
// http.ErrAbortHandler cuts the connection and not only a stream of it.
func oldHTTP() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// Client is a browser on this network: hosts of it through the proxy, all
// others, such as a loopback redirect, directly.
func (n *Net) Client() *http.Client {
	proxy := &url.URL{Scheme: "http", Host: n.listener.Addr().String()}
	roots := x509.NewCertPool()
	roots.AddCert(n.ca.cert)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Proxy: func(r *http.Request) (*url.URL, error) {
			if n.handler(r.URL.Hostname()) == nil {
				return nil, nil
			}
			return proxy, nil
		},
	}}
}

// Proxy is the URL of the proxy.
func (n *Net) Proxy() string { return "http://" + n.listener.Addr().String() }

// CA is the file with the authority's certificate (PEM).
func (n *Net) CA() string { return n.caFile }

// Requests counts the requests each host was sent.
func (n *Net) Requests() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]int, len(n.requests))
	for host, count := range n.requests {
		all[host] = count
	}
	return all
}

// Refused lists the hosts that were asked for and are not on this network.
func (n *Net) Refused() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.refused)
}

// Close ends all connections.
func (n *Net) Close() error {
	n.inner.Close()
	var errs []error
	for _, s := range n.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// handler finds who plays a host.
func (n *Net) handler(host string) http.Handler {
	if h, ok := n.hosts[host]; ok {
		return h
	}
	if _, parent, ok := strings.Cut(host, "."); ok {
		return n.hosts["*."+parent]
	}
	return nil
}

func (n *Net) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || err != nil || port != "443" || n.handler(host) == nil {
		n.mu.Lock()
		n.refused = append(n.refused, r.Host)
		n.mu.Unlock()
		http.Error(w, "fakenet: no such host on this network", http.StatusBadGateway)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		conn.Close()
		return
	}
	n.inner.give(&begun{Conn: conn, r: buffered.Reader})
}

func (n *Net) dispatch(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	h := n.handler(host)
	if h == nil {
		http.Error(w, "fakenet: this certificate is of another host", http.StatusMisdirectedRequest)
		return
	}
	n.mu.Lock()
	n.requests[host]++
	n.mu.Unlock()
	h.ServeHTTP(w, r)
}

// inner is a listener that accepts what connect has tunnelled.
type inner struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	addr  net.Addr
}

func (l *inner) give(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

func (l *inner) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *inner) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *inner) Addr() net.Addr { return l.addr }

// begun is a connection of which the proxy's server may have read ahead.
type begun struct {
	net.Conn
	r *bufio.Reader
}

func (b *begun) Read(p []byte) (int, error) { return b.r.Read(p) }
