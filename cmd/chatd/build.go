package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/chatd/audit"
	"keepsake.example/chatd/issuer"
	"keepsake.example/internal/command"
	"keepsake.example/token"
)

// maxFile is the largest file that a setting names, in bytes.
const maxFile = 1 << 20

// parts are what a server is built of and what is closed after it.
type parts struct {
	server *chatd.Server
	audit  *audit.Log
	issuer *issuer.Issuer
}

// build makes everything that the configuration describes. Printed codes go to
// codes. Dry, nothing will be served with it: audit log and store are looked at and not opened.
func (c *config) build(log *slog.Logger, codes io.Writer, dry bool) (p *parts, err error) {
	p = &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.Background()))
		}
	}()
	files, err := chatd.NewCertificateFiles(c.path(c.TLSCertificate), c.path(c.TLSKey), nil)
	if err != nil {
		return p, settingsError(err, "tls_certificate and tls_key are one certificate with its chain and its key, in PEM form")
	}
	raw, err := readSecret(c.path(c.NameKey))
	if err != nil {
		return p, err
	}
	names, err := chatd.NewNameKey(raw)
	if err != nil {
		return p, err
	}
	if p.issuer, err = c.Issuer.open(c, codes, dry, func(err error) { p.server.CodeSent(err) }); err != nil {
		return p, err
	}
	relay, err := c.Relay.build(c, p.issuer)
	if err != nil {
		return p, err
	}
	lines, err := p.openAudit(c, dry)
	if err != nil {
		return p, err
	}
	p.server, err = chatd.New(chatd.Config{
		Relay: relay, Issuer: p.issuer, Certificate: files.Certificate, Audit: lines, Names: names, Limits: c.Limits.limits(), Log: log,
	})
	if err != nil {
		return p, command.BadConfig(err.Error(), "each setting is explained in the chatd.toml that chatd init makes")
	}
	return p, nil
}

// settingsError says of settings, and of files that they name and that are there, that they do not fit.
func settingsError(err error, hint string) error {
	if _, ok := errors.AsType[*command.Failure](err); ok || explain(err).Exit != command.Failed {
		return err
	}
	return command.BadConfig(err.Error(), hint)
}

// openAudit opens the audit log. Dry, another chatd may have it: then it gives one that
// nothing may be written to.
func (p *parts) openAudit(c *config, dry bool) (*audit.Log, error) {
	if dry {
		return &audit.Log{}, audit.Check(c.path(c.Audit))
	}
	var err error
	p.audit, err = audit.Open(c.path(c.Audit), audit.Options{MaxSize: c.AuditFileBytes})
	return p.audit, err
}

// close ends the parts, whichever there are.
func (p *parts) close(ctx context.Context) (err error) {
	if p.issuer != nil {
		err = p.issuer.Close(ctx)
	}
	if p.audit != nil {
		err = errors.Join(err, p.audit.Close())
	}
	return err
}

func (r *relayConfig) build(c *config, own *issuer.Issuer) (*chatd.Relay, error) {
	if r == nil {
		return nil, nil
	}
	k, err := readKey(c.path(r.ClientKey))
	if err != nil {
		return nil, err
	}
	out := &chatd.Relay{}
	if out.Certificate, err = chatd.MakeCertificate(k, time.Now()); err != nil {
		return nil, err
	}
	for _, v := range r.Vaults {
		pin, err := chatd.ParsePin(v.Pin)
		if err != nil {
			return nil, command.BadConfig(fmt.Sprintf("the pin of %s: %v", v.URL, err), "vaultd init prints it as \"server pin\"")
		}
		out.Vaults = append(out.Vaults, chatd.Vault{URL: v.URL, Pin: pin})
	}
	for _, i := range r.Issuers {
		t, err := i.build(c)
		if err != nil {
			return nil, fmt.Errorf("setting up issuer %q: %w", i.Name, err)
		}
		out.Issuers = append(out.Issuers, t)
	}
	if own != nil {
		keys, err := token.Static(own.JWKS())
		if err != nil {
			return nil, err
		}
		out.Issuers = append(out.Issuers, token.Issuer{Name: own.Name(), Audience: c.Issuer.ChatdAudience, Algorithms: []string{token.EdDSA}, Keys: keys})
	}
	return out, nil
}

func (i *trustedIssuer) build(c *config) (out token.Issuer, err error) {
	out = token.Issuer{Name: i.Name, Audience: i.Audience, Algorithms: i.Algorithms, MaxLife: time.Duration(i.MaxLife)}
	if i.JWKSFile != "" {
		out.Keys, err = token.File(c.path(i.JWKSFile), nil)
		return out, err
	}
	remote := token.Remote{URL: i.JWKSURL}
	if i.Discover {
		remote.Locate = chatd.Discover(i.Name)
	}
	if remote.Roots, err = readRoots(c.path(i.Roots)); err != nil {
		return out, err
	}
	out.Keys, err = token.URL(remote)
	return out, err
}

func (i *issuerConfig) open(c *config, codes io.Writer, dry bool, sent func(error)) (*issuer.Issuer, error) {
	if i == nil {
		return nil, nil
	}
	k, err := readKey(c.path(i.Key))
	if err != nil {
		return nil, err
	}
	var older []ed25519.PublicKey
	for _, path := range i.OlderKeys {
		old, err := readKey(c.path(path))
		if err != nil {
			return nil, err
		}
		older = append(older, old.Public().(ed25519.PublicKey))
	}
	raw, err := readSecret(c.path(i.Secret))
	if err != nil {
		return nil, err
	}
	secret, err := issuer.NewSecret(raw)
	if err != nil {
		return nil, err
	}
	sender, err := i.sender(c, codes)
	if err != nil {
		return nil, settingsError(err, "sender, [issuer.smtp] and [issuer.webhook] say how codes leave")
	}
	open := issuer.Open
	if dry {
		open = issuer.Check
	}
	return open(issuer.Config{
		Name: i.Name, Chatd: i.ChatdAudience, Vault: i.VaultAudience, Key: k, Older: older, Secret: secret,
		Store: c.path(i.Store), Allow: i.Allow, Sender: sender, Sent: sent, Limits: i.Limits.limits(),
	})
}

func (i *issuerConfig) sender(c *config, codes io.Writer) (issuer.Sender, error) {
	switch i.Sender {
	case "insecure-terminal":
		return &issuer.InsecureTerminal{W: codes}, nil
	case "smtp":
		return i.SMTP.sender(c)
	case "webhook":
		roots, err := readRoots(c.path(i.Webhook.Roots))
		if err != nil {
			return nil, err
		}
		secret, err := readSecret(c.path(i.Webhook.SecretFile))
		if err != nil {
			return nil, err
		}
		return issuer.NewWebhook(issuer.Webhook{URL: i.Webhook.URL, Secret: secret, Roots: roots})
	}
	return nil, command.BadConfig(fmt.Sprintf("sender is %q", i.Sender), `it is "smtp", "webhook" or, for development, "insecure-terminal"`)
}

func (s *smtpConfig) sender(c *config) (issuer.Sender, error) {
	roots, err := readRoots(c.path(s.Roots))
	if err != nil {
		return nil, err
	}
	var password []byte
	if s.PasswordFile != "" {
		if password, err = command.ReadFile(c.path(s.PasswordFile), maxFile); err != nil {
			return nil, fmt.Errorf("reading the password of the mail server: %w", err)
		}
	}
	return issuer.NewSMTP(issuer.SMTP{
		Host: s.Host, Port: s.Port, Implicit: s.ImplicitTLS, InsecurePlaintext: s.InsecurePlaintext, Roots: roots,
		Username: s.Username, Password: string(bytes.TrimRight(password, "\r\n")), From: s.From, Service: s.Service,
	})
}

// readKey reads an Ed25519 private key: PKCS #8 in PEM.
func readKey(path string) (ed25519.PrivateKey, error) {
	text, err := command.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, command.BadConfig(path+" is no key in PEM form", "chatd init makes keys")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if ed, ok := k.(ed25519.PrivateKey); ok && err == nil {
		return ed, nil
	}
	return nil, command.BadConfig(path+" is no Ed25519 key", "chatd init makes keys")
}

// readSecret reads 64 hexadecimal digits.
func readSecret(path string) ([]byte, error) {
	text, err := command.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading a secret: %w", err)
	}
	b, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(b) != 32 {
		return nil, command.BadConfig(path+" is not 64 hexadecimal digits", "chatd init makes such files; with another one than before, names in logs and accounts are others")
	}
	return b, nil
}

// readRoots reads authorities; "" is nil, the system's.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := command.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, command.BadConfig(path+" has no certificate in PEM form", "leave the setting empty for the authorities of the system")
	}
	return pool, nil
}
