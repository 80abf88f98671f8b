package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/BurntSushi/toml"

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

	InsecureSoftwareAnchor bool `toml:"insecure_software_anchor"`
	InsecureWaits          bool `toml:"insecure_waits"`
	InsecureAnyRelay       bool `toml:"insecure_any_relay"`

	Issuers []issuer `toml:"issuer"`
	Limits  limits   `toml:"limits"`

	file string // where it was read
}

type issuer struct {
	Name       string   `toml:"name"`
	Audience   string   `toml:"audience"`
	Algorithms []string `toml:"algorithms"`
	JWKSFile   string   `toml:"jwks_file"`
	JWKSURL    string   `toml:"jwks_url"`
	MaxLife    duration `toml:"max_life"`
}

type limits struct {
	Concurrent   int      `toml:"concurrent"`
	Queue        int      `toml:"queue"`
	QueueWait    duration `toml:"queue_wait"`
	PerAccount   int      `toml:"per_account"`
	Commit       duration `toml:"commit"`
	Drain        duration `toml:"drain"`
	Quantum      duration `toml:"quantum"`
	KeyRotation  duration `toml:"key_rotation"`
	KeyValidity  duration `toml:"key_validity"`
	Checkpoint   duration `toml:"checkpoint"`
	MaxClockJump duration `toml:"max_clock_jump"`
}

// duration is written with its unit, "20ms": a bare number is refused, so that
// nobody's seconds are taken for nanoseconds.
type duration time.Duration

// UnmarshalText reads "20ms", "168h".
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

func (d duration) String() string {
	s := time.Duration(d).String()
	for _, tail := range []string{"m0s", "h0m"} {
		if cut, ok := bytes.CutSuffix([]byte(s), []byte(tail)); ok {
			s = string(cut) + tail[:1]
		}
	}
	return s
}

// defaults are the settings that a file need not have.
func defaults() config {
	d := vaultd.DefaultLimits()
	return config{
		Listen: "127.0.0.1:7443", Admin: "127.0.0.1:7444", State: "state", Anchor: "software", AnchorDir: "anchor",
		TLSKey: "tls.key", LockMemory: true,
		Limits: limits{
			Concurrent: d.Concurrent, Queue: d.Queue, QueueWait: duration(d.QueueWait), PerAccount: d.PerAccount,
			Commit: duration(d.Commit), Drain: duration(d.Drain), Quantum: duration(d.Quantum),
			KeyRotation: duration(d.KeyRotation), KeyValidity: duration(d.KeyValidity), Checkpoint: duration(d.Checkpoint), MaxClockJump: duration(30 * 24 * time.Hour),
		},
	}
}

func (l limits) limits() vaultd.Limits {
	return vaultd.Limits{
		Concurrent: l.Concurrent, Queue: l.Queue, QueueWait: time.Duration(l.QueueWait), PerAccount: l.PerAccount,
		Commit: time.Duration(l.Commit), Drain: time.Duration(l.Drain), Quantum: time.Duration(l.Quantum),
		KeyRotation: time.Duration(l.KeyRotation), KeyValidity: time.Duration(l.KeyValidity),
		Checkpoint: time.Duration(l.Checkpoint),
	}
}

// maxConfig is the largest configuration file, in bytes.
const maxConfig = 1 << 20

// readConfig reads a file strictly: a setting that is not known is refused, for
// it is one that somebody relies on.
func readConfig(file string) (*config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if info.Size() > maxConfig {
		return nil, configError(fmt.Sprintf("%s is over %d bytes", file, maxConfig), "")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, configError(file+": "+err.Error(), "what the settings mean is written in the file that vaultd init makes")
	}
	c.file = file
	return c, nil
}

func parseConfig(text []byte) (*config, error) {
	c := defaults()
	meta, err := toml.Decode(string(text), &c)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown setting %q", unknown[0].String())
	}
	return &c, c.check()
}

func (c *config) check() error {
	if c.Anchor != "software" {
		return fmt.Errorf("anchor is %q: only \"software\" is there yet", c.Anchor)
	}
	if !c.InsecureSoftwareAnchor {
		return errors.New("the software anchor protects nothing from who operates this machine; set insecure_software_anchor = true to accept that, for development only")
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
		return configError("relays is empty: nobody could connect", "list in it the client pins that chatd init prints")
	}
	return nil
}

// path is a file or folder that the configuration names, relative to it.
func (c *config) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(c.file), name)
}

//go:embed vaultd.toml.tmpl
var templateText string

var configTemplate = template.Must(template.New("vaultd.toml").Funcs(template.FuncMap{"quote": quote}).Parse(templateText))

// write makes a commented configuration file.
func (c config) write() ([]byte, error) {
	var b bytes.Buffer
	if err := configTemplate.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	if _, err := parseConfig(b.Bytes()); err != nil {
		return nil, configError(err.Error(), "see: vaultd help init")
	}
	return b.Bytes(), nil
}

// quote writes a TOML string.
func quote(s string) (string, error) {
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(map[string]string{"v": s})
	return string(bytes.TrimSpace(bytes.TrimPrefix(b.Bytes(), []byte("v = ")))), err
}
