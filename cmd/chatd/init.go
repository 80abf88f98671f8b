package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"flag"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/internal/command"
	"keepsake.example/internal/durable"
	"keepsake.example/token"
)

// setting is what init is told.
type setting struct {
	url, listen, role string
	vaults            []vaultConfig
	issuer, jwks, alg string
	allow             []string
	selfSigned, mail  string
	insecureTerminal  bool
}

var initCommand = command.Command[app, options]{
	Name: "init", Args: "DIR", Short: "make keys and a configuration",
	Long: `Makes in DIR, which must not exist or be empty: the keys that chatd needs, and
DIR/chatd.toml, which explains every setting and limit. Prints

  the client pin   for "relays" of vaultd's configuration
  the keys' file   DIR/jwks.json, the issuer's public keys, for vaultd and for
                   relays that run elsewhere

With --issuer, accounts come from that issuer: your own, or chatd's built-in one,
which runs apart (--role issuer) because it can make every account. Both in one
process (--role insecure-both) let whoever takes over the relay do the same.`,
	Example: `  chatd init /etc/chatd-issuer --role issuer --url https://login.example.org
  chatd init /etc/chatd --url https://chat.example.org \
    --vault https://vault1.internal:7443=3f0c...64 hex digits, from vaultd init... \
    --issuer https://login.example.org
  chatd init /etc/chatd --url https://chat.example.org --vault URL=PIN \
    --issuer https://id.example.org --jwks discover`,
	Flags: func(f *flag.FlagSet, o *options) {
		s := &o.setting
		f.StringVar(&s.url, "url", "", "`URL` where clients reach this server, https; the built-in issuer's name")
		f.StringVar(&s.listen, "listen", "127.0.0.1:8443", "`ADDRESS` where it listens")
		f.StringVar(&s.role, "role", "relay", "`ROLE`: relay, issuer, or insecure-both for development")
		f.Func("vault", "`URL=PIN` of a vaultd and its server pin; may be given again", func(v string) error {
			where, pin, ok := strings.Cut(v, "=")
			if _, err := chatd.ParsePin(pin); !ok || err != nil {
				return fmt.Errorf("%q is not URL=PIN", v)
			}
			s.vaults = append(s.vaults, vaultConfig{where, pin})
			return nil
		})
		f.StringVar(&s.issuer, "issuer", "", "`NAME` of your own issuer, the tokens' iss")
		f.StringVar(&s.jwks, "jwks", "discover", "`WHERE` your issuer's public keys are: a file, an https URL, or discover (OpenID)")
		f.StringVar(&s.alg, "algorithm", "EdDSA", "`NAME` of your issuer's algorithm: EdDSA, ES256, RS256 or PS256")
		f.Func("allow", "`HANDLE` that may have an account, *@domain for a domain, * for everybody; may be given again. Without it: *@ and the host of --url", func(v string) error {
			s.allow = append(s.allow, v)
			return nil
		})
		f.StringVar(&s.mail, "smtp", "localhost:25", "`HOST:PORT` of the mail server for codes")
		f.BoolVar(&s.insecureTerminal, "insecure-terminal", false, "print codes in place of mailing them; development only")
		f.StringVar(&s.selfSigned, "insecure-self-signed", "", "make a TLS certificate for `HOST` that clients must be given; development only")
	},
	Run: (*app).init,
}

func (a *app) init(_ context.Context, o *options) error {
	s := &o.setting
	c, err := s.config()
	if err != nil {
		return err
	}
	text, err := c.write() // refused here, before anything is made
	if err != nil {
		return err
	}
	dir, err := command.NewFolder(o.args[0], "nothing was changed; choose another folder")
	if err != nil {
		return err
	}
	c.file = filepath.Join(dir, "chatd.toml")
	if err := a.makeKeys(s, c); err != nil {
		return err
	}
	if err := durable.CreateExclusive(c.file, text, 0o600); err != nil {
		return err
	}
	for _, choice := range c.insecure() {
		a.Warn("insecure: " + choice)
	}
	if s.selfSigned == "" {
		fmt.Fprintf(a.Out, "next: put your certificate at %s and its key at %s\n", c.path(c.TLSCertificate), c.path(c.TLSKey))
	}
	fmt.Fprintf(a.Out, "then: chatd serve --config %s\n", c.file)
	return nil
}

// config makes the configuration that the flags ask for.
func (s *setting) config() (*config, error) {
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" {
		return nil, command.Usage("--url is needed: https://HOST, where clients reach this server", "see: chatd help init")
	}
	admin, err := nextPort(s.listen)
	if err != nil {
		return nil, command.Usage(err.Error(), "--listen 0.0.0.0:443")
	}
	c := &config{
		Listen: s.listen, Admin: admin, TLSCertificate: "tls.crt", TLSKey: "tls.key", Audit: "audit.jsonl", AuditFileBytes: 256 << 20,
		NameKey: "name.key", Limits: defaultLimits(),
	}
	if s.role != "relay" && s.role != "issuer" && s.role != "insecure-both" {
		return nil, command.Usage(fmt.Sprintf("the role is %q", s.role), "it is relay, issuer or insecure-both")
	}
	if s.role != "issuer" {
		if c.Relay, err = s.relay(); err != nil {
			return nil, err
		}
	}
	if s.role == "issuer" || s.role == "insecure-both" && s.issuer == "" {
		c.Issuer = s.builtIn()
	}
	return c, nil
}

func (s *setting) relay() (*relayConfig, error) {
	r := &relayConfig{ClientKey: "client.key", Vaults: s.vaults}
	if len(s.vaults) == 0 {
		return nil, command.Usage("--vault is needed: a vaultd and its pin", "vaultd init prints the pin")
	}
	if s.issuer == "" {
		if s.role == "relay" {
			return nil, command.Usage("--issuer is needed for a relay", "for a built-in issuer, its --url; chatd init --role issuer makes one")
		}
		return r, nil
	}
	i := trustedIssuer{Name: s.issuer, Audience: "keepsake-chatd", Algorithms: []string{s.alg}, MaxLife: command.Duration(time.Hour)}
	switch {
	case s.jwks == "discover":
		i.Discover = true
	case strings.HasPrefix(s.jwks, "https://"):
		i.JWKSURL = s.jwks
	default:
		path, err := filepath.Abs(s.jwks)
		if err != nil {
			return nil, err
		}
		i.JWKSFile = path
	}
	r.Issuers = []trustedIssuer{i}
	return r, nil
}

func (s *setting) builtIn() *issuerConfig {
	i := &issuerConfig{
		Name: s.url, ChatdAudience: "keepsake-chatd", VaultAudience: "keepsake-vault", Key: "issuer.key", Secret: "issuer.secret", Store: "issuer.db",
		Allow: s.allow, Sender: "smtp", Limits: defaultIssuerLimits(),
	}
	host, port, _ := strings.Cut(s.mail, ":")
	name := hostOf(s.url)
	i.SMTP = smtpConfig{Host: host, Port: 25, From: "codes@" + name, Service: name}
	fmt.Sscan(port, &i.SMTP.Port)
	i.SMTP.ImplicitTLS = i.SMTP.Port == 465
	if len(i.Allow) == 0 {
		i.Allow = []string{"*@" + name}
	}
	if s.insecureTerminal {
		i.Sender = "insecure-terminal"
	}
	return i
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Hostname()
}

// nextPort is the admin address: the next port on the loopback.
func nextPort(listen string) (string, error) {
	var port int
	at := strings.LastIndexByte(listen, ':')
	if _, err := fmt.Sscan(listen[at+1:], &port); err != nil || at < 0 || port < 1 || port > 65534 {
		return "", fmt.Errorf("%q is not HOST:PORT", listen)
	}
	return fmt.Sprintf("127.0.0.1:%d", port+1), nil
}

// makeKeys writes the files that the configuration names.
func (a *app) makeKeys(s *setting, c *config) error {
	if err := writeSecret(c.path(c.NameKey)); err != nil {
		return err
	}
	if c.Relay != nil {
		k, err := writeKey(c.path(c.Relay.ClientKey))
		if err != nil {
			return err
		}
		cert, err := chatd.MakeCertificate(k, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "client pin  %s\n", chatd.PinOf(cert.Leaf))
	}
	if c.Issuer != nil {
		if err := a.makeIssuer(c); err != nil {
			return err
		}
	}
	if s.selfSigned != "" {
		fmt.Fprintln(a.Err, "chatd: warning: insecure: the certificate is self-signed: give clients the file tls.crt")
		return selfSign(c, s.selfSigned)
	}
	return nil
}

func (a *app) makeIssuer(c *config) error {
	if err := writeSecret(c.path(c.Issuer.Secret)); err != nil {
		return err
	}
	k, err := writeKey(c.path(c.Issuer.Key))
	if err != nil {
		return err
	}
	signer, err := token.NewSigner(c.Issuer.Name, k)
	if err != nil {
		return err
	}
	jwks, err := signer.JWKS()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "keys' file  %s\n", c.path("jwks.json"))
	return durable.CreateExclusive(c.path("jwks.json"), jwks, 0o644)
}

func selfSign(c *config, host string) error {
	k, err := writeKey(c.path(c.TLSKey))
	if err != nil {
		return err
	}
	cert, err := chatd.MakeCertificate(k, time.Now(), host)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	return durable.CreateExclusive(c.path(c.TLSCertificate), text, 0o644)
}

func writeSecret(path string) error {
	b := make([]byte, 32)
	rand.Read(b)
	return durable.CreateExclusive(path, []byte(hex.EncodeToString(b)+"\n"), 0o600)
}

func writeKey(path string) (ed25519.PrivateKey, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return k, durable.CreateExclusive(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
