package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

// config is vaultd.toml. The commented template beside it says what each setting
// means; a test compares the two.
type config struct {
	Listen     string   `toml:"listen"`
	Admin      string   `toml:"admin"`
	State      string   `toml:"state"`
	Anchor     string   `toml:"anchor"`
	AnchorDir  string   `toml:"anchor_dir"`
	TLSKey     string   `toml:"tls_key"`
	Relays     []string `toml:"relays"`
	LockMemory bool     `toml:"lock_memory"`

	Fleet        string `toml:"fleet"`
	Peers        string `toml:"peers"`
	Keys         string `toml:"keys"`
	GroupAnchors string `toml:"group_anchors"`

	InsecureSoftwareAnchor bool `toml:"insecure_software_anchor"`
	InsecureWaits          bool `toml:"insecure_waits"`
	InsecureAnyRelay       bool `toml:"insecure_any_relay"`

	TPM     chip     `toml:"tpm"`
	PKCS11  slot     `toml:"pkcs11"`
	Issuers []issuer `toml:"issuer"`
	Limits  limits   `toml:"limits"`

	file string // where it was read
}

type issuer struct {
	Name       string           `toml:"name"`
	Audience   string           `toml:"audience"`
	Algorithms []string         `toml:"algorithms"`
	JWKSFile   string           `toml:"jwks_file"`
	JWKSURL    string           `toml:"jwks_url"`
	MaxLife    command.Duration `toml:"max_life"`
}

type limits struct {
	Connections           int `toml:"connections"`
	ConnectionsPerAddress int `toml:"connections_per_address"`

	Concurrent   int              `toml:"concurrent"`
	Queue        int              `toml:"queue"`
	QueueWait    command.Duration `toml:"queue_wait"`
	PerAccount   int              `toml:"per_account"`
	Commit       command.Duration `toml:"commit"`
	Drain        command.Duration `toml:"drain"`
	Quantum      command.Duration `toml:"quantum"`
	KeyRotation  command.Duration `toml:"key_rotation"`
	KeyValidity  command.Duration `toml:"key_validity"`
	Checkpoint   command.Duration `toml:"checkpoint"`
	MaxClockJump command.Duration `toml:"max_clock_jump"`
}

// defaults are the settings that a file need not have.
func defaults() config {
	d := vaultd.DefaultLimits()
	return config{
		Listen: "127.0.0.1:7443", Admin: "127.0.0.1:7444", State: "state", Anchor: "software", AnchorDir: "anchor",
		TLSKey: "tls.key", LockMemory: true, Keys: "member.keys", GroupAnchors: "anchors",
		TPM: chip{Path: "/dev/tpmrm0", Dir: "tpm"}, PKCS11: slot{PINFile: "pin"},
		Limits: limits{
			Connections: d.Connections, ConnectionsPerAddress: d.ConnectionsPerAddress,
			Concurrent: d.Concurrent, Queue: d.Queue, QueueWait: command.Duration(d.QueueWait), PerAccount: d.PerAccount,
			Commit: command.Duration(d.Commit), Drain: command.Duration(d.Drain), Quantum: command.Duration(d.Quantum),
			KeyRotation: command.Duration(d.KeyRotation), KeyValidity: command.Duration(d.KeyValidity), Checkpoint: command.Duration(d.Checkpoint), MaxClockJump: command.Duration(30 * 24 * time.Hour),
		},
	}
}

func (l limits) limits() vaultd.Limits {
	return vaultd.Limits{
		Connections: l.Connections, ConnectionsPerAddress: l.ConnectionsPerAddress,
		Concurrent: l.Concurrent, Queue: l.Queue, QueueWait: time.Duration(l.QueueWait), PerAccount: l.PerAccount,
		Commit: time.Duration(l.Commit), Drain: time.Duration(l.Drain), Quantum: time.Duration(l.Quantum),
		KeyRotation: time.Duration(l.KeyRotation), KeyValidity: time.Duration(l.KeyValidity),
		Checkpoint: time.Duration(l.Checkpoint),
	}
}

func readConfig(file string) (*config, error) {
	c, err := command.ReadSettings(file, "vaultd init", parseConfig)
	if err == nil {
		c.file = file
	}
	return c, err
}

func parseConfig(text []byte) (*config, error) {
	c := defaults()
	if err := command.DecodeSettings(text, &c); err != nil {
		return nil, err
	}
	return &c, c.check()
}

func (c *config) check() error {
	if err := c.checkAnchor(); err != nil {
		return err
	}
	if _, err := fleet.ParseID(c.Fleet); c.Fleet != "" && err != nil {
		return fmt.Errorf("fleet is %q, which is no fleet id", c.Fleet)
	}
	if c.State == "" || c.TLSKey == "" || c.Keys == "" || c.GroupAnchors == "" || c.AnchorDir == "" {
		return errors.New("state, anchor_dir, tls_key, keys and group_anchors are needed")
	}
	if err := cmp.Or(command.CheckAddress("listen", c.Listen), command.CheckAddress("admin", c.Admin), c.Limits.limits().Check()); err != nil {
		return err
	}
	if c.Peers != "" {
		if err := command.CheckAddress("peers", c.Peers); err != nil {
			return err
		}
	}
	if len(c.Issuers) == 0 {
		return errors.New("no [[issuer]]: nobody could prove which account a request is about")
	}
	for _, i := range c.Issuers {
		if (i.JWKSFile == "") == (i.JWKSURL == "") {
			return fmt.Errorf("issuer %q needs jwks_file or jwks_url, one of them", i.Name)
		}
	}
	return nil
}

// servable is what serving needs besides: init comes before chatd's, which prints the
// pin, since chatd needs the pin of this side first.
func (c *config) servable() error {
	if len(c.Relays) == 0 && !c.InsecureAnyRelay {
		return command.BadConfig("relays is empty: nobody could connect", "list in it the client pins that chatd init prints")
	}
	return nil
}

// path is a file or folder that the configuration names, relative to it.
func (c *config) path(name string) string { return command.Beside(c.file, name) }

//go:embed vaultd.toml.tmpl
var templateText string

var configTemplate = command.SettingsTemplate("vaultd.toml", templateText)

// write makes a commented configuration file.
func (c config) write() ([]byte, error) {
	return command.WriteSettings(configTemplate, c, func(text []byte) error {
		if _, err := parseConfig(text); err != nil {
			return command.BadConfig(err.Error(), "see: vaultd help init")
		}
		return nil
	})
}
