package issuer

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/token"
)

// maxTries is how often a code can be tried (spec/vault-protocol.md §8.1).
const maxTries = 5

// An Issuer makes accounts and tokens. It is safe for concurrent use.
type Issuer struct {
	c      Config
	signer *token.Signer
	jwks   []byte
	store  *store
	post   *post

	handleKey, codeKey, refreshKey       []byte
	handles, addresses, everybody, tries *limit.Table
}

// Tokens are what a device gets.
type Tokens struct {
	Refresh      string
	Chatd, Vault string
	Expires      time.Time // of Chatd and Vault
	// Subject is for the audit log; the device reads it in the tokens.
	Subject string
}

// Open makes an Issuer and opens its store. It must be closed.
func Open(c Config) (*Issuer, error) {
	i, err := assemble(c)
	if err != nil {
		return nil, err
	}
	if i.store, err = openStore(c.Store); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %w: %w", ErrStore, err), i.Close(context.Background()))
	}
	return i, nil
}

// assemble makes an Issuer without a store.
func assemble(c Config) (*Issuer, error) {
	if err := c.prepare(); err != nil {
		return nil, err
	}
	signer, err := token.NewSigner(c.Name, c.Key)
	if err != nil {
		return nil, fmt.Errorf("making the issuer: %w", err)
	}
	jwks, err := signer.JWKS(c.Older...)
	if err != nil {
		return nil, fmt.Errorf("making the issuer: %w", err)
	}
	l := c.Limits
	return &Issuer{
		c: c, signer: signer, jwks: jwks, post: newPost(c.Sender, l.Queue, c.Sent),
		handleKey: c.Secret.derive("handle"), codeKey: c.Secret.derive("code"), refreshKey: c.Secret.derive("refresh"),
		handles: limit.New(l.PerHandle, l.Table), addresses: limit.New(l.PerAddress, l.Table),
		everybody: limit.New(l.InAll, 1), tries: limit.New(l.TriesPerAddress, l.Table),
	}, nil
}

// Name is the iss of the tokens.
func (i *Issuer) Name() string { return i.c.Name }

// JWKS is the JWK Set that the tokens are checked with.
func (i *Issuer) JWKS() []byte { return i.jwks }

// Close sends what waits, until ctx ends, and closes the store.
func (i *Issuer) Close(ctx context.Context) error {
	err := i.post.close(ctx)
	if i.store != nil {
		err = errors.Join(err, i.store.db.Close())
	}
	return err
}

// Check tells whether the store works.
func (i *Issuer) Check(ctx context.Context) error {
	return i.store.db.PingContext(ctx)
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// addressKey is the client's network: whoever has an IPv6 address has 2⁶⁴.
func addressKey(a netip.Addr) limit.Key {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return limit.Key{}
	}
	return limit.Key(p.Addr().As16())
}

func allow(t *limit.Table, key limit.Key, now time.Time) error {
	if wait, ok := t.Allow(key, now); !ok {
		return &LimitError{wait}
	}
	return nil
}

// Login begins a login of a handle on the device with the given key, which must
// be 32 bytes, and sends the code if the handle may have an account. The
// caller cannot tell whether it was sent.
func (i *Issuer) Login(ctx context.Context, from netip.Addr, handle string, device ed25519.PublicKey) (id [16]byte, err error) {
	now := i.c.Now()
	if err := allow(i.addresses, addressKey(from), now); err != nil {
		return id, err
	}
	handle, err = Canonical(handle)
	if err != nil || len(device) != ed25519.PublicKeySize {
		return id, ErrFormat
	}
	hashed := mac(i.handleKey, []byte(handle))
	if err := allow(i.handles, limit.Key(hashed[:16]), now); err != nil {
		return id, err
	}
	if err := allow(i.everybody, limit.Key{}, now); err != nil {
		return id, err
	}
	return i.begin(ctx, handle, &login{handle: hashed, allowed: i.c.allows(handle), device: device, expires: now.Add(i.c.Limits.CodeLife)}, now)
}

// begin writes the login down and queues its message. A handle that gets
// none takes a place in the queue all the same.
func (i *Issuer) begin(ctx context.Context, handle string, l *login, now time.Time) (id [16]byte, err error) {
	if !i.post.reserve() {
		return id, ErrBusy
	}
	code, err := i.draw(l)
	if err == nil {
		err = i.store.transact(ctx, func(tx *sql.Tx) error { return addLogin(tx, l, now) })
	}
	if err != nil {
		i.post.release()
		return id, fmt.Errorf("beginning a login: %w", err)
	}
	i.post.send(Message{Handle: handle, Code: code, Expires: l.expires, nobody: !l.allowed})
	return l.id, nil
}

// draw gives the login its id and its code.
func (i *Issuer) draw(l *login) (code string, err error) {
	if _, err := io.ReadFull(i.c.Random, l.id[:]); err != nil {
		return "", err
	}
	n, err := rand.Int(i.c.Random, big.NewInt(100_000_000))
	if err != nil {
		return "", err
	}
	code = fmt.Sprintf("%08d", n)
	l.code = i.codeHash(l.id, code)
	return code, nil
}

// codeHash is over the login's id too, so that no table of the 10⁸ codes serves
// for two logins.
func (i *Issuer) codeHash(id [16]byte, code string) []byte {
	return mac(i.codeKey, id[:], []byte(code))
}

// Redeem exchanges the code of a login, with the device's proof
// ([token.LoginMessage]), for tokens.
func (i *Issuer) Redeem(ctx context.Context, from netip.Addr, id [16]byte, code string, proof []byte) (*Tokens, error) {
	now := i.c.Now()
	if err := allow(i.tries, addressKey(from), now); err != nil {
		return nil, err
	}
	var begun *line
	err := i.store.transact(ctx, func(tx *sql.Tx) (err error) {
		l, err := tryLogin(tx, id, now)
		if err != nil || !i.proves(l, id, code, proof) {
			return err // a wrong try is committed
		}
		begun, err = i.finish(tx, l, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redeeming a code: %w", err)
	}
	if begun == nil {
		return nil, ErrRefused
	}
	return i.tokens(begun, now)
}

// proves does the same work for a login that is not there.
func (i *Issuer) proves(l *login, id [16]byte, code string, proof []byte) bool {
	there := l != nil
	if !there {
		l = &login{code: make([]byte, sha256.Size), device: make([]byte, ed25519.PublicKeySize)}
	}
	known := hmac.Equal(l.code, i.codeHash(id, code))
	signed := ed25519.Verify(l.device, token.LoginMessage(i.c.Name, id, code), proof)
	return there && l.allowed && known && signed
}

// finish begins the line that a login leads to. A login leads to one: when the
// answer was lost and the same request comes again, it gives the same line, as
// long as nothing came of that.
func (i *Issuer) finish(tx *sql.Tx, l *login, now time.Time) (*line, error) {
	if l.line != nil {
		begun, err := lineOf(tx, [16]byte(l.line), now)
		if err != nil || begun == nil || begun.generation != 1 {
			return nil, err
		}
		return begun, nil
	}
	var fresh [32]byte
	if _, err := io.ReadFull(i.c.Random, fresh[:]); err != nil {
		return nil, err
	}
	subject, err := subjectOf(tx, l.handle, base64.RawURLEncoding.EncodeToString(fresh[:16]), now)
	if err != nil {
		return nil, err
	}
	begun := &line{id: [16]byte(fresh[16:]), subject: subject, device: l.device, generation: 1, used: now}
	if err := redeemLogin(tx, l.id, begun.id); err != nil {
		return nil, err
	}
	return begun, addLine(tx, begun, i.c.Limits.Devices, now.Add(i.c.Limits.RefreshIdle))
}

// tokens makes what the device of a line gets.
func (i *Issuer) tokens(l *line, now time.Time) (*Tokens, error) {
	out := &Tokens{Refresh: i.refreshToken(l.id, l.generation), Subject: l.subject, Expires: now.Add(i.c.Limits.TokenLife).Truncate(time.Second)}
	g := token.Grant{Subject: l.subject, Audience: i.c.Chatd, Key: l.device, Issued: now, Life: i.c.Limits.TokenLife}
	var err error
	if out.Chatd, err = i.signer.Sign(g); err != nil {
		return nil, err
	}
	g.Audience = i.c.Vault
	out.Vault, err = i.signer.Sign(g)
	return out, err
}
