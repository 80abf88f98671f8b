package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/BurntSushi/toml"

	"keepsake.example/chatd"
	"keepsake.example/chatd/issuer"
	"keepsake.example/chatd/limit"
	"keepsake.example/internal/command"
)

// config is chatd.toml. The commented template beside it says what each
// setting means; a test compares the two.
type config struct {
	Listen                 string        `toml:"listen"`
	Admin                  string        `toml:"admin"`
	TLSCertificate         string        `toml:"tls_certificate"`
	TLSKey                 string        `toml:"tls_key"`
	Audit                  string        `toml:"audit"`
	AuditFileBytes         int64         `toml:"audit_file_bytes"`
	NameKey                string        `toml:"name_key"`
	InsecureAdminOnNetwork bool          `toml:"insecure_admin_on_network"`
	Relay                  *relayConfig  `toml:"relay"`
	Issuer                 *issuerConfig `toml:"issuer"`
	Limits                 limits        `toml:"limits"`

	file string // where it was read
}

type relayConfig struct {
	ClientKey string          `toml:"client_key"`
	Vaults    []vaultConfig   `toml:"vault"`
	Issuers   []trustedIssuer `toml:"issuer"`
}

type vaultConfig struct {
	URL string `toml:"url"`
	Pin string `toml:"pin"`
}

// trustedIssuer is one whose tokens the relay takes.
type trustedIssuer struct {
	Name       string           `toml:"name"`
	Audience   string           `toml:"audience"`
	Algorithms []string         `toml:"algorithms"`
	JWKSFile   string           `toml:"jwks_file"`
	JWKSURL    string           `toml:"jwks_url"`
	Discover   bool             `toml:"discover"`
	Roots      string           `toml:"roots"`
	MaxLife    command.Duration `toml:"max_life"`
}

// issuerConfig is the built-in issuer.
type issuerConfig struct {
	Name          string        `toml:"name"`
	ChatdAudience string        `toml:"chatd_audience"`
	VaultAudience string        `toml:"vault_audience"`
	Key           string        `toml:"key"`
	OlderKeys     []string      `toml:"older_keys"`
	Secret        string        `toml:"secret"`
	Store         string        `toml:"store"`
	Allow         []string      `toml:"allow"`
	Sender        string        `toml:"sender"`
	SMTP          smtpConfig    `toml:"smtp"`
	Webhook       webhookConfig `toml:"webhook"`
	Limits        issuerLimits  `toml:"limits"`
}

type smtpConfig struct {
	Host              string `toml:"host"`
	Port              int    `toml:"port"`
	ImplicitTLS       bool   `toml:"implicit_tls"`
	InsecurePlaintext bool   `toml:"insecure_plaintext"`
	Roots             string `toml:"roots"`
	Username          string `toml:"username"`
	PasswordFile      string `toml:"password_file"`
	From              string `toml:"from"`
	Service           string `toml:"service"`
}

type webhookConfig struct {
	URL        string `toml:"url"`
	SecretFile string `toml:"secret_file"`
	Roots      string `toml:"roots"`
}

type issuerLimits struct {
	CodeLife        command.Duration `toml:"code_life"`
	TokenLife       command.Duration `toml:"token_life"`
	RefreshIdle     command.Duration `toml:"refresh_idle"`
	Repeat          command.Duration `toml:"repeat"`
	PerHandle       rate             `toml:"per_handle"`
	PerAddress      rate             `toml:"per_address"`
	InAll           rate             `toml:"in_all"`
	TriesPerAddress rate             `toml:"tries_per_address"`
	Devices         int              `toml:"devices"`
	Queue           int              `toml:"queue"`
	Table           int              `toml:"table"`
}

type limits struct {
	Connections           int              `toml:"connections"`
	ConnectionsPerAddress int              `toml:"connections_per_address"`
	Streams               int              `toml:"streams"`
	Relays                int              `toml:"relays"`
	Header                int              `toml:"header_bytes"`
	HeaderTimeout         command.Duration `toml:"header_timeout"`
	BodyTimeout           command.Duration `toml:"body_timeout"`
	WriteTimeout          command.Duration `toml:"write_timeout"`
	IdleTimeout           command.Duration `toml:"idle_timeout"`
	RelayTimeout          command.Duration `toml:"relay_timeout"`
	TryTimeout            command.Duration `toml:"try_timeout"`
	ProbeEvery            command.Duration `toml:"probe_every"`
	ProbeTimeout          command.Duration `toml:"probe_timeout"`
	PassOver              command.Duration `toml:"pass_over"`
	Tries                 int              `toml:"tries"`
	Pause                 command.Duration `toml:"pause"`
	Retries               rate             `toml:"retries"`
	PerAccount            rate             `toml:"per_account"`
	PerAddress            rate             `toml:"per_address"`
	Table                 int              `toml:"table"`
	BundleEvery           command.Duration `toml:"bundle_every"`
	DrainDelay            command.Duration `toml:"drain_delay"`
	DrainTimeout          command.Duration `toml:"drain_timeout"`
}

// rate is { burst = 5, every = "12m" }: 5 at once, and one more every 12 minutes.
type rate struct {
	Burst int              `toml:"burst"`
	Every command.Duration `toml:"every"`
}

// String writes the inline table.
func (r rate) String() string { return fmt.Sprintf(`{ burst = %d, every = "%s" }`, r.Burst, r.Every) }

func (r rate) rate() limit.Rate { return limit.Rate{Burst: r.Burst, Every: time.Duration(r.Every)} }

func rateOf(r limit.Rate) rate { return rate{r.Burst, command.Duration(r.Every)} }

func defaultLimits() limits {
	d := chatd.DefaultLimits()
	return limits{
		Connections: d.Connections, ConnectionsPerAddress: d.ConnectionsPerAddress, Streams: d.Streams, Relays: d.Relays, Header: d.Header,
		HeaderTimeout: command.Duration(d.HeaderTimeout), BodyTimeout: command.Duration(d.BodyTimeout), WriteTimeout: command.Duration(d.WriteTimeout), IdleTimeout: command.Duration(d.IdleTimeout),
		RelayTimeout: command.Duration(d.RelayTimeout), TryTimeout: command.Duration(d.TryTimeout),
		ProbeEvery: command.Duration(d.ProbeEvery), ProbeTimeout: command.Duration(d.ProbeTimeout), PassOver: command.Duration(d.PassOver), Tries: d.Tries, Pause: command.Duration(d.Pause),
		Retries: rateOf(d.Retries), PerAccount: rateOf(d.PerAccount), PerAddress: rateOf(d.PerAddress), Table: d.Table,
		BundleEvery: command.Duration(d.BundleEvery), DrainDelay: command.Duration(d.DrainDelay), DrainTimeout: command.Duration(d.DrainTimeout),
	}
}

func (l limits) limits() chatd.Limits {
	return chatd.Limits{
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress, Streams: l.Streams, Relays: l.Relays, Header: l.Header,
		HeaderTimeout: time.Duration(l.HeaderTimeout), BodyTimeout: time.Duration(l.BodyTimeout), WriteTimeout: time.Duration(l.WriteTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		RelayTimeout: time.Duration(l.RelayTimeout), TryTimeout: time.Duration(l.TryTimeout),
		ProbeEvery: time.Duration(l.ProbeEvery), ProbeTimeout: time.Duration(l.ProbeTimeout), PassOver: time.Duration(l.PassOver), Tries: l.Tries, Pause: time.Duration(l.Pause),
		Retries: l.Retries.rate(), PerAccount: l.PerAccount.rate(), PerAddress: l.PerAddress.rate(), Table: l.Table,
		BundleEvery: time.Duration(l.BundleEvery), DrainDelay: time.Duration(l.DrainDelay), DrainTimeout: time.Duration(l.DrainTimeout),
	}
}

func defaultIssuerLimits() issuerLimits {
	d := issuer.DefaultLimits()
	return issuerLimits{
		CodeLife: command.Duration(d.CodeLife), TokenLife: command.Duration(d.TokenLife), RefreshIdle: command.Duration(d.RefreshIdle), Repeat: command.Duration(d.Repeat),
		PerHandle: rateOf(d.PerHandle), PerAddress: rateOf(d.PerAddress), InAll: rateOf(d.InAll), TriesPerAddress: rateOf(d.TriesPerAddress),
		Devices: d.Devices, Queue: d.Queue, Table: d.Table,
	}
}

func (l issuerLimits) limits() issuer.Limits {
	return issuer.Limits{
		CodeLife: time.Duration(l.CodeLife), TokenLife: time.Duration(l.TokenLife), RefreshIdle: time.Duration(l.RefreshIdle), Repeat: time.Duration(l.Repeat),
		PerHandle: l.PerHandle.rate(), PerAddress: l.PerAddress.rate(), InAll: l.InAll.rate(), TriesPerAddress: l.TriesPerAddress.rate(),
		Devices: l.Devices, Queue: l.Queue, Table: l.Table,
	}
}

func readConfig(file string) (*config, error) {
	c, err := command.ReadSettings(file, "chatd init", parseConfig)
	if err == nil {
		c.file = file
	}
	return c, err
}

func parseConfig(text []byte) (*config, error) {
	c := config{Limits: defaultLimits()}
	var has struct{ Issuer *struct{} }
	if _, err := toml.Decode(string(text), &has); err == nil && has.Issuer != nil {
		c.Issuer = &issuerConfig{Limits: defaultIssuerLimits()}
	}
	if err := command.DecodeSettings(text, &c); err != nil {
		return nil, err
	}
	return &c, c.check()
}

func (c *config) check() error {
	switch {
	case c.Relay == nil && c.Issuer == nil:
		return errors.New("neither [relay] nor [issuer]: there is nothing to do")
	case c.Listen == "" || c.Admin == "" || c.TLSCertificate == "" || c.TLSKey == "" || c.Audit == "" || c.NameKey == "":
		return errors.New("listen, admin, tls_certificate, tls_key, audit and name_key are needed")
	case !loopback(c.Admin) && !c.InsecureAdminOnNetwork:
		return errors.New("admin has no password and is not on the loopback; set insecure_admin_on_network = true if that network is your own")
	}
	if err := cmp.Or(command.CheckAddress("listen", c.Listen), command.CheckAddress("admin", c.Admin)); err != nil {
		return err
	}
	if c.Relay != nil {
		for _, i := range c.Relay.Issuers {
			if n := count(i.JWKSFile != "", i.JWKSURL != "", i.Discover); n != 1 {
				return fmt.Errorf("issuer %q needs one of jwks_file, jwks_url and discover, and has %d", i.Name, n)
			}
		}
		if len(c.Relay.Issuers) == 0 && c.Issuer == nil {
			return errors.New("no [[relay.issuer]]: nobody could prove whose account a request is about")
		}
	}
	return nil
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// insecure lists the insecure choices, in words.
func (c *config) insecure() (choices []string) {
	if c.InsecureAdminOnNetwork {
		choices = append(choices, "insecure_admin_on_network: whoever reaches the admin address sees how the server stands")
	}
	if c.Relay != nil && c.Issuer != nil {
		choices = append(choices, "both roles in one process: whoever takes over the relay can make every account, and spend its attempts")
	}
	if i := c.Issuer; i != nil && i.Sender == "insecure-terminal" {
		choices = append(choices, "sender insecure-terminal: whoever reads the output can log in as anybody")
	}
	if i := c.Issuer; i != nil && i.SMTP.InsecurePlaintext {
		choices = append(choices, "insecure_plaintext: codes can be read on their way")
	}
	return choices
}

// path is a file that the configuration names, relative to it; "" stays.
func (c *config) path(name string) string { return command.Beside(c.file, name) }

//go:embed chatd.toml.tmpl
var templateText string

var configTemplate = command.SettingsTemplate("chatd.toml", templateText)

// write makes a commented configuration file, and checks it.
func (c *config) write() ([]byte, error) {
	return command.WriteSettings(configTemplate, c, func(text []byte) error {
		if _, err := parseConfig(text); err != nil {
			return command.BadConfig(err.Error(), "see: chatd help init")
		}
		return nil
	})
}
