package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/chatd/issuer"
	"keepsake.example/token"
)

const (
	chatdAudience = "keepsake-chatd"
	vaultAudience = "keepsake-vault"
)

// network is the servers while they run.
type network struct {
	o        options
	issuer   *issuer.Issuer
	fronts   []*front
	replicas []*replica
	fleet    *fleetKeys
	undo     []func() error
	failed   chan error // a server that ended by itself
}

// start makes a new fleet and runs the servers. What was begun is undone when it fails.
func start(ctx context.Context, o options, codes io.Writer) (n *network, err error) {
	n = &network{o: o, failed: make(chan error, 64)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := n.folder(); err != nil {
		return n, err
	}
	if err := n.prepareFronts(); err != nil { // first: the issuer is named after an address
		return n, err
	}
	if err := n.openIssuer(codes); err != nil {
		return n, err
	}
	if err := n.found(ctx); err != nil {
		return n, fmt.Errorf("starting vaultd: %w", err)
	}
	if err := n.grow(ctx); err != nil {
		return n, fmt.Errorf("joining the fleet: %w", err)
	}
	for _, f := range n.fronts {
		if err := n.serveFront(f); err != nil {
			return n, fmt.Errorf("starting chatd: %w", err)
		}
	}
	return n, n.writeCard()
}

// later has f called by close, the last first.
func (n *network) later(f func() error) { n.undo = append(n.undo, f) }

func (n *network) folder() (err error) {
	if n.o.dir == "" {
		n.o.dir, err = os.MkdirTemp("", "keepsake-devnet-")
	} else if n.o.dir, err = filepath.Abs(n.o.dir); err == nil {
		err = os.MkdirAll(n.o.dir, 0o700)
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(n.o.dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty", n.o.dir)
	}
	if !n.o.keep {
		n.later(func() error { return os.RemoveAll(n.o.dir) })
	}
	return nil
}

func (n *network) path(name ...string) string {
	return filepath.Join(append([]string{n.o.dir}, name...)...)
}

// listen takes a loopback address: what runs here must not be reached from elsewhere.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, errors.Join(fmt.Errorf("%s is not a loopback address: devnet protects nothing", address), l.Close())
	}
	return l, nil
}

// openIssuer makes accounts for whoever asks, and prints the codes.
func (n *network) openIssuer(codes io.Writer) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	secret, err := issuer.NewSecret(random())
	if err != nil {
		return err
	}
	n.issuer, err = issuer.Open(issuer.Config{
		Name: n.fronts[0].url, Chatd: chatdAudience, Vault: vaultAudience,
		Key: key, Secret: secret, Store: n.path("accounts.db"), Allow: []string{"*"},
		Sender: &issuer.InsecureTerminal{W: codes},
	})
	if err != nil {
		return fmt.Errorf("starting the issuer: %w", err)
	}
	n.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return n.issuer.Close(ctx)
	})
	return nil
}

// trusts is the issuer as a server sees it that takes its tokens.
func (n *network) trusts(audience string) (token.Issuer, error) {
	keys, err := token.Static(n.issuer.JWKS())
	return token.Issuer{Name: n.issuer.Name(), Audience: audience, Algorithms: []string{"EdDSA"}, Keys: keys}, err
}

func random() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand
	return b
}

// process is one server.
type process struct {
	stop context.CancelFunc
	done chan struct{}
	err  error
}

// launch serves until stop. A server that ends by itself ends the network.
func (n *network) launch(serve func(context.Context) error) *process {
	ctx, stop := context.WithCancel(context.Background())
	p := &process{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if p.err = serve(ctx); ctx.Err() == nil {
			n.failed <- errors.Join(errors.New("a server ended by itself"), p.err)
		}
	}()
	return p
}

func (p *process) end() error {
	p.stop()
	<-p.done
	return p.err
}

// tell prints what there is, and what to try.
func (n *network) tell(ctx context.Context, w io.Writer) {
	card := n.path("card.json")
	fmt.Fprintf(w, "devnet: a vault and its front end, for development. Nothing here protects anything.\n\n")
	fmt.Fprintf(w, "  server card  %s\n", card)
	for _, f := range n.fronts {
		fmt.Fprintf(w, "  chatd        %s  operator: http://%s/status\n", f.url, f.admin)
	}
	for _, r := range n.replicas {
		fmt.Fprintf(w, "  vaultd %-5d operator: http://%s/status\n", r.number, r.admin)
	}
	if len(n.replicas) > 1 {
		fmt.Fprintln(w)
		n.table(ctx, w)
		fmt.Fprintf(w, "\nType stop N, start N or status. A majority of %d must run.\n", len(n.replicas)/2+1)
	}
	fmt.Fprintf(w, "\nIn another terminal; the codes for logging in are printed here:\n\n")
	fmt.Fprintf(w, "  keepsake enable ~/Chats --cloud %s --server %s \\\n    --handle you@example.org --password --accept-insecure-vault\n", n.path("cloud"), card)
	fmt.Fprintf(w, "  keepsake backup\n  keepsake vault status\n")
	fmt.Fprintf(w, "  keepsake --profile /tmp/new-phone restore /tmp/Chats --cloud %s --server %s \\\n    --handle you@example.org --password --accept-insecure-vault\n\n", n.path("cloud"), card)
	if n.o.keep {
		fmt.Fprintf(w, "Ctrl-C ends it; %s stays.\n", n.o.dir)
		return
	}
	fmt.Fprintf(w, "Ctrl-C ends it and deletes %s, the cloud folder in it too.\n", n.o.dir)
}

// close ends the servers, those in front first, and then undoes the rest, the last
// first.
func (n *network) close() (err error) {
	for _, f := range n.fronts {
		err = errors.Join(err, f.close())
	}
	for _, r := range n.replicas {
		err = errors.Join(err, r.close())
	}
	for i := len(n.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, n.undo[i]())
	}
	return err
}
