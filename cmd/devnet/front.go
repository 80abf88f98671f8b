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
	"net"
	"os"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/chatd/audit"
	"keepsake.example/fleet"
	"keepsake.example/token"
)

// front is one chatd: the first in both its roles, another one as a relay alone.
type front struct {
	name       string // of its folder
	url, admin string
	public     net.Listener
	relay      tls.Certificate // shown to vaultds, which have its pin
	own        tls.Certificate // shown to clients
	audit      *audit.Log
	process    *process
}

// prepareFronts takes addresses and makes certificates: one chatd for a single
// replica, two for a fleet.
func (n *network) prepareFronts() error {
	for i := range min(n.o.replicas, 2) {
		address := n.o.listen
		if i > 0 {
			address = "127.0.0.1:0"
		}
		f := &front{name: fmt.Sprintf("chatd%d", i+1)}
		n.fronts = append(n.fronts, f)
		err := os.Mkdir(n.path(f.name), 0o700)
		if err != nil {
			return err
		}
		if f.public, err = listen(address); err != nil {
			return err
		}
		f.url = "https://" + f.public.Addr().String()
		if f.relay, err = certificate(); err != nil {
			return err
		}
		if f.own, err = certificate("127.0.0.1", "::1", "localhost"); err != nil {
			return err
		}
	}
	return nil
}

// certificate makes a certificate that its own key signs.
func certificate(hosts ...string) (tls.Certificate, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return chatd.MakeCertificate(key, time.Now(), hosts...)
}

func pinOf(c tls.Certificate) chatd.Pin { return chatd.PinOf(c.Leaf) }

// serveFront runs a chatd before all replicas.
func (n *network) serveFront(f *front) (err error) {
	if f.audit, err = audit.Open(n.path(f.name, "audit.log"), audit.Options{}); err != nil {
		return err
	}
	names, err := chatd.NewNameKey(random())
	if err != nil {
		return err
	}
	trusted, err := n.trusts(chatdAudience)
	if err != nil {
		return err
	}
	c := chatd.Config{
		Relay: &chatd.Relay{Issuers: []token.Issuer{trusted}, Certificate: f.relay},
		Audit: f.audit, Names: names, Limits: chatd.Limits{DrainDelay: -1},
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &f.own, nil },
	}
	for _, r := range n.replicas {
		c.Relay.Vaults = append(c.Relay.Vaults, chatd.Vault{URL: "https://" + r.public, Pin: chatd.Pin(r.pin)})
	}
	if f == n.fronts[0] {
		c.Issuer = n.issuer
	}
	s, err := chatd.New(c)
	if err != nil {
		return err
	}
	admin, err := listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	f.admin = admin.Addr().String()
	f.process = n.launch(func(ctx context.Context) error {
		return s.Serve(ctx, chatd.Listeners{Public: f.public, Admin: admin})
	})
	return nil
}

func (f *front) close() (err error) {
	if f.process != nil {
		err = f.process.end()
	} else if f.public != nil {
		err = f.public.Close()
	}
	if f.audit != nil {
		err = errors.Join(err, f.audit.Close())
	}
	return err
}

// writeCard writes the server card, with every chatd on it.
func (n *network) writeCard() error {
	card := struct {
		URL    string   `json:"url"`
		Others []string `json:"others,omitempty"`
		Fleet  string   `json:"fleet"`
		CA     string   `json:"ca"`
	}{URL: n.fronts[0].url, Fleet: fleet.FormatID(n.fleet.id)}
	for i, f := range n.fronts {
		if i > 0 {
			card.Others = append(card.Others, f.url)
		}
		card.CA += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.own.Certificate[0]}))
	}
	text, err := json.MarshalIndent(card, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the server card: %w", err)
	}
	return os.WriteFile(n.path("card.json"), append(text, '\n'), 0o644)
}
