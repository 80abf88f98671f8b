package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/chatd"
	"keepsake.example/chatd/audit"
	"keepsake.example/chatd/issuer"
	"keepsake.example/fleet"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

const (
	chatdAudience = "keepsake-chatd"
	vaultAudience = "keepsake-vault"
)

// network is the two servers while they run.
type network struct {
	o         options
	url       string   // of chatd
	admin     []string // addresses for the operator
	undo      []func() error
	stop      context.CancelFunc
	ended     chan error
	listeners []net.Listener
}

// start makes a new fleet and runs the servers. What was begun is undone when it fails.
func start(ctx context.Context, o options, codes io.Writer) (n *network, err error) {
	n = &network{o: o, ended: make(chan error, 2)}
	ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx)) // ended in order, by close
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := n.folder(); err != nil {
		return n, err
	}
	public, err := n.listen(o.listen) // first: the issuer is named after its address
	if err != nil {
		return n, err
	}
	n.url = "https://" + public.Addr().String()
	accounts, err := n.issuer(codes)
	if err != nil {
		return n, err
	}
	relay, err := certificate()
	if err != nil {
		return n, err
	}
	vault, err := n.vault(ctx, accounts, vaultd.Pin(chatd.PinOf(relay.Leaf)))
	if err != nil {
		return n, fmt.Errorf("starting vaultd: %w", err)
	}
	if err := n.front(ctx, accounts, vault, relay, public); err != nil {
		return n, fmt.Errorf("starting chatd: %w", err)
	}
	return n, nil
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

func (n *network) path(name string) string { return filepath.Join(n.o.dir, name) }

// listen takes a loopback address: what runs here must not be reached from elsewhere.
func (n *network) listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	n.listeners = append(n.listeners, l)
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address: devnet protects nothing", address)
	}
	return l, nil
}

// issuer makes accounts for whoever asks, and prints the codes.
func (n *network) issuer(codes io.Writer) (*issuer.Issuer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	secret, err := issuer.NewSecret(random())
	if err != nil {
		return nil, err
	}
	i, err := issuer.Open(issuer.Config{
		Name: n.url, Chatd: chatdAudience, Vault: vaultAudience,
		Key: key, Secret: secret, Store: n.path("accounts.db"), Allow: []string{"*"},
		Sender: &issuer.InsecureTerminal{W: codes},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the issuer: %w", err)
	}
	n.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return i.Close(ctx)
	})
	return i, nil
}

func random() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails: crypto/rand
	return b
}

// running is where the vault is.
type running struct {
	chatd.Vault
	fleet string
}

// vault founds a fleet and serves it.
func (n *network) vault(ctx context.Context, accounts *issuer.Issuer, relay vaultd.Pin) (*running, error) {
	anchor, err := software.Open(n.path("anchor"))
	if err != nil {
		return nil, err
	}
	n.later(anchor.Close)
	policy := fleet.DefaultPolicy()
	policy.Insecure = true
	for i := 3; i < len(policy.Waits); i++ {
		policy.Waits[i] = uint64(n.o.waits.Milliseconds())
	}
	id, _, err := vaultd.Found(ctx, vaultd.Founding{Dir: n.path("vault"), Anchor: anchor, Policy: policy})
	if err != nil {
		return nil, err
	}
	keys, err := token.Static(accounts.JWKS())
	if err != nil {
		return nil, err
	}
	tokens, err := token.NewVerifier(token.Issuer{Name: accounts.Name(), Audience: vaultAudience, Algorithms: []string{"EdDSA"}, Keys: keys})
	if err != nil {
		return nil, err
	}
	s, err := vaultd.New(ctx, vaultd.Config{
		Dir: n.path("vault"), Anchor: anchor, Tokens: tokens, Limits: vaultd.DefaultLimits(), AcceptInsecureAnchor: true, AcceptInsecureWaits: true,
	})
	if err != nil {
		return nil, err
	}
	n.later(s.Close)
	return n.serveVault(ctx, s, fleet.FormatID(id), relay)
}

func (n *network) serveVault(ctx context.Context, s *vaultd.Server, id string, relay vaultd.Pin) (*running, error) {
	key, err := vaultd.NewTLSKey()
	if err != nil {
		return nil, err
	}
	own, pin, err := vaultd.Certificate(key, time.Now())
	if err != nil {
		return nil, err
	}
	public, err := n.listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	admin, err := n.listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		n.ended <- s.Serve(ctx, tls.NewListener(public, vaultd.ServerTLS(own, []vaultd.Pin{relay})), admin)
	}()
	n.admin = append(n.admin, "vaultd http://"+admin.Addr().String())
	return &running{chatd.Vault{URL: "https://" + public.Addr().String(), Pin: chatd.Pin(pin)}, id}, nil
}

// certificate makes a certificate that its own key signs.
func certificate(hosts ...string) (tls.Certificate, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return chatd.MakeCertificate(key, time.Now(), hosts...)
}

// front serves chatd in both its roles, and writes the server card.
func (n *network) front(ctx context.Context, accounts *issuer.Issuer, vault *running, relay tls.Certificate, public net.Listener) error {
	own, err := certificate("127.0.0.1", "::1", "localhost")
	if err != nil {
		return err
	}
	keys, err := token.Static(accounts.JWKS())
	if err != nil {
		return err
	}
	log, err := audit.Open(n.path("audit.log"), audit.Options{})
	if err != nil {
		return err
	}
	n.later(log.Close)
	names, err := chatd.NewNameKey(random())
	if err != nil {
		return err
	}
	s, err := chatd.New(chatd.Config{
		Relay: &chatd.Relay{
			Issuers:     []token.Issuer{{Name: accounts.Name(), Audience: chatdAudience, Algorithms: []string{"EdDSA"}, Keys: keys}},
			Vaults:      []chatd.Vault{vault.Vault},
			Certificate: relay,
		},
		Issuer: accounts, Audit: log, Names: names, Limits: chatd.Limits{DrainDelay: -1},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &own, nil },
	})
	if err != nil {
		return err
	}
	return n.serveFront(ctx, s, public, vault.fleet, own)
}

func (n *network) serveFront(ctx context.Context, s *chatd.Server, public net.Listener, id string, own tls.Certificate) error {
	admin, err := n.listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	n.admin = append(n.admin, "chatd http://"+admin.Addr().String())
	go func() { n.ended <- s.Serve(ctx, chatd.Listeners{Public: public, Admin: admin}) }()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	card, err := json.MarshalIndent(map[string]string{"url": n.url, "fleet": id, "ca": string(ca)}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(n.path("card.json"), append(card, '\n'), 0o644)
}

// tell prints what there is, and what to try.
func (n *network) tell(w io.Writer) {
	card := n.path("card.json")
	fmt.Fprintf(w, "devnet: a vault and its front end, for development. Nothing here protects anything.\n\n")
	fmt.Fprintf(w, "  server card  %s\n  chatd        %s\n", card, n.url)
	for _, a := range n.admin {
		fmt.Fprintf(w, "  operator     %s/metrics\n", a)
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

// wait returns when ctx ends or a server does.
func (n *network) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.ended:
		n.ended <- nil // close waits for two
		return errors.Join(errors.New("a server ended by itself"), err)
	}
}

// close ends the servers and then undoes the rest, the last first.
func (n *network) close() (err error) {
	n.stop()
	for range len(n.admin) {
		err = errors.Join(err, <-n.ended)
	}
	for _, l := range n.listeners {
		l.Close() // those of a start that failed; the others are closed
	}
	for i := len(n.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, n.undo[i]())
	}
	return err
}
