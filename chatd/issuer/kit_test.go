package issuer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/chatd/issuer"
	"keepsake.example/internal/clocktest"
	"keepsake.example/token"
)

const (
	name  = "https://accounts.example"
	chatd = "keepsake-chatd"
	vault = "keepsake-vault"
)

var home = netip.MustParseAddr("192.0.2.1")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// inbox is a Sender that keeps what it is given.
type inbox struct{ messages chan issuer.Message }

func (b *inbox) Send(_ context.Context, m issuer.Message) error {
	b.messages <- m
	return nil
}

// kit is an issuer with everything round it.
type kit struct {
	*issuer.Issuer
	t      *testing.T
	c      issuer.Config
	clock  *clocktest.Clock
	inbox  *inbox
	closed bool
}

func key(c string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(c), 32))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func newKit(t *testing.T, change ...func(*issuer.Config)) *kit {
	t.Helper()
	k := &kit{t: t, clock: clocktest.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), inbox: &inbox{make(chan issuer.Message, 1000)}}
	k.c = issuer.Config{
		Name: name, Chatd: chatd, Vault: vault, Key: key("i"), Secret: must(issuer.NewSecret(bytes.Repeat([]byte("s"), 32))),
		Store: filepath.Join(t.TempDir(), "issuer.db"), Allow: []string{"*@example.com", "bob@example.org"}, Sender: k.inbox, Now: k.clock.Now,
	}
	for _, f := range change {
		f(&k.c)
	}
	k.open()
	t.Cleanup(k.close)
	return k
}

func (k *kit) open() {
	k.t.Helper()
	var err error
	if k.Issuer, err = issuer.Open(k.c); err != nil {
		k.t.Fatal(err)
	}
	k.closed = false
}

func (k *kit) close() {
	if k.closed {
		return
	}
	k.closed = true
	if err := k.Issuer.Close(context.Background()); err != nil {
		k.t.Error(err)
	}
}

// begin logs a handle in up to the code.
func (k *kit) begin(handle string, device ed25519.PrivateKey) (id [16]byte, code string) {
	k.t.Helper()
	id, err := k.Login(context.Background(), home, handle, public(device))
	if err != nil {
		k.t.Fatal(err)
	}
	return id, (<-k.inbox.messages).Code
}

func (k *kit) redeem(id [16]byte, code string, device ed25519.PrivateKey) (*issuer.Tokens, error) {
	return k.Redeem(context.Background(), home, id, code, ed25519.Sign(device, token.LoginMessage(name, id, code)))
}

func (k *kit) login(handle string, device ed25519.PrivateKey) *issuer.Tokens {
	k.t.Helper()
	id, code := k.begin(handle, device)
	tokens, err := k.redeem(id, code, device)
	if err != nil {
		k.t.Fatal(err)
	}
	return tokens
}

func (k *kit) refresh(refresh string, device ed25519.PrivateKey) (*issuer.Tokens, error) {
	return k.Refresh(context.Background(), home, refresh, ed25519.Sign(device, token.RefreshMessage(name, refresh)))
}

func (k *kit) mustRefresh(refresh string, device ed25519.PrivateKey) *issuer.Tokens {
	k.t.Helper()
	tokens, err := k.refresh(refresh, device)
	if err != nil {
		k.t.Fatal(err)
	}
	return tokens
}

// claims checks a token as chatd or the vault does.
func (k *kit) claims(raw, audience string) *token.Claims {
	k.t.Helper()
	keys := must(token.Static(k.JWKS()))
	v := must(token.NewVerifier(token.Issuer{Name: name, Audience: audience, Algorithms: []string{token.EdDSA}, Keys: keys}))
	c, err := v.Verify(raw, k.clock.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

func isRefused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, issuer.ErrRefused) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func wrong(code string) string {
	return strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, code)
}
