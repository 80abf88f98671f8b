// Package softhsm makes throw-away SoftHSM tokens: for tests, for the demo, and for
// rehearsing a ceremony. SoftHSM is a PKCS#11 module that keeps its tokens in files,
// encrypted under the PINs that lie beside them here: it protects nothing.
package softhsm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/internal/durable"
)

// ErrMissing: SoftHSM is not installed.
var ErrMissing = errors.New("softhsm: SoftHSM is not installed (Debian: softhsm2)")

// places are where distributions put the module.
var places = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib/*/softhsm/libsofthsm2.so",
	"/usr/lib64/pkcs11/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// Module returns the path of SoftHSM's library, or ErrMissing.
func Module() (string, error) {
	for _, place := range places {
		if found, err := filepath.Glob(place); err == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	return "", ErrMissing
}

// A Store is a folder of tokens. Safe for concurrent use.
type Store struct {
	dir       string
	module    string
	custodian string
	children  bool // SoftHSM is not used in this process
}

const (
	configName    = "softhsm2.conf"
	tokensName    = "tokens"
	custodianName = "so-pin"
	variable      = "SOFTHSM2_CONF"
)

// New makes a folder of tokens, or opens the one that New made there, and makes SoftHSM
// use it in this process: SoftHSM finds its configuration through the environment
// variable SOFTHSM2_CONF only, which New sets, and reads it when the first token is opened after
// all were closed. So a process uses one store at a time.
func New(dir string) (*Store, error) {
	s, err := create(dir)
	if err == nil {
		err = os.Setenv(variable, filepath.Join(s.dir, configName))
	}
	if err != nil {
		return nil, fmt.Errorf("making a SoftHSM store in %s: %w", dir, err)
	}
	return s, nil
}

// NewForChildren is New for processes that are given the store's Environment. This one does not use it, so
// there may be several, each with tests of its own.
func NewForChildren(dir string) (*Store, error) {
	s, err := create(dir)
	if err != nil {
		return nil, fmt.Errorf("making a SoftHSM store in %s: %w", dir, err)
	}
	s.children = true
	return s, nil
}

func create(dir string) (*Store, error) {
	module, err := Module()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, module: module}
	if err := os.MkdirAll(filepath.Join(dir, tokensName), 0o700); err != nil {
		return nil, err
	}
	if s.custodian, err = once(filepath.Join(dir, custodianName)); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n", filepath.Join(dir, tokensName))
	if err := durable.WriteFile(filepath.Join(dir, configName), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return s, nil
}

// once returns the secret in a file, which it makes at the first call.
func once(file string) (string, error) {
	b := make([]byte, 8)
	rand.Read(b)
	err := durable.CreateExclusive(file, []byte(hex.EncodeToString(b)), 0o600)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	secret, err := os.ReadFile(file)
	return string(secret), err
}

// Environment is what a child process needs to use the store: SOFTHSM2_CONF=….
func (s *Store) Environment() string { return variable + "=" + filepath.Join(s.dir, configName) }

// Custodian returns the SO PIN of all tokens of the store, for the caller to wipe.
func (s *Store) Custodian() *anchor.Secret {
	secret, err := anchor.NewSecret([]byte(s.custodian))
	if err != nil {
		panic("softhsm: internal error: " + err.Error())
	}
	return secret
}

// CustodianFile is where the SO PIN lies, for programs that read it from a file.
func (s *Store) CustodianFile() string { return filepath.Join(s.dir, custodianName) }

// Token makes a token with the label, which no other in the store has, and a random user PIN in a
// file beside it. It is not prepared: that is [pkcs11.Prepare].
func (s *Store) Token(ctx context.Context, label string) (pkcs11.Options, error) {
	opts := s.Options(label)
	if _, err := os.Stat(opts.PINFile); err == nil {
		return opts, fmt.Errorf("making a SoftHSM token: there is a token %q already", label)
	}
	secret, err := once(opts.PINFile)
	if err != nil {
		return opts, fmt.Errorf("making a SoftHSM token: %w", err)
	}
	if s.children {
		return opts, s.run(ctx, "--init-token", "--free", "--label", label, "--so-pin", s.custodian, "--pin", secret)
	}
	pin, err := anchor.NewSecret([]byte(secret))
	if err != nil {
		return opts, fmt.Errorf("making a SoftHSM token: %w", err)
	}
	defer pin.Wipe()
	custodian := s.Custodian()
	defer custodian.Wipe()
	return opts, pkcs11.InitToken(ctx, s.module, label, custodian, pin)
}

// run runs SoftHSM's own tool. The PINs are for all to see meanwhile: they are thrown away with the store.
func (s *Store) run(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, "softhsm2-util", args...)
	c.Env = append(os.Environ(), s.Environment())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("making a SoftHSM token: softhsm2-util: %w: %s", err, out)
	}
	return nil
}

// Options says how to open the token that Token made.
func (s *Store) Options(label string) pkcs11.Options {
	return pkcs11.Options{Module: s.module, Token: label, PINFile: filepath.Join(s.dir, hex.EncodeToString([]byte(label))+".pin")}
}
