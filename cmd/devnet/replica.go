package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

// replica is one vaultd, with a folder and an anchor of its own. It can be stopped
// and started again.
type replica struct {
	n      *network
	number uint64
	name   string
	keys   *vaultd.Keys
	own    tls.Certificate
	pin    vaultd.Pin

	peers, public, admin string // addresses; port 0 until it listened once
	listeners            [3]net.Listener
	anchor               *software.Anchor
	server               *vaultd.Server
	process              *process // nil: it is stopped
}

func (n *network) newReplica(number uint64) (*replica, error) {
	r := &replica{n: n, number: number, name: fmt.Sprintf("vaultd%d", number), peers: "127.0.0.1:0", public: "127.0.0.1:0", admin: "127.0.0.1:0"}
	n.replicas = append(n.replicas, r)
	if err := os.Mkdir(n.path(r.name), 0o700); err != nil {
		return r, err
	}
	key, err := vaultd.NewTLSKey()
	if err != nil {
		return r, err
	}
	if r.own, r.pin, err = vaultd.Certificate(key, time.Now()); err != nil {
		return r, err
	}
	if r.keys, err = vaultd.NewKeys(); err != nil {
		return r, err
	}
	if err := r.listen(); err != nil {
		return r, err
	}
	r.anchor, err = software.Open(n.path(r.name, "anchor"))
	return r, err
}

// card is what those must know who let it in.
func (r *replica) card() vaultd.Card {
	return r.keys.Card(r.name, fmt.Sprintf("dc%d", r.number), r.peers)
}

func (r *replica) dir() string { return r.n.path(r.name, "vault") }

// listen takes its addresses, the same ones again after a stop.
func (r *replica) listen() error {
	for i, address := range []*string{&r.peers, &r.public, &r.admin} {
		if r.listeners[i] != nil {
			continue
		}
		l, err := listen(*address)
		if err != nil {
			return err
		}
		r.listeners[i], *address = l, l.Addr().String()
	}
	return nil
}

// take gives a listener away to somebody who closes it.
func (r *replica) take(i int) net.Listener {
	l := r.listeners[i]
	r.listeners[i] = nil
	return l
}

// start runs the replica on its folder and anchor.
func (r *replica) start(ctx context.Context) (err error) {
	if err := r.listen(); err != nil {
		return err
	}
	if r.anchor == nil {
		if r.anchor, err = software.Open(r.n.path(r.name, "anchor")); err != nil {
			return err
		}
	}
	trusted, err := r.n.trusts(vaultAudience)
	if err != nil {
		return err
	}
	tokens, err := token.NewVerifier(trusted)
	if err != nil {
		return err
	}
	r.server, err = vaultd.New(ctx, vaultd.Config{
		Dir: r.dir(), Anchor: r.anchor, Tokens: tokens, Limits: vaultd.DefaultLimits(), Keys: r.keys, Peers: r.take(0),
		AcceptInsecureAnchor: true, AcceptInsecureWaits: true,
	})
	if err != nil {
		return err
	}
	var relays []vaultd.Pin
	for _, f := range r.n.fronts {
		relays = append(relays, vaultd.Pin(pinOf(f.relay)))
	}
	server, public, admin := r.server, tls.NewListener(r.take(1), vaultd.ServerTLS(r.own, relays)), r.take(2)
	r.process = r.n.launch(func(ctx context.Context) error { return server.Serve(ctx, public, admin) })
	return nil
}

// stop ends the replica. What it has acknowledged is in its folder.
func (r *replica) stop() (err error) {
	if r.process != nil {
		err = r.process.end()
	}
	if r.server != nil {
		err = errors.Join(err, r.server.Close())
	}
	if r.anchor != nil {
		err = errors.Join(err, r.anchor.Close())
	}
	r.process, r.server, r.anchor = nil, nil, nil
	return err
}

func (r *replica) close() error {
	err := r.stop()
	for _, l := range r.listeners {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
	}
	return err
}
