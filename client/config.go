package client

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/internal/durable"
)

const (
	configVersion = 1
	// maxProfileFile bounds what is read of config.json and state.json, in
	// bytes. Both are under a kilobyte but for the exclude patterns.
	maxProfileFile = 256 << 10
)

// Where the key can be kept.
const (
	InKeyring = "keyring"
	InFile    = "file"
)

// Config is what config.json holds.
type Config struct {
	Version    int       `json:"version"`
	Created    time.Time `json:"created"`
	Source     string    `json:"source"`     // the chat folder, an absolute path
	Cloud      string    `json:"cloud"`      // the destination: an absolute path, or as cloud.Destination's String gives it
	Repository string    `json:"repository"` // its id; "" until it was made
	Device     string    `json:"device"`     // 32 random hex digits
	KeyStore   string    `json:"key_store"`  // InKeyring or InFile
	Exclude    []string  `json:"exclude,omitempty"`
	// Left is the destination that the last move left behind, and Moved when; the
	// backup there is still whole.
	Left  string    `json:"left,omitempty"`
	Moved time.Time `json:"moved,omitzero"`
	// Pending is set while enable has the key and not yet the repository. The
	// next enable goes on with that key.
	Pending bool `json:"pending,omitempty"`
	// Rotating is set while a new key waits beside the old one. The next
	// command finds out which of the two opens.
	Rotating bool `json:"rotating,omitempty"`
}

// DecodeConfig reads config.json strictly: unknown fields, text behind the object
// and values that no version of this program writes are ErrProfileDamaged.
func DecodeConfig(data []byte) (*Config, error) {
	var c Config
	if err := decodeProfile("config.json", data, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

func (c *Config) check() error {
	switch {
	case c.Version > configVersion:
		return fmt.Errorf("version %d is newer than this program", c.Version)
	case c.Version != configVersion:
		return fmt.Errorf("version %d", c.Version)
	case !filepath.IsAbs(c.Source):
		return errors.New("the path of the chat folder is not absolute")
	case !isPlace(c.Cloud) || c.Left != "" && !isPlace(c.Left):
		return errors.New("a destination is no absolute path, nor a cloud as this program writes it")
	case c.KeyStore != InKeyring && c.KeyStore != InFile:
		return errors.New("unknown key_store")
	case !isHex(c.Device, 32):
		return errors.New("device is not 32 hex digits")
	case c.Repository != "" && !isHex(c.Repository, len(c.Repository)) || len(c.Repository) > 128:
		return errors.New("repository is not hex digits")
	case c.Repository == "" && !c.Pending:
		return errors.New("no repository")
	}
	return nil
}

func isHex(s string, length int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b)*2 == length && hex.EncodeToString(b) == s
}

// checked is what a file of the profile holds.
type checked interface{ check() error }

// decodeProfile reads the text of a file of the profile, strictly.
func decodeProfile(name string, data []byte, into checked) error {
	err := decodeStrictly(data, into)
	if err == nil {
		err = into.check()
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrProfileDamaged, name, err)
	}
	return nil
}

func decodeStrictly(data []byte, into any) error {
	if len(data) > maxProfileFile {
		return errors.New("too long")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text behind the end")
	}
	return nil
}

// newDevice names this device at random, so that the cloud learns no host name.
func newDevice() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

func (c *Client) path(name string) string { return filepath.Join(c.s.Profile, name) }

// Config reads the configuration. It is ErrNotEnabled when there is none, or when
// enabling was not finished.
func (c *Client) Config() (*Config, error) {
	cfg, err := c.readConfig()
	if err == nil && cfg.Pending {
		return nil, ErrUnfinished
	}
	return cfg, err
}

func (c *Client) readConfig() (*Config, error) {
	data, err := c.readProfile("config.json", ErrNotEnabled)
	if err != nil {
		return nil, err
	}
	return DecodeConfig(data)
}

func (c *Client) writeConfig(cfg *Config) error { return c.writeProfile("config.json", cfg) }

// readProfile reads a file of the profile; the error is missing where there is none.
func (c *Client) readProfile(name string, missing error) ([]byte, error) {
	data, err := readLimited(c.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("reading the profile: %w", err)
	}
	return data, nil
}

// writeProfile writes a file of the profile, unless it holds just that already.
func (c *Client) writeProfile(name string, v checked) error {
	if err := v.check(); err != nil {
		return fmt.Errorf("client: internal error: %w", err)
	}
	data, err := json.MarshalIndent(v, "", "  ")
	data = append(data, '\n')
	if old, readErr := readLimited(c.path(name)); err == nil && readErr == nil && bytes.Equal(old, data) {
		return nil
	}
	if err == nil {
		err = durable.WriteFile(c.path(name), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the profile: %w", err)
	}
	return nil
}

// makeProfile makes the folder, with a mode that keeps other users out.
func (c *Client) makeProfile() error {
	if err := os.MkdirAll(c.s.Profile, 0o700); err != nil {
		return fmt.Errorf("making the profile: %w", err)
	}
	return nil
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxProfileFile+1))
}
